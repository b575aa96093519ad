"""How alike the outputs of a set are: self-BLEU and the compression ratio."""

from __future__ import annotations

import gzip
import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, Loader, Metric, MetricSpec, State
from metrics.scoring import batch_of, check_state, refuse_weights, text_column
from metrics.text.hashing import Hashes, run_hashes, word_hashes
from metrics.text.translation import bleu_of_counts

_ORDERS = 4


class _WholeSet(Metric):
    """A value of all outputs at n, whose state is the outputs in a compact form."""

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def _arrays(self, texts: list[str]) -> dict[str, NDArray[Any]]:
        """Compact form of texts; forms of two sets concatenate."""

    @abstractmethod
    def _value(self, arrays: dict[str, NDArray[Any]]) -> float:
        """The metric."""

    def init(self) -> State:
        """Return the state of no samples."""
        return self._state(0, 0, self._arrays([]))

    def update(self, state: State, batch: Batch) -> State:
        """Return the state with the batch's outputs added; an empty output is unscored."""
        refuse_weights(batch, self.spec.name)
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        used = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
        return self.merge(state, self._state(len(used), len(batch) - len(used), self._arrays(used)))

    def merge(self, a: State, b: State) -> State:
        """Return a's outputs followed by b's."""
        for state in (a, b):
            check_state(self, state)
        arrays = {name: np.concatenate([a.arrays[name], b.arrays[name]]) for name in a.arrays}
        return self._state(a.facts["n"] + b.facts["n"], a.facts["missing"] + b.facts["missing"], arrays)

    def compute(self, state: State, *, confidence: float = 0.95, load: Loader | None = None) -> dict[str, Estimate]:
        """Return the value at n."""
        n, missing = int(state.facts["n"]), int(state.facts["missing"])
        return {
            PRIMARY: Estimate(
                self._value(dict(state.arrays)),
                n=n,
                coverage=n / (n + missing) if n + missing else 0.0,
                method="no interval: " + self.spec.interval.removeprefix("none: "),
                estimand=f"{self.spec.name} of {n} outputs",
                confidence=confidence,
            )
        }

    def _state(self, n: int, missing: int, arrays: dict[str, NDArray[Any]]) -> State:
        return State(self.spec.name, self.spec.version, {"n": n, "missing": missing}, arrays)


class SelfBleu(_WholeSet):
    """Mean BLEU-4 of each output with all others as references, 0 to 100, lower is more diverse.

    Words are split at white space, case kept. Every output counts against every other one, yet the cost is linear: the
    best count of an n-gram among the others is its best count overall or, for the output that holds that, the second
    best. It rises with the number of outputs, so compare at equal n.
    """

    spec = MetricSpec(
        name="self_bleu",
        measures="mean BLEU of each output against all others",
        low=0.0,
        high=100.0,
        direction="lower",
        quadrant="diversity",
        needs=("output",),
        estimand="value at n: it rises with the number of outputs",
        interval="none: the outputs score each other, and resampling would put copies among the references",
        validity="compare at equal n and length",
        source="Zhu et al. 2018, Texygen (arXiv 1802.01886); sentence BLEU of sacreBLEU, tokenizer none",
    )

    def _arrays(self, texts: list[str]) -> dict[str, NDArray[Any]]:
        words = [text.split() for text in texts]
        flat = word_hashes([word for text in words for word in text])
        return {"words": flat, "lengths": np.array([len(text) for text in words], dtype=np.int64)}

    def _value(self, arrays: dict[str, NDArray[Any]]) -> float:
        lengths = arrays["lengths"]
        if len(lengths) < 2:
            return math.nan
        correct, total = (np.zeros((len(lengths), _ORDERS)) for _ in range(2))
        for order in range(1, _ORDERS + 1):
            hashes, texts = run_hashes(arrays["words"], lengths, order)
            correct[:, order - 1], total[:, order - 1] = _matches(hashes, texts, len(lengths))
        ends = np.stack([lengths, _closest_other(lengths)], axis=1)
        return float(bleu_of_counts(np.concatenate([ends, correct, total], axis=1), effective_order=True).mean())


def _matches(hashes: Hashes, texts: NDArray[np.int64], n: int) -> tuple[FloatArray, FloatArray]:
    """Per text, its n-grams that any other text has, clipped at the best count there, and all its n-grams."""
    if not len(hashes):
        return np.zeros(n), np.zeros(n)
    order = np.lexsort((texts, hashes))
    hashes, texts = hashes[order], texts[order]
    first = np.flatnonzero(np.r_[True, (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])])
    counts = np.diff(np.r_[first, len(hashes)])
    gram, owner = hashes[first], texts[first]
    order = np.lexsort((-counts, gram))  # in each n-gram, the text with the most comes first
    gram, owner, counts = gram[order], owner[order], counts[order]
    begins = np.flatnonzero(np.r_[True, gram[1:] != gram[:-1]])
    sizes = np.diff(np.r_[begins, len(gram)])
    others = np.repeat(counts[begins], sizes)
    second = np.minimum(begins + 1, len(counts) - 1)
    others[begins] = np.where(sizes > 1, counts[second], 0)
    clipped = np.minimum(counts, others)
    correct, total = np.zeros(n), np.zeros(n)
    np.add.at(correct, owner, clipped)
    np.add.at(total, owner, counts)
    return correct, total


def _closest_other(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each length, the closest among the others; the shorter of two equally close."""
    distinct, places, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    padded = np.r_[-(2**40), distinct, 2**40]
    below, above = padded[:-2], padded[2:]
    nearest = np.where(distinct - below <= above - distinct, below, above)
    found: NDArray[np.int64] = np.where(counts > 1, distinct, nearest)[places]
    return found


class CompressionRatio(_WholeSet):
    """Bytes of all outputs / bytes of the same compressed by gzip, above 0; lower is more diverse.

    Outputs are joined by line ends in the order of their hashes, so that their own order does not matter. Long outputs
    compress better, so compare at equal n and length. A ratio of 2 to 3 is usual for English; repetition raises it.
    """

    spec = MetricSpec(
        name="compression_ratio",
        measures="how many times smaller gzip makes the outputs",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="diversity",
        needs=("output",),
        estimand="value at n: it depends on how much text there is",
        interval="none: the value depends on n, and copies in a resample compress to nothing",
        validity="compare at equal n and length",
        source="Shaib et al. 2024, Standardizing the Measurement of Text Diversity (arXiv 2403.00553)",
    )

    def _arrays(self, texts: list[str]) -> dict[str, NDArray[Any]]:
        parts = [(text + "\n").encode("utf-8", "surrogatepass") for text in texts]
        sizes = np.array([len(part) for part in parts], dtype=np.int64)
        return {"text": np.frombuffer(b"".join(parts), dtype=np.uint8), "sizes": sizes}

    def _value(self, arrays: dict[str, NDArray[Any]]) -> float:
        text = arrays["text"].tobytes()
        if not text:
            return math.nan
        ends = np.cumsum(arrays["sizes"])
        parts = [text[end - size : end] for end, size in zip(ends, arrays["sizes"], strict=True)]
        parts.sort(key=lambda part: hashlib.blake2b(part, digest_size=8).digest())
        return len(text) / len(gzip.compress(b"".join(parts), mtime=0))


def self_bleu(texts: Sequence[str | None]) -> Estimate:
    """Self-BLEU of texts, 0 to 100, lower is more diverse; None and empty texts are unscored. See `SelfBleu`."""
    return _plain(SelfBleu(), texts)


def compression_ratio(texts: Sequence[str | None]) -> Estimate:
    """Gzip compression ratio of texts; None and empty texts are unscored. See `CompressionRatio`."""
    return _plain(CompressionRatio(), texts)


def _plain(metric: Metric, texts: Sequence[str | None]) -> Estimate:
    return metric.compute(metric.update(metric.init(), batch_of({"output": texts}, len(texts))))[PRIMARY]
