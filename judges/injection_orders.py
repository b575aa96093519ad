"""Orders to a judge in languages other than English: words of `judges.injection_languages` near each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence, Set
from functools import cache, lru_cache
from typing import NamedTuple

from judges.folding import fold
from judges.injection_languages import LANGUAGES

_NEAR = 60
_FULL_MARKS = re.compile(
    fold(
        r"(?<![\d/])(?:5|10|20|100) ?/ ?(?:5|10|20|100)(?![\d/])"
        r"|满分|滿分|最高分|五分(?![钟鐘])|(?<!\d)(?:5|10|100) ?分(?![钟鐘之])|満点|最高点|五点|(?<!\d)(?:5|10|100) ?点"
        r"|만점|최고점|(?<!\d)(?:5|10|100) ?점"
    )
)
"""Full marks in one expression, where no other word for a grade is needed."""
_FORGET, _INSTRUCTIONS, _GIVE, _GRADE, _TOP = range(5)
_EVERY = frozenset(range(5))
_ANSWERS = (
    r"(?:respuesta|reponse|antwort|risposta|resposta|odpowied|odpov|ответ|відповід|cevab|yanit|antwoord|उत्तर|الإجابة)"
)
"""Words for an answer: what follows them is most often the answer itself."""
_THIS_ANSWER = re.compile(
    fold(
        r"\b(?:est[aeo]|es[ats]?[aeo]|quest[ao]|cette|diese[rsmn]?|det(?:ta|te)|den(?:ne|na)|dette|det har|tam[aä]|t[aä]lle|t[aä]m[aä]n|tuo|tej|temu|t[eé]to"
        r"|tomu(?:to)?|tento|этот|этому|этого|эту|этой|этим|данн\w+|цей|цьому|цю|ці[йє]ї?|този|това|тази|тоя|ovaj|ovom|ovo|ovu|ово[мј]?|овај|ezt?|ennek|erre|acest\w*"
        r"|dit|deze|bu|ini|nay|này|aquest[ae]?|seo|hili|hii|ito|itong|na ito|tiu|ĉi|šis|[sš]iai|[sš][iį]|[sš]ai|[sš]im|selle\w*|mijn|mein\w*|mon|mio|mia"
        r"|mitt|moj\w*|mo[ij]\w*|мо[йеёюя]\w*|benim|saya)\b \W{0,2}(?:\w{1,12} )?\W{0,2}"
        r"(?:respuest\w*|reponse|antwort\w*|rispost\w*|respost\w*|odpowied\w*|odpov[eě]\w*|odgovor\w*|ответ\w*|відповід\w*|отговор\w*|одговор\w*|svar\w*|vastau\w*|raspuns\w*"
        r"|valasz\w*|απαντησ\w*|cevab\w*|cevap\w*|yanit\w*|jawaban\w*|cau tra loi|resposta\w*|freagra\w*|jibu|sagot|respondo[jn]?|atsakym\w*|atbild\w*|vastuse\w*|vastus|antwoord\w*"
        r"|responso?|responsum|reponse\w*|pergjigj\w*|erantzun\w*|cavab\w*|zhauap\w*|svor\w*|svari?)"
        r"|\b(?:απαντησ\w* (?:αυτη\w*|μου)|(?:αυτη\w*) (?:την? )?απαντησ\w*|svari? [tþ]essu|[tþ]essu svari|responso huic|huic respons\w*|cavaba bu|cau tra loi nay|jawaban (?:ini|saya)|freagra seo"
        r"|jibu (?:hili|langu)|raspuns\w* acesta|jawapan (?:ini|saya))\b"
    )
)
"""This answer, my answer."""
_ANSWER_STEMS = tuple(
    map(
        fold,
        [
            "respuest",
            "repons",
            "antwort",
            "rispost",
            "respost",
            "odpow",
            "odpov",
            "odgovor",
            "ответ",
            "відпов",
            "отговор",
            "одговор",
            "svar",
            "svor",
            "vastau",
            "vastus",
            "raspuns",
            "valasz",
            "απαντ",
            "cevab",
            "cevap",
            "yanit",
            "jawaban",
            "jawapan",
            "resposta",
            "freagra",
            "jibu",
            "sagot",
            "respond",
            "respons",
            "atsakym",
            "atbild",
            "antwoord",
            "pergjigj",
            "erantzun",
            "cavab",
            "zhauap",
            "loi",
        ],
    )
)
_MORE_TOP = re.compile(
    fold(
        r"\b(?:vingt|topkarakter|toppbetyg|full pott|szostk\w*|piatk\w*|eins|einser|jednick\w*|αριστα|ανωτατ\w*|δεκα|dieci|diez|dix|zehn|tien|tio|ti|deset\w*|десят\w*|десетк\w*|пятерк\w*|шест\w*"
        r"|yuz|on|cien|cent|hundert|otlichno|sobresaliente|matricula|ausgezeichnet|hervorragend|parfaite?|perfect\w*|impecable|fehlerfrei|tadellos|maxim\w*)\b"
    )
)
_OTHER_SCRIPTS = re.compile("[\u0590-\u1fff\u3040-\ud7ff]")

_ENGLISH = frozenset(
    [
        "ignore",
        "instruction",
        "instructions",
        "directives",
        "prompt",
        "criteria",
        "note",
        "notes",
        "date",
        "dare",
        "pass",
        "s",
        "me",
        "point",
        "points",
        "maximum",
        "score",
        "scores",
        "full",
        "evaluate",
        "evaluates",
        "evaluated",
        "evaluating",
        "evaluation",
        "evaluations",
        "evaluator",
        "evaluators",
        "per",
        "scorer",
        "scorers",
        "scored",
        "scoring",
        "en",
        "classification",
        "classifier",
        "classifiers",
        "classifies",
        "classified",
        "top",
        "fun",
        "body",
        "bodies",
        "task",
        "tasks",
        "da",
        "fully",
        "de",
        "perfect",
        "perfectly",
        "perfection",
        "adjust",
        "adjusted",
        "adjusting",
        "adjustment",
        "ball",
        "balls",
        "balance",
        "balanced",
        "balancing",
        "piece",
        "pieces",
        "pat",
        "notebook",
        "notebooks",
        "telling",
        "la",
        "ge",
        "bitter",
        "notation",
        "maximal",
        "maximize",
        "maximizes",
        "maxima",
        "excellent",
        "pointing",
        "pointed",
        "pointer",
        "pointers",
        "pointless",
        "respond",
        "noted",
        "notable",
        "sec",
        "punch",
        "punish",
        "punctuation",
        "eligible",
        "adjacent",
        "annals",
        "pet",
        "ba",
        "marco",
        "marcus",
        "verdict",
        "on",
        "ken",
        "complete",
        "max",
        "cho",
        "mets",
        "march",
        "nota",
        "adjoint",
        "tam",
        "ver",
        "not",
        "skor",
    ]
)
"""Words that mean much the same in English, whose own rules know what is quoted."""


class Order(NamedTuple):
    """The language of an order and where it stands."""

    language: str
    start: int
    end: int


def find_order(text: str, words: Collection[str]) -> Order | None:
    """Return an order to a judge in folded `text`, whose distinct words are `words`; None where there is none."""
    if (own := _own_praise(text, words)) is not None:
        return own
    meanings = [(word, meaning) for word in words if (meaning := _meaning(word))]
    named = {mark for _, meaning in meanings for mark in meaning}
    foreign = {mark for word, meaning in meanings if word not in _ENGLISH and not word.isdigit() for mark in meaning}
    languages = [name for name, one in LANGUAGES.items() if one.spaced and _may_order(name, named, foreign)]
    if not text.isascii() and _OTHER_SCRIPTS.search(text) is not None:
        languages += [name for name, one in LANGUAGES.items() if not one.spaced]
    for language in languages:
        known = {part for name, part in named if name == language} if LANGUAGES[language].spaced else _EVERY
        strange = {part for name, part in foreign if name == language} if LANGUAGES[language].spaced else _EVERY
        if (span := _order(text, language, known, strange)) is not None:
            return Order(language, *span)
    return None


def _own_praise(text: str, words: Collection[str]) -> Order | None:
    """Where text speaks of this answer and of the top of a scale, in any language but English."""
    if not any(word.startswith(_ANSWER_STEMS) for word in words):
        return None
    for found in _THIS_ANSWER.finditer(text):
        low, high = max(0, found.start() - _NEAR), found.end() + _NEAR
        top = _FULL_MARKS.search(text, low, high) or _MORE_TOP.search(text, low, high)
        if top is not None and _apart(top.span(), found.span()):
            return Order("any", min(top.start(), found.start()), max(top.end(), found.end()))
        for word in re.finditer(r"\w+", text[low:high]):
            if not word[0].isdigit() and word[0] not in _ENGLISH and any(part == _TOP for _, part in _meaning(word[0])):
                place = word.start() + low, word.end() + low
                if _apart(place, found.span()):
                    return Order("any", min(place[0], found.start()), max(place[1], found.end()))
    return None


def _order(text: str, language: str, known: Set[int], strange: Set[int]) -> tuple[int, int] | None:
    """Where `text` orders or gives a verdict in a language, of which it has words of the `known` meanings, not English in `strange`."""
    parts, found = _patterns(language), None
    if {_FORGET, _INSTRUCTIONS} <= known:
        found = _near(text, (parts[_FORGET], parts[_INSTRUCTIONS]))
    if found is None and {_GIVE, _GRADE, _TOP} <= known:
        found = _near(text, (parts[_GIVE], parts[_GRADE], parts[_TOP]))
    if found is None and {_GRADE, _TOP} <= strange:
        found = _near(text, (parts[_GRADE], parts[_GRADE], parts[_TOP]))
    if found is None and {_GIVE, _TOP} <= known:
        found = _near(text, (parts[_GIVE], _FULL_MARKS))
    if found is None and {_GRADE, _TOP} <= known and (verdict := _verdict(language).search(text)) is not None:
        found = verdict.span()
    return found


def _may_order(language: str, named: Set[tuple[str, int]], foreign: Set[tuple[str, int]]) -> bool:
    override = {(language, _FORGET), (language, _INSTRUCTIONS)}
    if override <= named and not override.isdisjoint(foreign):
        return True
    return (language, _TOP) in named and ((language, _GIVE) in foreign or (language, _GRADE) in foreign)


def _parts(language: str) -> tuple[str, ...]:
    words = LANGUAGES[language]
    return tuple(map(fold, (words.forget, words.instructions, words.give, words.grade, words.top)))


@cache
def _patterns(language: str) -> tuple[re.Pattern[str], ...]:
    """Patterns of a language's words, folded as the text is: forget, instructions, give, grade, top."""
    edge = r"\b" if LANGUAGES[language].spaced else ""
    return tuple(re.compile(rf"{edge}(?:{part}){edge}") for part in _parts(language))


@cache
def _verdict(language: str) -> re.Pattern[str]:
    """A verdict that is given, not asked for: a grade, a sign or "is", and a word for the top."""
    edge = r"\b" if LANGUAGES[language].spaced else ""
    *_, grade, top = _parts(language)
    words = "|".join(one for one in _alternatives(top) if not one.isdigit())
    return re.compile(
        rf"{edge}(?!{_ANSWERS})(?:{grade}){edge}\s?(?:[:=]|->|ist|est|es|e|is|jest)\s?[\"'*]{{0,3}}(?:{words}){edge}[\"'*]{{0,3}}\s?(?:$|[.!,;])",
        re.MULTILINE,
    )


@cache
def _first_words() -> tuple[re.Pattern[str], dict[tuple[str, int], re.Pattern[str]]]:
    """What the expressions of all languages with spaces begin with, together and each."""
    begins = {
        (language, place): "|".join(_first_word(one) for one in _alternatives(part))
        for language, words in LANGUAGES.items()
        if words.spaced
        for place, part in enumerate(_parts(language))
    }
    return re.compile("|".join(begins.values())), {key: re.compile(value) for key, value in begins.items()}


@lru_cache(maxsize=1 << 16)
def _meaning(word: str) -> tuple[tuple[str, int], ...]:
    """Languages and meanings of a word, or of expressions that begin with it."""
    everything, each = _first_words()
    if everything.fullmatch(word) is None:
        return ()
    return tuple(key for key, pattern in each.items() if pattern.fullmatch(word) is not None)


def _alternatives(pattern: str) -> list[str]:
    """The alternatives of a pattern that stand in no brackets."""
    depth, begun, found = 0, 0, []
    for place, sign in enumerate(pattern):
        depth += (sign in "([") - (sign in ")]")
        if sign == "|" and depth == 0:
            found.append(pattern[begun:place])
            begun = place + 1
    return [*found, pattern[begun:]]


def _first_word(pattern: str) -> str:
    depth = 0
    for place, sign in enumerate(pattern):
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign in " '-":
            return pattern[:place]
    return re.sub(r"\(\?!.*", "", pattern)


def _near(text: str, patterns: Sequence[re.Pattern[str]]) -> tuple[int, int] | None:
    """Where matches of all patterns, none inside another, stand within `_NEAR` characters in one sentence or two."""
    for first in patterns[0].finditer(text):
        low, high = max(0, first.start() - _NEAR), first.end() + _NEAR
        taken = [first.span()]
        for pattern in patterns[1:]:
            place = next(
                (m.span() for m in pattern.finditer(text, low, high) if all(_apart(m.span(), span) for span in taken)),
                None,
            )
            if place is None:
                break
            taken.append(place)
        else:
            return min(span[0] for span in taken), max(span[1] for span in taken)
    return None


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]
