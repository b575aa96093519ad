"""ROUGE-1, -2, -L and -Lsum, equal to rouge-score's values."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError, did_you_mean
from metrics.scoring import accepted_answers, batch_of, rows, text_column
from metrics.statistics.rows import Quantity
from metrics.text.subsequence import lcs_positions
from metrics.text.tokenizers import porter_stemmer
from metrics.text.tokenizers import tokenizer as tokenizer_named

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
"""Kinds of overlap: words, pairs of words, longest common subsequence, the same sentence by sentence (lines)."""

_CHUNK = 1_000_000
"""Characters of outputs and references compared at a time: bounds the memory, and how many words need a code."""

Counts = NDArray[np.int64]


class _Language(NamedTuple):
    """How a text becomes words, and what of a word counts."""

    words: Callable[[str], list[str]]
    stem: Callable[[str], str] | None

    @classmethod
    def of(cls, tokenizer: str, stem: bool) -> _Language:
        return cls(tokenizer_named(tokenizer), porter_stemmer() if stem else None)


class _Codes(dict[str, str]):
    """A character for every different word, so that texts become strings of one character a word.

    Comparing words is then comparing characters, which RapidFuzz and NumPy do without Python objects.
    """

    def __init__(self, language: _Language) -> None:
        super().__init__()
        self._language = language
        self._stems: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Different characters in use."""
        return len(self._stems)

    def __missing__(self, word: str) -> str:
        stem = word if self._language.stem is None else self._language.stem(word)
        if stem not in self._stems:
            if self.size > sys.maxunicode:
                raise InputError(f"a text has more than {sys.maxunicode:,} different words; leave it out or shorten it")
            self._stems[stem] = chr(self.size)
        return self.setdefault(word, self._stems[stem])

    def encode(self, text: str) -> str:
        """The text's words as characters."""
        return "".join(map(self.__getitem__, self._language.words(text)))


class _Pairs:
    """Predictions and references, encoded, one of each per pair."""

    def __init__(self, predictions: list[str], references: list[str], codes: _Codes) -> None:
        self.texts = predictions, references
        self.codes = codes
        known: dict[str, str] = {}
        self.encoded: tuple[list[str], list[str]] = tuple(  # type: ignore[assignment]
            [known[text] if text in known else known.setdefault(text, codes.encode(text)) for text in side]
            for side in self.texts
        )
        self.lengths: tuple[Counts, Counts] = tuple(  # type: ignore[assignment]
            np.fromiter(map(len, side), dtype=np.int64, count=len(side)) for side in self.encoded
        )

    def counted(self, side: int, order: int) -> tuple[Counts, Counts]:
        """Different n-grams of each pair's text, as sorted keys that name pair and n-gram, and their counts."""
        flat = "".join(self.encoded[side]).encode("utf-32-le", "surrogatepass")
        codes = np.frombuffer(flat, dtype="<u4").astype(np.int64)
        lengths = self.lengths[side]
        owners = np.repeat(np.arange(len(lengths)), lengths)
        if order == 2:
            inside = owners[1:] == owners[:-1]
            codes = (codes[:-1] * self.codes.size + codes[1:])[inside]
            owners = owners[1:][inside]
        # at most 2^20 pairs and words in a chunk: 60 bits
        keys, counts = np.unique(owners * max(1, self.codes.size) ** order + codes, return_counts=True)
        return keys, counts


def _shared_n_grams(pairs: _Pairs, order: int) -> tuple[Counts, Counts, Counts]:
    (ours, our_counts), (theirs, their_counts) = (pairs.counted(side, order) for side in (0, 1))
    _, left, right = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    owners = ours[left] // max(1, pairs.codes.size) ** order
    hits = np.zeros(len(pairs.encoded[0]), dtype=np.int64)
    np.add.at(hits, owners, np.minimum(our_counts[left], their_counts[right]))
    sizes = [np.maximum(lengths - order + 1, 0) for lengths in pairs.lengths]
    return hits, sizes[0], sizes[1]


def _subsequences(pairs: _Pairs) -> tuple[Counts, Counts, Counts]:
    from rapidfuzz.distance import LCSseq

    hits = np.fromiter(map(LCSseq.similarity, *pairs.encoded), dtype=np.int64, count=len(pairs.encoded[0]))
    return hits, *pairs.lengths


def _by_sentence(pairs: _Pairs) -> tuple[Counts, Counts, Counts]:
    """Union of each reference sentence's longest common subsequences with the predicted ones; no token twice."""
    found = np.zeros((len(pairs.encoded[0]), 3), dtype=np.int64)
    for row, texts in enumerate(zip(*pairs.texts, strict=True)):
        predicted, wanted = ([pairs.codes.encode(line) for line in text.split("\n") if line] for text in texts)
        left = [Counter("".join(side)) for side in (predicted, wanted)]
        found[row] = 0, left[0].total(), left[1].total()
        for sentence in wanted:
            union = set().union(*(lcs_positions(sentence, other) for other in predicted))
            for place in sorted(union):
                token = sentence[place]
                if left[0][token] > 0 and left[1][token] > 0:
                    found[row, 0] += 1
                    left[0][token] -= 1
                    left[1][token] -= 1
    return found[:, 0], found[:, 1], found[:, 2]


_OVERLAPS: dict[str, Callable[[_Pairs], tuple[Counts, Counts, Counts]]] = {
    "rouge1": lambda pairs: _shared_n_grams(pairs, 1),
    "rouge2": lambda pairs: _shared_n_grams(pairs, 2),
    "rougeL": _subsequences,
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
        self._language = _Language.of(tokenizer, stem)

    def quantities(self) -> dict[str, Quantity]:
        """Key to what it estimates."""
        shares = {key: Quantity(0.0, 1.0, estimand=f"mean {self.kind} {key}") for key in ("precision", "recall")}
        return {PRIMARY: Quantity(0.0, 1.0, estimand=self.spec.estimand)} | shares

    def score(self, batch: Batch) -> Scores:
        """Score ``output`` against the texts in ``expected`` by F1; an empty output is unscored."""
        return self.batch_components(batch)[PRIMARY]

    def batch_components(self, batch: Batch) -> dict[str, Scores]:
        """F1, precision and recall of every sample."""
        values, reasons = _overlaps(batch, (self.kind,), self._language, self.spec.name)
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


def _overlaps(
    batch: Batch, kinds: Sequence[str], language: _Language, metric: str
) -> tuple[FloatArray, list[str | None]]:
    """Precision, recall and F1 per sample and kind ``[n, kinds, 3]``, and why samples are unscored.

    Of several references, each kind takes the one with the best F1, the first of equal ones.
    """
    texts, reasons = text_column(batch, "output", metric, empty_counts=False)
    values: FloatArray = np.zeros((len(batch), len(kinds), 3))
    owners: list[int] = []
    references: list[str] = []
    waiting = 0

    def compare() -> None:
        pairs = _Pairs([texts[row] for row in owners], references, _Codes(language))
        for place, kind in enumerate(kinds):
            shares = _shares(*_OVERLAPS[kind](pairs))
            # the best of a sample's pairs first; stable, hence the first of equal ones
            order = np.lexsort((-shares[:, 2], np.array(owners)))
            samples, first = np.unique(np.array(owners)[order], return_index=True)
            values[samples, place] = shares[order[first]]

    for row, given in enumerate(batch.column("expected", metric)):
        if reasons[row] is not None:
            continue
        accepted = accepted_answers(given, batch.sample_ids[row])
        if not accepted:
            reasons[row] = "no reference"
            continue
        size = len(texts[row]) + sum(map(len, accepted))
        if owners and waiting + size > _CHUNK:
            compare()
            owners, references, waiting = [], [], 0
        owners += [row] * len(accepted)
        references += accepted
        waiting += size
    if owners:
        compare()
    return values, reasons


def _shares(hits: Counts, predicted: Counts, wanted: Counts) -> FloatArray:
    """Precision, recall and F1 ``[n, 3]``; 0 where nothing is shared."""
    some = hits > 0
    precision, recall = (np.divide(hits, size, out=np.zeros(len(hits)), where=some) for size in (predicted, wanted))
    f1 = np.divide(2 * precision * recall, precision + recall, out=np.zeros(len(hits)), where=some)
    return np.stack([precision, recall, f1], axis=1)


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
    values, reasons = _overlaps(batch, tuple(kinds), _Language.of(tokenizer, stem), "rouge")
    found = {}
    for place, kind in enumerate(kinds):
        scores = rows(batch, values[:, place, 2], reasons)
        found[kind] = _METRICS[kind](stem=stem, tokenizer=tokenizer).summarise(scores, confidence=confidence)[PRIMARY]
    return found
