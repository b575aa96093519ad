"""Distinct-n: how many of the n-grams of all outputs are different."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Batch, Estimate, Loader, Metric, MetricSpec, State
from metrics.errors import InputError
from metrics.scoring import check_state, refuse_weights, text_column

_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


class DistinctN(Metric):
    """Distinct n-grams / all n-grams over all outputs, 0 to 1, higher is more diverse.

    Words are split at white space, case kept. The value falls as more outputs are counted, so it is a value at n and
    two versions are comparable only at equal n. The state is the sorted set of 64-bit n-gram hashes: merging is
    exact, and two n-grams share a hash with probability 2**-64.

    Args:
        order: words per n-gram: 1, 2 or 3.
    """

    spec = MetricSpec(
        name="distinct_n",
        measures="share of different n-grams among all n-grams of the outputs",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="diversity",
        needs=("output",),
        estimand="value at n: it depends on how many outputs are counted",
        interval="none: the value is biased in n, and neither a t interval nor a bootstrap is valid for it",
        validity="compare at equal n and length",
        source="Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models",
    )

    def __init__(self, order: int = 2) -> None:
        if order not in (1, 2, 3) or isinstance(order, bool):
            raise InputError(f"distinct_n has order {order!r}; expected 1, 2 or 3 words per n-gram")
        super().__init__(order=order)
        self.order = order

    def init(self) -> State:
        """Return the state of no samples."""
        return self._state(0, 0, 0, np.empty(0, dtype=np.uint64))

    def update(self, state: State, batch: Batch) -> State:
        """Return the state with the batch's outputs added."""
        refuse_weights(batch, self.spec.name)
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        used = [text.split() for text, reason in zip(texts, reasons, strict=True) if reason is None]
        grams = self._grams(used)
        fresh = self._state(len(used), len(batch) - len(used), len(grams), np.unique(grams))
        return self.merge(state, fresh)

    def merge(self, a: State, b: State) -> State:
        """Return the state of both runs of samples."""
        for state in (a, b):
            check_state(self, state)
            if state.facts["order"] != self.order:
                raise InputError(f"a state of distinct-{state.facts['order']} was given to distinct-{self.order}")
        counts = [int(a.facts[name]) + int(b.facts[name]) for name in ("n", "missing", "total")]
        return self._state(counts[0], counts[1], counts[2], np.union1d(a.arrays["hashes"], b.arrays["hashes"]))

    def compute(self, state: State, *, confidence: float = 0.95, load: Loader | None = None) -> dict[str, Estimate]:
        """Return the share; NaN where no output is as long as an n-gram."""
        n, missing, total = (int(state.facts[name]) for name in ("n", "missing", "total"))
        value = len(state.arrays["hashes"]) / total if total else math.nan
        return {
            PRIMARY: Estimate(
                value,
                n=n,
                coverage=n / (n + missing) if n + missing else 0.0,
                method="no interval: " + self.spec.interval.removeprefix("none: "),
                estimand=f"distinct-{self.order} of {n} outputs",
                confidence=confidence,
            )
        }

    def _state(self, n: int, missing: int, total: int, hashes: NDArray[np.uint64]) -> State:
        facts = {"order": self.order, "n": n, "missing": missing, "total": total}
        return State(self.spec.name, self.spec.version, facts, {"hashes": hashes})

    def _grams(self, texts: list[list[str]]) -> NDArray[np.uint64]:
        """Hash of every n-gram of every text, texts apart."""
        lengths = np.array([len(words) for words in texts], dtype=np.int64)
        flat = [word for words in texts for word in words]
        hashes = {word: _hash(word) for word in set(flat)}
        words = np.fromiter(map(hashes.__getitem__, flat), dtype=np.uint64, count=len(flat))
        ends = np.repeat(np.cumsum(lengths), lengths)
        starts = np.flatnonzero(np.arange(len(words)) + self.order <= ends)
        mixed = np.zeros(len(starts), dtype=np.uint64)
        for place in range(self.order):  # words' hashes are uniform, so odd factors keep their order apart
            mixed = (mixed ^ words[starts + place]) * _FACTORS[place]
            mixed ^= mixed >> np.uint64(29)
        return mixed


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
