"""One spelling for many: text as a reader takes it, whatever characters it is made of."""

from __future__ import annotations

import re
import unicodedata

_QUOTES = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u00b4": "'", "\u02bc": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"', "\u00ab": '"', "\u00bb": '"',
        "\u300c": '"', "\u300d": '"', "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-",
        "\u2212": "-", "\u00a0": " ", "\u2044": "/", "\u2215": "/", "\u2236": ":", "\ua789": ":",
    }
)  # fmt: skip
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me"})
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\u0085\x0b\x0c]")

_LOOKALIKES = str.maketrans(
    "ғабвгдезиіїјкмнорстухѕԁһԛԝѵцьѐёґӏαβεηικμνορτυχωγςσօսոհցզքայᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢıɡɑǀ",
    "fabbrдe3iiijkmhopctyxsdhqwvubeerlabenikuvoptuxwycsounhgqpajabcdefghijklmnoprstuvwyzigal",
)
_LETTER_BOXES = {
    code: chr(ord("a") + code - start)
    for start in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
    for code in range(start, start + 26)
}
_LEET = str.maketrans("013457@$!|", "oieastasil")
_LEET_WORD = re.compile(
    r"(?<![\w@$!|])(?=[\w@$!|]{0,20}[a-z])(?=[\w@$!|]{0,20}[013457@$!|])[a-z0-9@$!|]{2,20}(?![\w@$|])"
)
_SPREAD = re.compile(r"(?<!\w)\w(?:[ .\-_*·,/|:;\n]{1,3}\w(?!\w)){5,}")


def fold(text: str) -> str:
    """Compatibility letters made plain, no accents or invisible characters, plain quotes, lower case, single spaces."""
    if not text.isascii():
        text = _LINE_ENDS.sub("\n", text).translate(_QUOTES)
        kept = (character for character in unicodedata.normalize("NFKD", text) if _kept(character))
        text = "".join(kept).translate(_QUOTES)
    text = _LINE_ENDS.sub("\n", text).casefold().replace("_", " ")
    return _LINES.sub("\n", _SPACES.sub(" ", text))


def lookalikes(folded: str) -> str:
    """Folded text with letters of other scripts replaced by the Latin ones that they look like."""
    return folded if folded.isascii() else folded.translate(_LOOKALIKES).translate(_LETTER_BOXES)


def unleeted(folded: str) -> str:
    """Folded text with digits and signs inside words replaced by the letters that they stand for."""
    return _LEET_WORD.sub(lambda word: word[0].translate(_LEET), folded)


def compacted(folded: str) -> str:
    """The runs of single letters in folded text (``i g n o r e``), each without what separates them."""
    return " ".join(re.sub(r"[\W_]", "", run[0]) for run in _SPREAD.finditer(folded))


def _kept(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _HIDDEN
