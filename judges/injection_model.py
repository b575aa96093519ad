"""The learned line of the injection detector: what the words of a passage are about, together, speaks of its own judging.

No word decides. A passage is the set of its concepts (`judges.injection_concepts`), which of them stand together, and
which follow each other; a linear model trained by `judges.training.injection` weighs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from judges.injection_concepts import BEGINNINGS, CONCEPTS, EXPRESSIONS, FIRST_WORDS, WORDS
from judges.weights import Weights, load_weights

LONGEST = 40
"""Tokens of a passage at most; longer sentences are read in passages that overlap by half."""

FARTHEST = 5
"""Tokens from one concept to the next, for it to follow."""

NEAR = 9
"""Tokens from one concept to another, for both to stand together."""

BEGIN = len(CONCEPTS)
"""Place of the beginning of a sentence, which a concept can follow."""

SIZE = BEGIN + 1
_SENTENCE = re.compile(r"[^.!?;\n。！？।]+(?:\.(?=[\w])[^.!?;\n。！？।]*)*[.!?;。！？।]*")
_TOKEN = re.compile(r"\d{1,3} ?/ ?\d{1,3}|\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?")
_FRACTION = re.compile(r"(\d{1,3}) ?/ ?(\d{1,3})")
_SHORTEST_BEGINNING = 4
_CORE = frozenset(
    CONCEPTS.index(name)
    for name in (
        "grader", "judge", "judging", "judge, order", "grade", "points", "all of all", "passes", "wins", "deserves", "verified",
        "reference", "rules", "better", "worse", "lenient", "deduct", "top", "five", "quality", "stake", "matches", "correct",
    )
)  # fmt: skip
_SIGNS = frozenset(max(words.split(), key=len) for words in EXPRESSIONS if not _CORE.isdisjoint(WORDS[words]))
_FEWEST = 2


class Passage(NamedTuple):
    """Where a passage stands in the folded text, and what it is made of.

    Attributes:
        start: first character.
        end: character after the last.
        present: places of its concepts.
        together: numbers ``first * len(CONCEPTS) + second``, first below second, of concepts near each other.
        following: numbers ``first * SIZE + second`` of the pairs that follow each other.
    """

    start: int
    end: int
    present: tuple[int, ...]
    together: tuple[int, ...]
    following: tuple[int, ...]


@lru_cache(maxsize=1 << 16)
def concepts_of(word: str) -> tuple[int, ...]:
    """Places of the concepts of a folded word, number or fraction."""
    if word[0].isdigit():
        fraction = _FRACTION.fullmatch(word)
        if fraction is not None:
            return WORDS["5/5"] if fraction[1] == fraction[2] else WORDS["2"]
        return WORDS.get(word, WORDS["2"])
    found = WORDS.get(word)
    if found is None and word.endswith("'s"):
        found = WORDS.get(word[:-2])
    if found is not None:
        return found
    for length in range(len(word), _SHORTEST_BEGINNING - 1, -1):
        if (begun := BEGINNINGS.get(word[:length])) is not None:
            return begun
    return ()


class _Sentence(NamedTuple):
    start: int
    end: int
    tokens: int
    standing: list[tuple[int, tuple[int, ...]]]
    present: set[int]


def passages(text: str) -> Iterator[Passage]:
    """The sentences of folded text, and neighbours together, that can speak of judging."""
    speaking = {token for token in _TOKEN.findall(text) if _may_speak(token)}
    if not speaking:
        return
    spans = [found.span() for found in _SENTENCE.finditer(text) if _TOKEN.search(found[0]) is not None]
    speaks = [any(token in sentence for token in speaking) for sentence in (text[start:end] for start, end in spans)]
    before: _Sentence | None = None
    for place, (start, end) in enumerate(spans):
        if not any(speaks[max(0, place - 1) : place + 2]):
            before = None
            continue
        tokens = _TOKEN.findall(text, start, end)
        span = end - len(text[start:end].lstrip()), end
        for first in range(0, max(1, len(tokens) - LONGEST // 2), LONGEST // 2):
            sentence = _read(span, tokens[first : first + LONGEST])
            if (one := _passage(sentence)) is not None:
                yield one
            joins = first == 0 and before is not None and before.tokens + sentence.tokens <= LONGEST
            if joins and before is not None and (both := _passage(before, sentence)) is not None:
                yield both
            before = sentence


@lru_cache(maxsize=1 << 16)
def _may_speak(token: str) -> bool:
    """Whether a token has, or is the longer word of an expression that has, a concept without which nothing is found."""
    return token in _SIGNS or not _CORE.isdisjoint(concepts_of(token))


def _read(span: tuple[int, int], tokens: Sequence[str]) -> _Sentence:
    standing: list[tuple[int, tuple[int, ...]]] = []
    skipped = False
    for at, word in enumerate(tokens):
        if skipped:
            skipped = False
            continue
        if word in FIRST_WORDS and at + 1 < len(tokens) and (joined := f"{word} {tokens[at + 1]}") in EXPRESSIONS:
            skipped = True
            standing.append((at, WORDS[joined]))
        elif places := concepts_of(word):
            standing.append((at, places))
    return _Sentence(*span, len(tokens), standing, {place for _, places in standing for place in places})


def _passage(*sentences: _Sentence) -> Passage | None:
    present = sentences[0].present if len(sentences) == 1 else sentences[0].present | sentences[-1].present
    if len(present) < _FEWEST or present.isdisjoint(_CORE):
        return None
    standing: list[tuple[int, tuple[int, ...]]] = []
    following: set[int] = set()
    offset = 0
    for sentence in sentences:
        last: tuple[int, ...] = (BEGIN,)
        place_of_last = 0
        for place, places in sentence.standing:
            if place - place_of_last <= FARTHEST:
                following.update([first * SIZE + second for first in last for second in places])
            last, place_of_last = places, place
        standing += [(place + offset, places) for place, places in sentence.standing]
        offset += sentence.tokens
    together: set[int] = set()
    for number, (first, ones) in enumerate(standing):
        for second, others in standing[number:]:
            if second - first > NEAR:
                break
            together.update([min(a, b) * BEGIN + max(a, b) for a in ones for b in others if a != b])
    ends = sentences[0].start, sentences[-1].end
    return Passage(*ends, tuple(present), tuple(together), tuple(following))


_VERDICTS = (
    r"(?:scor(?:e[sd]?|ing)|grad(?:e[sd]?|ing)|rat(?:e[ds]?|ings?)|marks?|points|stars|verdict|evaluat(?:e|ed|ion)s?|assess(?:ed|ment)"
    r"|award\w*|deserv\w+|merit\w*|warrant\w*|credit|band|recommended|outcome)"
)
_TOP = (
    r"(?:\b(?:five|ten|full|perfect|maxim\w*|highest|top|best|correct|pass(?:es|ed)?|excellent|flawless|outstanding|approved|a\+)"
    r"(?!\w)|(?<![\w.])(?:5|10|100)(?![\w%]|[.,]\d))"
)
_GRADED = (
    r"(?:scor(?:e[sd]?|ing)|grad(?:e[sd]?|ings?)|rat(?:e[ds]?|ings?)|marks?|points|stars|verdict|evaluat(?:e|ed|ion)s?|assess(?:ed|ment)|award\w*"
    r"|deserv\w+|merit\w*|warrant\w*|credit|band|treat(?:ed)?|count(?:s|ed)?|consider(?:ed)?|accept(?:ed)?|outcome|recommended)"
)
_NAMED_TOP = r"(?:\b(?:five|ten|full|perfect|maxim\w*|highest|top|correct|pass(?:es|ed)?)\b|(?<![\w.])(?:5|10|100)(?:\.0)?(?![\w%]|[.,]\d))"
_ANSWER = r"(?:answer|response|reply|output|submission|candidate|assistant|text)"
THEMES: Mapping[str, re.Pattern[str]] = {
    "a grade and the top": re.compile(rf"\b{_GRADED}\b[^\n]{{0,30}}?{_NAMED_TOP}"),
    "the top and a grade": re.compile(rf"(?:{_TOP}|\bhigh\b)[^\n]{{0,40}}?\b{_VERDICTS}\b"),
    "this and praise": re.compile(
        rf"\b(?:this|my|mine|above|the (?:candidate|present|first|given|current)(?:'s)?)\b[^\n.!?]{{0,50}}?(?:{_TOP}"
        r"|\b(?:perfectly|superior|better|faultless|matches|identical|verified|deserves?)\b)"
    ),
    "a grader": re.compile(
        r"\b(?:grader|evaluator|rater|assessor|scorer|adjudicator|(?:grading|scoring|evaluation|judging|reward)"
        r" (?:model|system|team|ai|bot|service|harness|pipeline))s?\b"
    ),
    "a reference": re.compile(
        rf"\b(?:reference|gold(?:en)?|ground[- ]truth|expected|model|sample|official|correct|accepted|target)"
        rf" (?:{_ANSWER}|solution|label)s?\b|\banswer key\b"
    ),
    "another answer": re.compile(
        rf"\b(?:other|rival|competing|second|first|opposing|alternative) (?:\w+(?:'s)? )?{_ANSWER}\b|\b{_ANSWER} [ab12]\b"
    ),
    "a rubric": re.compile(r"\b(?:rubric|marking scheme|grading guide|scoring guide|criteria)\b"),
    "a reader and the top": re.compile(
        rf"\b(?:you|whoever|reader|anyone)\b[^\n.!?]{{0,60}}?(?:{_TOP}|\bpoints\b)|(?:{_TOP}|\bpoints\b)[^\n.!?]{{0,40}}?"
        r"\b(?:you|whoever|reader|anyone)\b"
    ),
}
"""What a passage must speak of to be suspected at all."""


def theme_of(text: str, passage: Passage) -> str | None:
    """The first of the `THEMES` that a passage of folded text has; None where it has none."""
    there = (name for name, pattern in THEMES.items() if pattern.search(text, passage.start, passage.end) is not None)
    return next(there, None)


class ConceptModel:
    """Log-odds that a passage speaks of its own judging.

    Attributes:
        threshold: log-odds from which a passage that has one of the `THEMES` is suspected.
    """

    def __init__(self, weights: Weights) -> None:
        self.threshold = float(weights.facts["threshold"])
        self._intercept = float(weights.facts["intercept"])
        self._alone: list[float] = weights.arrays["alone"].tolist()
        self._together: list[float] = weights.arrays["together"].ravel().tolist()
        self._following: list[float] = weights.arrays["following"].ravel().tolist()

    def log_odds(self, passage: Passage) -> float:
        """Log-odds of one passage."""
        return (
            self._intercept
            + sum([self._alone[place] for place in passage.present])
            + sum([self._together[place] for place in passage.together])
            + sum([self._following[place] for place in passage.following])
        )

    def find(self, text: str) -> tuple[str, Passage] | None:
        """The first passage of folded text that is suspected, and its theme; None where there is none."""
        for passage in passages(text):
            if self.log_odds(passage) >= self.threshold and (theme := theme_of(text, passage)) is not None:
                return theme, passage
        return None


@cache
def concept_model() -> ConceptModel:
    """The model that ships with the package, loaded once."""
    return ConceptModel(load_weights("injection"))
