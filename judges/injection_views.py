"""What a text says when it is read in another way: decoded, rejoined, by first letters, with disguises undone."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Collection, Iterable, Iterator, Set
from operator import itemgetter
from urllib.parse import unquote

from judges.folding import fold, lookalikes, unleeted
from judges.injection_gates import VOCABULARY, beginnings

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_KEYS = frozenset(
    [
        "score",
        "scores",
        "grade",
        "grades",
        "graded",
        "grading",
        "rating",
        "rate",
        "marks",
        "verdict",
        "judge",
        "grader",
        "evaluate",
        "evaluator",
        "evaluation",
        "assess",
        "assessor",
        "award",
        "give",
        "full",
        "highest",
        "maximum",
        "perfect",
        "points",
        "five",
        "answer",
        "response",
        "please",
        "ignore",
        "previous",
        "instructions",
        "instruction",
        "rubric",
        "disregard",
        "correct",
        "credit",
        "pass",
        "winner",
        "deserves",
        "should",
        "this",
        "with",
        "must",
        "output",
        "reply",
        "assign",
        "grant",
        "everything",
        "above",
    ]
)
_ENOUGH = 2
"""Keywords that must stand in a text in one alphabet; a long one is enough by itself."""
_LONG_KEY = 6
_BACKWARDS = frozenset(word[::-1] for word in _KEYS) - _KEYS
_SHIFTS: dict[str, list[int]] = {}
for _word in _KEYS:
    for _shift in range(1, 27):
        _other = _ALPHABET[::-1] if _shift == len(_ALPHABET) else _ALPHABET[_shift:] + _ALPHABET[:_shift]
        _SHIFTS.setdefault(_word.translate(str.maketrans(_ALPHABET, _other)), []).append(_shift)
for _word in _KEYS:
    _SHIFTS.pop(_word, None)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}")
_BASE32 = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])")
_BASE85 = re.compile(r"(?<!\S)[!-~]{20,400}(?!\S)")
_SPELLING = frozenset(
    [
        "alfa",
        "alpha",
        "bravo",
        "charlie",
        "delta",
        "echo",
        "foxtrot",
        "golf",
        "hotel",
        "india",
        "juliett",
        "juliet",
        "kilo",
        "lima",
        "mike",
        "november",
        "oscar",
        "papa",
        "quebec",
        "romeo",
        "sierra",
        "tango",
        "uniform",
        "victor",
        "whiskey",
        "xray",
        "yankee",
        "zulu",
    ]
)
_SPELLED = re.compile(rf"(?:\b(?:{'|'.join(sorted(_SPELLING))})\b[ ,.-]{{0,3}}){{6,}}")
_PIG_LATIN = re.compile(r"\b[a-z]{2,14}ay\b")
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[ :]?){10,}")
_BINARY = re.compile(r"(?:\b[01]{7,8}\b[ ,]?){5,}")
_DECIMAL = re.compile(r"(?:\b\d{2,3}\b[ ,;]{1,2}){6,}\d{2,3}\b")
_MORSE = re.compile(r"(?:[.\-]{1,5}[ /|]{1,3}){7,}[.\-]{1,5}")
_QUOTED_PRINTABLE = re.compile(r"(?:=[0-9A-F]{2}[^=\n]{0,20}){3}")
_ESCAPES = re.compile(r"\\u\{?([0-9a-fA-F]{4,5})\}?|\\x([0-9a-fA-F]{2})|\\([0-7]{3})(?!\d)")
_MOST_CODED = 50
_CODES = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_LETTERS = dict(zip(_CODES.split(), _ALPHABET + "0123456789", strict=True))

_EMPHASIS = re.compile(r"[*_~`|#]+")
_EMPHASISED = re.compile(r"[^\W_](?:[*~`|#]{1,3}|__)[^\W_]")
_CONCATENATED = re.compile(r"(?<=[\w ])[\"'`]\s{0,3}[+.&]?\s{0,3}[\"'`](?=[\w ])")
_PIECES = {quote: re.compile(rf"(?<!\w){quote}([^{quote}\n]{{2,60}}){quote}(?!\w)") for quote in "`\"'"}
_FEWEST_LINES = 6
_HALF = 13
_WORD = re.compile(r"\w+")


def disguises(text: str, plain: str, begun: Set[str]) -> Iterator[tuple[str, str]]:
    """Other readings of a text, each with a name and folded; `plain` is the folded text, its words begin as `begun`."""
    if (view := lookalikes(plain)) != plain:
        yield "look-alike letters", view
        plain = view
    if (view := unleeted(plain)) != plain and _says_more(view, begun):
        yield "digits for letters", view
    for kind, decoded in _decoded(text):
        view = fold(decoded)
        if view != plain:
            yield kind, view
    for kind, view in _rejoined(text):
        if _says_more(view, begun):
            yield kind, view
    yield from _spelt_otherwise(plain)


def _spelt_otherwise(plain: str) -> Iterator[tuple[str, str]]:
    """Readings by another alphabet or order of letters."""
    words = frozenset(_WORD.findall(plain))
    if len(words & _SPELLING) >= _ENOUGH and (named := _SPELLED.search(plain)) is not None:
        yield "spelling alphabet", "".join(word[0] for word in _WORD.findall(named[0]))
    if _enough([one for word in words if word.endswith("ay") and (one := _unpigged(word)) in _KEYS]):
        yield "pig Latin", _PIG_LATIN.sub(lambda found: _unpigged(found[0]), plain)
    if _enough(words & _BACKWARDS):
        yield "backwards", plain[::-1]
    shifted = words & _SHIFTS.keys()
    for shift in sorted({shift for word in shifted for shift in _SHIFTS[word]}):
        if _enough([word for word in shifted if shift in _SHIFTS[word]]):
            if shift == len(_ALPHABET):
                yield "alphabet backwards", plain.translate(str.maketrans(_ALPHABET, _ALPHABET[::-1]))
            else:
                letters = str.maketrans(_ALPHABET[shift:] + _ALPHABET[:shift], _ALPHABET)
                yield "rot13" if shift == _HALF else "shifted letters", plain.translate(letters)


def _enough(keys: Collection[str]) -> bool:
    return len(keys) >= _ENOUGH or any(len(key) >= _LONG_KEY for key in keys)


def _says_more(view: str, begun: Set[str]) -> bool:
    """Whether a reading has words of the rules that the text itself has not."""
    return not (beginnings(_WORD.findall(view)) - begun).isdisjoint(VOCABULARY)


def initials(plain: str, words: Iterable[str]) -> Iterator[str]:
    """First letters of the lines of folded text, their last letters, and the first letters of its words."""
    lines = [line.strip(" -*>#\t") for line in plain.splitlines()]
    lines = [line for line in lines if line]
    if len(lines) >= _FEWEST_LINES:
        yield "".join(line[0] for line in lines)
        yield "".join(line.rstrip(".,;:!?")[-1:] for line in lines)
    yield "".join(map(itemgetter(0), words))


def _rejoined(text: str) -> Iterator[tuple[str, str]]:
    if _EMPHASISED.search(text) is not None:
        yield "emphasis inside words", fold(_EMPHASIS.sub("", text))
    if _CONCATENATED.search(text) is not None:
        yield "joined strings", fold(_CONCATENATED.sub("", text))
    for quote, pattern in _PIECES.items():
        if text.count(quote) > 3:
            pieces = pattern.findall(text)
            if len(pieces) > 1:
                yield "joined pieces", fold("".join(pieces))


def _decoded(text: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if "&" in text and (view := html.unescape(text)) != text:
        yield "HTML escapes", view
    if text.count("%") > 2 and (view := unquote(unquote(text)).replace("+", " ")) != text:
        yield "percent escapes", view
    if text.count("\\") > 2 and len(_ESCAPES.findall(text)) > 2:
        yield "escapes", _ESCAPES.sub(_character, text)
    if (
        text.count("=") > 2
        and _QUOTED_PRINTABLE.search(text)
        and (view := codecs.decode(text.encode(), "quopri").decode("utf-8", "replace")) != text
    ):
        yield "quoted printable", view
    for kind, sign, pattern, decode in _CODINGS:
        if sign not in text:
            continue
        for place, found in enumerate(pattern.finditer(text)):
            if place == _MOST_CODED:
                break
            try:
                view = decode(found[0])
                yield kind, view
                if depth == 0:
                    yield from _decoded(view, depth=1)
            except (binascii.Error, ValueError, OverflowError):
                continue


def _character(found: re.Match[str]) -> str:
    return chr(int(found[3], 8)) if found[3] else chr(int(found[1] or found[2], 16))


def _base64(code: str) -> str:
    code = code.rstrip("=").replace("-", "+").replace("_", "/")
    return (
        base64.b64decode(code[: len(code) - (len(code) % 4 == 1)] + "=" * (-len(code) % 4)).replace(b"\0", b"").decode()
    )


def _base85(code: str) -> str:
    decoded = base64.b85decode(code).decode("ascii")
    if not decoded.isprintable():
        raise ValueError("no text")
    return decoded


def _unpigged(word: str) -> str:
    word = word.removesuffix("ay")
    turned = [word[-moved:] + word[:-moved] for moved in range(1, min(4, len(word)))]
    return next((one for one in [*turned, word.removesuffix("w")] if one in _KEYS), word)


def _base32(code: str) -> str:
    code = code.rstrip("=")
    return base64.b32decode(code + "=" * (-len(code) % 8)).decode()


def _hexadecimal(code: str) -> str:
    return bytes.fromhex(re.sub(r"[ :]", "", code)).decode()


def _binary(code: str) -> str:
    return bytes(int(bits, 2) for bits in re.findall(r"[01]+", code)).decode()


def _decimal(code: str) -> str:
    return bytes(int(number) for number in re.findall(r"\d+", code)).decode()


def _morse(code: str) -> str:
    words = re.split(r" {3,}|\s?[/|]\s?", code)
    return " ".join("".join(_LETTERS.get(letter, "") for letter in word.split()) for word in words)


_CODINGS = (
    ("base64", "", _BASE64, _base64),
    ("base85", "", _BASE85, _base85),
    ("base32", "", _BASE32, _base32),
    ("hexadecimal", "", _HEX, _hexadecimal),
    ("binary", "01", _BINARY, _binary),
    ("character codes", "1", _DECIMAL, _decimal),
    ("Morse", "-.", _MORSE, _morse),
)
"""Names, a sign that the code cannot do without, patterns, and how to read what they find."""

CODED = frozenset(
    {name for name, *_ in _CODINGS}
    | {"spelling alphabet", "pig Latin", "backwards", "rot13", "shifted letters", "alphabet backwards"}
)
"""Readings that nobody gives a word on judging without a reason."""
