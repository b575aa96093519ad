"""How much of the outputs is copied from training text: n-gram overlap and the longest copied span."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Batch, Estimate, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.scoring import batch_of, rows, text_column
from metrics.text.hashing import Hashes, run_hashes, word_hashes
from metrics.text.tokenizers import unicode_words

_CACHED_HASHES = 32_000_000


class TrainingText:
    """Training texts, ready to be searched for runs of words.

    Words are those of the ``unicode`` tokenizer, so case and punctuation do not hide a copy. Memory: 8 bytes a word,
    and up to 256 MB of sorted runs.

    Args:
        texts: the training texts; spans do not cross from one to the next.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputError("the training text is not a list of texts; give one text per document")
        self.words, self.lengths = _hashed(texts)
        content = self.words.astype("<u8").tobytes() + self.lengths.astype("<i8").tobytes()
        self.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self._runs: dict[int, Hashes] = {}

    def holds(self, runs: Hashes, order: int) -> NDArray[np.bool_]:
        """Whether each run of `order` words, given as its hash, occurs in the training text."""
        known = self._sorted_runs(order)
        if not len(known):
            return np.zeros(len(runs), dtype=bool)
        places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
        found: NDArray[np.bool_] = known[places] == runs
        return found

    def longest_spans(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of the longest run of each text that occurs in the training text.

        A run that occurs has only parts that occur, so its length is found by doubling and halving.
        """
        words, lengths = _hashed(texts)
        low, high = np.zeros(len(texts), dtype=np.int64), lengths.copy()
        ceiling = 1
        while np.any(low < high):
            # doubling keeps the lengths to try the same for all texts, hence few passes over the training text
            middle = np.minimum(np.where(low == ceiling // 2, ceiling, (low + high + 1) // 2), high)
            middle = np.where(low < high, middle, 0)
            for order in np.unique(middle[middle > 0]):
                runs, owners = run_hashes(words, lengths, int(order))
                tried = middle[owners] == order
                hit = np.zeros(len(texts), dtype=bool)
                hit[owners[tried][self.holds(runs[tried], int(order))]] = True
                asked = middle == order
                low[asked & hit] = order
                high[asked & ~hit] = order - 1
            ceiling *= 2
        return low

    def _sorted_runs(self, order: int) -> Hashes:
        if order not in self._runs:
            while self._runs and (len(self._runs) + 1) * len(self.words) > _CACHED_HASHES:
                self._runs.pop(next(iter(self._runs)))
            self._runs[order] = np.unique(run_hashes(self.words, self.lengths, order)[0])
        return self._runs[order]


def _hashed(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    words = [unicode_words(text) for text in texts]
    lengths = np.array([len(text) for text in words], dtype=np.int64)
    return word_hashes([word for text in words for word in text]), lengths


class _Copying(SampleMetric):
    """A metric that compares outputs with training text."""

    training: TrainingText

    def _take(self, training: TrainingText | Sequence[str] | None) -> str:
        if training is None:
            raise InputError(f"metric '{self.spec.name}' needs `training`: a list of texts or a TrainingText")
        self.training = training if isinstance(training, TrainingText) else TrainingText(training)
        return self.training.digest


class TrainingOverlap(_Copying):
    """Share of the outputs' n-grams that occur in the training text, 0 to 1, lower is less copied.

    All n-grams of all outputs count alike, so that long outputs weigh more. An output shorter than an n-gram is
    unscored.

    Args:
        training: the training texts.
        order: words per n-gram; 8 is seldom shared by chance.
    """

    spec = MetricSpec(
        name="training_overlap",
        measures="share of the outputs' n-grams that occur in the training text",
        low=0.0,
        high=1.0,
        direction="lower",
        quadrant="diversity",
        needs=("output",),
        estimand="share of n-grams that occur in this training text, over the population of outputs",
        interval="t with the delta method, clustered where samples share a cluster",
        validity="independent samples or clusters; n of about 30 and more",
        source="McCoy et al. 2023, RAVEN (arXiv 2111.09509): one minus their n-gram novelty",
    )

    def __init__(self, *, training: TrainingText | Sequence[str] | None = None, order: int = 8) -> None:
        if not isinstance(order, int) or isinstance(order, bool) or not 1 <= order <= 100:
            raise InputError(f"metric 'training_overlap' has order {order!r}; expected 1 to 100 words per n-gram")
        super().__init__(training=self._take(training), order=order)
        self._order = order

    def score(self, batch: Batch) -> Scores:
        """Rows of n-grams that occur (values) and all n-grams (denominators)."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        words, lengths = _hashed(texts)
        runs, owners = run_hashes(words, lengths, self._order)
        known = self.training.holds(runs, self._order)
        hits = np.bincount(owners, weights=known, minlength=len(batch))
        totals = np.bincount(owners, minlength=len(batch)).astype(np.float64)
        short = f"shorter than {self._order} words"
        reasons = [r or (short if total == 0 else None) for r, total in zip(reasons, totals, strict=True)]
        return rows(batch, hits, reasons, denominators=np.where(totals > 0, totals, np.nan))


class CopiedSpan(_Copying):
    """Mean words of an output's longest run of words that occurs in the training text, 0 and more, lower is better.

    ``p99`` shows the copies that a mean hides. Matching is exact, in words.

    Args:
        training: the training texts.
    """

    spec = MetricSpec(
        name="copied_span",
        measures="mean length of the longest run of words copied from the training text",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="diversity",
        needs=("output",),
        estimand="mean longest copied run in the population of outputs",
        interval="t, clustered where samples share a cluster; order statistics for the quantile",
        validity="independent samples or clusters; n of about 30 and more, the quantile 300",
        source="Carlini et al. 2023 (arXiv 2202.07646) call a run of 50 tokens memorized",
        keys={"p99": "99 % of the outputs copy no longer run"},
        units="words",
    )
    quantiles: ClassVar[dict[str, float]] = {"p99": 0.99}

    def __init__(self, *, training: TrainingText | Sequence[str] | None = None) -> None:
        super().__init__(training=self._take(training))

    def score(self, batch: Batch) -> Scores:
        """Score the longest copied run."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        return rows(batch, self.training.longest_spans(texts).astype(np.float64), reasons)


def training_overlap(
    outputs: Sequence[str | None], training: TrainingText | Sequence[str], *, order: int = 8, confidence: float = 0.95
) -> Estimate:
    """Share of the outputs' n-grams that occur in the training text; see `TrainingOverlap`."""
    metric = TrainingOverlap(training=training, order=order)
    return metric.summarise(metric.score(batch_of({"output": outputs}, len(outputs))), confidence=confidence)[PRIMARY]


def longest_copied_span(
    outputs: Sequence[str | None], training: TrainingText | Sequence[str], *, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Mean (``value``) and 99 % quantile (``p99``) of the longest copied run, in words; see `CopiedSpan`.

    >>> print(longest_copied_span(["he said: to be or not to", "to be"], ["To be, or not to be"])["value"].value)
    3.5
    """
    metric = CopiedSpan(training=training)
    batch = batch_of({"output": outputs}, len(outputs))
    return metric.compute(metric.update(metric.init(), batch), confidence=confidence)
