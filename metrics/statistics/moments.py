"""Mergeable moments of scored rows: everything that a mean, rate or ratio with its interval needs.

Sums of squares are kept about the mean (Chan, Golub and LeVeque 1979), so that a large offset loses no digits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metrics.base import Scores
from metrics.errors import InputError


@dataclass(frozen=True, slots=True)
class Clusters:
    """Sums per cluster: sorted 64-bit hashes of the names, and weighted values and denominators ``[clusters, 2]``."""

    hashes: NDArray[np.uint64]
    sums: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.hashes)

    def merge(self, other: Clusters) -> Clusters:
        """Add up the clusters of two runs of samples."""
        return _collect(np.concatenate([self.hashes, other.hashes]), np.concatenate([self.sums, other.sums]))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The moments that do not depend on clusters; u is weight * value, v is weight * denominator.

    Attributes:
        n, missing: scored and unscored rows; `missing_weight` the latter's weights.
        non_binary: scored rows whose value is neither 0 nor 1; `non_unit`: whose denominator is not 1.
        at_low, at_high: rows at the ends of the score's range.
        smallest, largest: extreme values of value / denominator.
        weight, weight_squares: sums of weights and of their squares.
        mean_u, mean_v: means over rows; `uu`, `uv`, `vv`: sums of products about the means.
    """

    n: float = 0.0
    missing: float = 0.0
    missing_weight: float = 0.0
    non_binary: float = 0.0
    non_unit: float = 0.0
    at_low: float = 0.0
    at_high: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf
    weight: float = 0.0
    weight_squares: float = 0.0
    mean_u: float = 0.0
    mean_v: float = 0.0
    uu: float = 0.0
    uv: float = 0.0
    vv: float = 0.0

    def merge(self, other: Numbers) -> Numbers:
        """Combine two runs of samples."""
        n = self.n + other.n
        share = other.n / n if n else 0.0
        joint = self.n * share
        du, dv = other.mean_u - self.mean_u, other.mean_v - self.mean_v
        return Numbers(
            n=n,
            missing=self.missing + other.missing,
            missing_weight=self.missing_weight + other.missing_weight,
            non_binary=self.non_binary + other.non_binary,
            non_unit=self.non_unit + other.non_unit,
            at_low=self.at_low + other.at_low,
            at_high=self.at_high + other.at_high,
            smallest=min(self.smallest, other.smallest),
            largest=max(self.largest, other.largest),
            weight=self.weight + other.weight,
            weight_squares=self.weight_squares + other.weight_squares,
            mean_u=self.mean_u + du * share,
            mean_v=self.mean_v + dv * share,
            uu=self.uu + other.uu + du * du * joint,
            uv=self.uv + other.uv + du * dv * joint,
            vv=self.vv + other.vv + dv * dv * joint,
        )


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of a run of rows; `clusters` is None when the samples are independent."""

    numbers: Numbers = Numbers()
    clusters: Clusters | None = None

    def merge(self, other: Moments) -> Moments:
        """Combine two runs of samples; `InputError` when only one of them names clusters."""
        if _offered(self) == 0 or _offered(other) == 0:
            return other if _offered(self) == 0 else self
        numbers = self.numbers.merge(other.numbers)
        if self.clusters is None and other.clusters is None:
            return Moments(numbers)
        if self.clusters is None or other.clusters is None:
            raise InputError("some samples name a cluster and others do not; give every sample of a task its cluster")
        return Moments(numbers, self.clusters.merge(other.clusters))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for a `metrics.base.State`."""
        arrays: dict[str, NDArray[Any]] = {"numbers": np.array(astuple(self.numbers))}
        if self.clusters is not None:
            arrays |= {"clusters": self.clusters.hashes, "cluster_sums": self.clusters.sums}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read what `to_arrays` wrote."""
        clusters = Clusters(arrays["clusters"], arrays["cluster_sums"]) if "clusters" in arrays else None
        return cls(Numbers(*(float(x) for x in arrays["numbers"])), clusters)


def moments_of(scores: Scores, *, low: float | None = None, high: float | None = None) -> Moments:
    """Moments of scored rows whose scores lie in ``[low, high]`` (None: unbounded).

    A row counts as scored when value and denominator are finite. A weight that is not a positive finite
    number, or a row without a cluster's name, raises `InputError`.
    """
    if not len(scores):
        return Moments()
    weights = _checked_weights(scores)
    scored = np.isfinite(scores.values) & np.isfinite(scores.denominators)
    value, denominator, weight = scores.values[scored], scores.denominators[scored], weights[scored]
    lost = Numbers(missing=float(np.sum(~scored)), missing_weight=float(np.sum(weights[~scored])))
    clusters = None
    if scores.clusters is not None:
        hashes = _hash_names(scores)[scored]
        clusters = _collect(hashes, np.stack([weight * value, weight * denominator], axis=1))
    if not len(value):
        return Moments(lost, clusters)
    u, v = weight * value, weight * denominator
    mean_u, mean_v = float(u.mean()), float(v.mean())
    du, dv = u - mean_u, v - mean_v
    unit = np.divide(value, denominator, out=np.copysign(np.full_like(value, np.inf), value), where=denominator != 0)
    unit = unit[(denominator != 0) | (value != 0)]
    numbers = replace(
        lost,
        n=float(len(value)),
        non_binary=float(np.sum((value != 0) & (value != 1))),
        non_unit=float(np.sum(denominator != 1)),
        at_low=0.0 if low is None else float(np.sum(value == low)),
        at_high=0.0 if high is None else float(np.sum(value == high)),
        smallest=float(unit.min(initial=math.inf)),
        largest=float(unit.max(initial=-math.inf)),
        weight=float(weight.sum()),
        weight_squares=float(weight @ weight),
        mean_u=mean_u,
        mean_v=mean_v,
        uu=float(du @ du),
        uv=float(du @ dv),
        vv=float(dv @ dv),
    )
    return Moments(numbers, clusters)


def cluster_positions(names: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """Position of every row's cluster among the distinct clusters, and their number."""
    distinct, positions = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    return positions, len(distinct)


def _offered(moments: Moments) -> float:
    return moments.numbers.n + moments.numbers.missing


def _checked_weights(scores: Scores) -> NDArray[np.float64]:
    weights = np.asarray(scores.weights, dtype=np.float64)
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"sample {scores.sample_ids[row]!r} has weight {weights[row]}; weights are positive numbers")
    return weights


def _hash_names(scores: Scores) -> NDArray[np.uint64]:
    known: dict[str, int] = {}
    hashes = np.empty(len(scores), dtype=np.uint64)
    for row, name in enumerate(scores.clusters or ()):
        if not isinstance(name, str):
            raise InputError(
                f"sample {scores.sample_ids[row]!r} has cluster {name!r}; every sample needs a name as text"
            )
        if name not in known:
            known[name] = int.from_bytes(
                hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
            )
        hashes[row] = known[name]
    return hashes


def _collect(hashes: NDArray[np.uint64], sums: NDArray[np.float64]) -> Clusters:
    distinct, positions = np.unique(hashes, return_inverse=True)
    total = np.zeros((len(distinct), 2))
    np.add.at(total, positions, sums)
    return Clusters(distinct, total)
