"""Answers of a known shape: a choice letter, facts that must occur, a list of items."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from metrics.base import Batch, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.scoring import accepted_answers, is_missing, rows, text_column
from metrics.text.tokenizers import unicode_words

_RATE = "Wilson; on the effective n where samples share a cluster"
_MEAN = "t, clustered where samples share a cluster; score interval near 0 and 1"
_SEPARATORS = re.compile(r"\n+|;|,|、|，|；")
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.)])\s*")


class ChoiceAccuracy(SampleMetric):
    """Share of outputs that name the right choice letter, 0 to 1, higher is better.

    Read in this order: the output is the letter alone ("B", "(b).", "B) Paris"); "answer is B", "Answer: (B)", the last
    of them; the only letter that stands alone, in upper case. An output that names no choice, or several, is wrong; an
    empty one is unscored.

    Args:
        letters: the letters that are choices, as one text.
    """

    spec = MetricSpec(
        name="choice_accuracy",
        measures="share of outputs that name the right choice letter",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output", "expected"),
        estimand="rate of right choices in the population of questions",
        interval=_RATE,
        validity="independent questions or clusters; any n from 2",
        source="counted; letters as in MMLU (Hendrycks et al. 2021)",
    )

    def __init__(self, *, letters: str = "ABCD") -> None:
        if not (isinstance(letters, str) and letters.isascii() and letters.isalpha() and letters.isupper()):
            raise InputError(f"metric 'choice_accuracy' has letters {letters!r}; expected upper-case ones, 'ABCD' say")
        super().__init__(letters=letters)
        one = f"[{letters}]"
        self._alone = re.compile(rf"^\W*({one})\W*$|^\W*({one})(?:[).:]|\s*[-–]\s)", re.IGNORECASE)
        self._said = re.compile(rf"\b(?:answer|choice|option)(?:\s+is|\s*[:=])?\s*\W{{0,4}}\b({one})\b", re.IGNORECASE)
        self._standing = re.compile(rf"(?<![\w'])({one})(?![\w'])")

    def choice(self, output: str) -> str | None:
        """The letter that an output names, in upper case; None where it names none or several."""
        text = output.strip()[-4000:]
        if match := self._alone.match(text):
            return str(match[1] or match[2]).upper()
        if said := self._said.findall(text):
            return str(said[-1]).upper()
        standing = set(self._standing.findall(text))
        return standing.pop() if len(standing) == 1 else None

    def score(self, batch: Batch) -> Scores:
        """Score 1 for an accepted letter, else 0."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        values = np.zeros(len(batch))
        for row, given in enumerate(batch.column("expected", self.spec.name)):
            answers = [answer.strip().upper() for answer in accepted_answers(given, batch.sample_ids[row])]
            for answer in answers:
                if answer not in list(self.settings["letters"]):
                    raise InputError(
                        f"sample {batch.sample_ids[row]!r}: '{answer[:40]}' is expected, but the choices are "
                        f"{', '.join(self.settings['letters'])}; set `letters` or map another column"
                    )
            if reasons[row] is None and not answers:
                reasons[row] = "no accepted answer"
            elif reasons[row] is None:
                values[row] = self.choice(texts[row]) in answers
        return rows(batch, values, reasons)


class ExpectedFacts(SampleMetric):
    """Mean share of the expected facts that occur in the output, 0 to 1, higher is better.

    ``expected`` lists facts that must all be there (not alternatives). A fact occurs where its words follow each other
    in the output, in any script, without regard to case and punctuation; a paraphrase is not found.
    """

    spec = MetricSpec(
        name="expected_facts",
        measures="mean share of the expected facts that occur in the output word by word",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output", "expected"),
        estimand="mean share of facts told in the population of samples",
        interval=_MEAN,
        validity="independent samples or clusters; n of about 30 and more",
        source="counted",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the share of facts found."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        values = np.zeros(len(batch))
        for row, given in enumerate(batch.column("expected", self.spec.name)):
            if reasons[row] is not None:
                continue
            facts = [words for fact in accepted_answers(given, batch.sample_ids[row]) if (words := unicode_words(fact))]
            if not facts:
                reasons[row] = "no expected fact"
                continue
            told = _joined(unicode_words(texts[row]))
            values[row] = sum(_joined(fact) in told for fact in facts) / len(facts)
        return rows(batch, values, reasons)


class ListF1(SampleMetric):
    """Mean F1 of the items of a list answer, 0 to 1, higher is better; order and repetitions do not count.

    The output is a JSON list, or items separated by lines, commas or semicolons, with or without bullets. Items are
    equal without regard to case and punctuation. ``expected`` lists the items; an expected empty list is answered by
    an output without items (``[]``).
    """

    spec = MetricSpec(
        name="list_f1",
        measures="mean F1 of the items of a list answer",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output", "expected"),
        estimand="mean F1 of list items in the population of questions",
        interval=_MEAN,
        validity="independent questions or clusters; n of about 30 and more",
        source="set F1; counted",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the F1 of the sets of items."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        values = np.zeros(len(batch))
        for row, given in enumerate(batch.column("expected", self.spec.name)):
            if is_missing(given):
                reasons[row] = reasons[row] or "no expected list"
            if reasons[row] is not None:
                continue
            wanted = _items(accepted_answers(given, batch.sample_ids[row]))
            found = _items(items_of(texts[row]))
            both = len(wanted) + len(found)
            values[row] = 2 * len(wanted & found) / both if both else 1.0
        return rows(batch, values, reasons)


def items_of(text: str) -> list[str]:
    """Items of a list in a text.

    >>> items_of("1. Paris\\n2. Rome"), items_of('["a", 2]'), items_of("red, green; blue")
    (['Paris', 'Rome'], ['a', '2'], ['red', 'green', 'blue'])
    """
    if text.lstrip().startswith("["):
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            given = None
        if isinstance(given, list) and all(isinstance(item, (str, int, float)) for item in given):
            return [str(item) for item in given]
    parts = (_BULLET.sub("", part).strip() for part in _SEPARATORS.split(text))
    return [part for part in parts if part]


def _items(texts: Sequence[str]) -> set[str]:
    return {_joined(words) for text in texts if (words := unicode_words(text))}


def _joined(words: Sequence[str]) -> str:
    return " " + " ".join(words) + " "
