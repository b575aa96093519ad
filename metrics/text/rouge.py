"""ROUGE-1, -2, -L and -Lsum, equal to rouge-score's values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError, did_you_mean
from metrics.scoring import accepted_answers, batch_of, rows, text_column
from metrics.statistics.rows import Quantity
from metrics.text.subsequence import lcs_length, lcs_positions
from metrics.text.tokenizers import tokenizer as tokenizer_named

Gram = TypeVar("Gram", str, tuple[str, str])

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
"""Kinds of overlap: words, pairs of words, longest common subsequence, the same sentence by sentence (lines)."""


class Overlap(NamedTuple):
    """Shares of the prediction's and of the reference's units that both have, and their harmonic mean."""

    precision: float
    recall: float
    f1: float


_NOTHING = Overlap(0.0, 0.0, 0.0)


class _Tokens:
    """A text's tokens, and its n-gram counts once they are asked for."""

    def __init__(self, text: str, tokenize: Callable[[str], list[str]]) -> None:
        self.text, self.tokenize = text, tokenize
        self.words = tokenize(text)

    @cached_property
    def counts(self) -> Counter[str]:
        """Count of every word."""
        return Counter(self.words)

    @cached_property
    def pairs(self) -> Counter[tuple[str, str]]:
        """Count of every two neighbouring words."""
        return Counter(pairwise(self.words))

    def sentences(self) -> list[list[str]]:
        """Tokens of every line that is not empty."""
        return [self.tokenize(line) for line in self.text.split("\n") if line]


def _shares(hits: int, predicted: int, wanted: int) -> Overlap:
    if not hits:
        return _NOTHING
    precision, recall = hits / predicted, hits / wanted
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def _common(a: Counter[Gram], b: Counter[Gram]) -> int:
    both = a.keys() & b.keys()
    return sum(map(min, map(a.__getitem__, both), map(b.__getitem__, both)))


def _words(prediction: _Tokens, reference: _Tokens) -> Overlap:
    return _shares(_common(prediction.counts, reference.counts), len(prediction.words), len(reference.words))


def _pairs(prediction: _Tokens, reference: _Tokens) -> Overlap:
    hits = _common(prediction.pairs, reference.pairs)
    return _shares(hits, len(prediction.words) - 1, len(reference.words) - 1)


def _subsequence(prediction: _Tokens, reference: _Tokens) -> Overlap:
    hits = lcs_length(reference.words, prediction.words)
    return _shares(hits, len(prediction.words), len(reference.words))


def _by_sentence(prediction: _Tokens, reference: _Tokens) -> Overlap:
    """Union of each reference sentence's longest common subsequences with the predicted ones; no token twice."""
    predicted, wanted = prediction.sentences(), reference.sentences()
    left = [Counter(token for sentence in side for token in sentence) for side in (predicted, wanted)]
    sizes = [counts.total() for counts in left]
    hits = 0
    for sentence in wanted:
        union = set().union(*(lcs_positions(sentence, other) for other in predicted))
        for place in sorted(union):
            token = sentence[place]
            if left[0][token] > 0 and left[1][token] > 0:
                hits += 1
                left[0][token] -= 1
                left[1][token] -= 1
    return _shares(hits, sizes[0], sizes[1])


_OVERLAPS: dict[str, Callable[[_Tokens, _Tokens], Overlap]] = {
    "rouge1": _words,
    "rouge2": _pairs,
    "rougeL": _subsequence,
    "rougeLsum": _by_sentence,
}


class _Rouge(SampleMetric):
    """Mean F1 of one kind of overlap with the best reference, 0 to 1, higher is better.

    Args:
        stem: stem words of more than 3 letters (Porter), as rouge-score with ``use_stemmer=True``.
        tokenizer: ``rouge`` (ASCII words; texts in other scripts score 0) or ``unicode``.
    """

    kind: ClassVar[str]

    def __init__(self, *, stem: bool = False, tokenizer: str = "rouge") -> None:
        super().__init__(stem=stem, tokenizer=tokenizer)
        self._tokenize = tokenizer_named(tokenizer, stem=stem)

    def quantities(self) -> dict[str, Quantity]:
        """Key to what it estimates."""
        shares = {key: Quantity(0.0, 1.0, estimand=f"mean {self.kind} {key}") for key in ("precision", "recall")}
        return {PRIMARY: Quantity(0.0, 1.0, estimand=self.spec.estimand)} | shares

    def score(self, batch: Batch) -> Scores:
        """Score ``output`` against the texts in ``expected`` by F1; an empty output is unscored."""
        return self.batch_components(batch)[PRIMARY]

    def batch_components(self, batch: Batch) -> dict[str, Scores]:
        """F1, precision and recall of every sample."""
        values, reasons = overlaps(batch, (self.kind,), self._tokenize, self.spec.name)
        scores = rows(batch, values[:, 0, 2], reasons)
        precision, recall = (np.where(np.isnan(scores.values), np.nan, values[:, 0, i]) for i in (0, 1))
        return {
            PRIMARY: scores,
            "precision": replace(scores, values=precision),
            "recall": replace(scores, values=recall),
        }


def _spec(name: str, kind: str, unit: str) -> MetricSpec:
    return MetricSpec(
        name=name,
        measures=f"mean F1 of {unit} shared with the best reference",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output", "expected"),
        estimand=f"mean {kind} F1 in the population of samples",
        interval="t, clustered where samples share a cluster; score interval near 0 and 1",
        validity="independent samples or clusters; n of about 30 and more",
        source="Lin 2004; values of rouge-score 0.1.2",
        keys={"precision": f"share of the output's {unit}", "recall": f"share of the reference's {unit}"},
    )


class Rouge1(_Rouge):
    """ROUGE-1: shared words."""

    kind = "rouge1"
    spec = _spec("rouge1", kind, "words")


class Rouge2(_Rouge):
    """ROUGE-2: shared pairs of neighbouring words."""

    kind = "rouge2"
    spec = _spec("rouge2", kind, "word pairs")


class RougeL(_Rouge):
    """ROUGE-L: the longest common subsequence of words."""

    kind = "rougeL"
    spec = _spec("rouge_l", kind, "words in order")


class RougeLsum(_Rouge):
    """ROUGE-Lsum: longest common subsequences by sentence; sentences are lines."""

    kind = "rougeLsum"
    spec = _spec("rouge_lsum", kind, "words in order within lines")


_METRICS: dict[str, type[_Rouge]] = {"rouge1": Rouge1, "rouge2": Rouge2, "rougeL": RougeL, "rougeLsum": RougeLsum}


def overlaps(
    batch: Batch, kinds: Sequence[str], tokenize: Callable[[str], list[str]], metric: str
) -> tuple[FloatArray, list[str | None]]:
    """Precision, recall and F1 per sample and kind ``[n, kinds, 3]``, and why samples are unscored.

    Of several references, each kind takes the one with the best F1, the first of equal ones.
    """
    texts, reasons = text_column(batch, "output", metric, empty_counts=False)
    values: NDArray[np.float64] = np.zeros((len(batch), len(kinds), 3))
    for row, given in enumerate(batch.column("expected", metric)):
        if reasons[row] is not None:
            continue
        references = [_Tokens(text, tokenize) for text in accepted_answers(given, batch.sample_ids[row])]
        if not references:
            reasons[row] = "no reference"
            continue
        prediction = _Tokens(texts[row], tokenize)
        for place, kind in enumerate(kinds):
            measure = _OVERLAPS[kind]
            values[row, place] = max((measure(prediction, other) for other in references), key=lambda found: found.f1)
    return values, reasons


def rouge(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str] | str],
    *,
    kinds: Sequence[str] = ("rouge1", "rouge2", "rougeL"),
    stem: bool = False,
    tokenizer: str = "rouge",
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Mean ROUGE F1 per kind, each 0 to 1, higher is better.

    Args:
        predictions: one text per item; None or an empty text is unscored and lowers the coverage.
        references: per item a text or a list of texts, of which the best counts.
        kinds: any of `KINDS`. ``rougeLsum`` takes lines for sentences.
        stem: stem words of more than 3 letters with the Porter stemmer (needs ``nltk``).
        tokenizer: ``rouge``, which drops everything but ASCII letters and digits, or ``unicode``.
        confidence: two-sided level of the intervals.

    Raises:
        InputError: an unknown kind or tokenizer, different lengths, an entry that is not text.

    Values equal rouge-score 0.1.2 sample by sample (Lin 2004).

    >>> print(rouge(["the cat sat"], ["the cat sat down"], kinds=["rougeL"])["rougeL"].value)
    0.8571428571428571
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"unknown kind of ROUGE '{kind}'{did_you_mean(kind, KINDS)}; there is {', '.join(KINDS)}")
    if len(predictions) != len(references):
        raise InputError(f"{len(predictions)} predictions for {len(references)} references; expected one each")
    batch = batch_of({"output": predictions, "expected": references}, len(predictions))
    values, reasons = overlaps(batch, tuple(kinds), tokenizer_named(tokenizer, stem=stem), "rouge")
    found = {}
    for place, kind in enumerate(kinds):
        scores = rows(batch, values[:, place, 2], reasons)
        found[kind] = _METRICS[kind](stem=stem, tokenizer=tokenizer).summarise(scores, confidence=confidence)[PRIMARY]
    return found
