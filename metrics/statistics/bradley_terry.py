"""Strengths of models from pairwise verdicts, ties included: Bradley and Terry's model with Davidson's ties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import normal_quantile, tail
from metrics.statistics.moments import cluster_positions
from metrics.statistics.resampling import resample_counts

FEWEST_COMPARISONS = 100
"""Comparisons (or clusters) below which most samples of four models left a strength unbounded in some resamples."""

_ENTRIES = 4_000_000
_LOST = 0.01
"""Share of resamples that may leave a strength unbounded before the intervals are given up."""


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """Strengths on a logarithmic scale whose mean over the models is 0.

    Attributes:
        strengths: per model, with its interval; a difference of 1 is odds of e to 1 among decided comparisons.
        tie: logarithm of Davidson's tie parameter; None where no comparison was tied. Between equal models a tie has
            probability ``e^tie / (2 + e^tie)``.
        n: comparisons that count.
        log_likelihood: at the fit.
    """

    strengths: dict[str, Estimate]
    tie: Estimate | None
    n: int
    log_likelihood: float

    def win_probability(self, a: str, b: str) -> float:
        """Probability that `a` wins against `b`, ties neither won nor lost."""
        for name in (a, b):
            if name not in self.strengths:
                raise InputError(f"no model {name!r} was compared; there are {', '.join(sorted(self.strengths))}")
        gap = self.strengths[a].value - self.strengths[b].value
        tie = 0.0 if self.tie is None else math.exp(self.tie.value + gap / 2)
        return math.exp(gap) / (math.exp(gap) + 1 + tie)

    def elo(self, base: float = 1000.0) -> dict[str, float]:
        """Strengths on the Elo scale: 400 points are odds of 10 to 1."""
        return {name: base + 400 / math.log(10) * found.value for name, found in self.strengths.items()}


@dataclass(frozen=True, slots=True)
class _Cells:
    """Distinct comparisons and outcomes: `first` and `second` model ``[cells]``, `kind` 0 lost, 1 tied, 2 won."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    kind: NDArray[np.intp]
    models: int

    def features(self, tied: bool) -> FloatArray:
        """What the log-odds of each outcome are made of ``[cells, 3 outcomes, parameters]``; the last is the tie's."""
        cells, columns = np.arange(len(self.first)), self.models + int(tied)
        table = np.zeros((len(cells), 3, columns))
        for outcome, (own, other) in enumerate(((0.0, 1.0), (0.5, 0.5), (1.0, 0.0))):
            table[cells, outcome, self.first] = own
            table[cells, outcome, self.second] = other
        if tied:
            table[:, 1, -1] = 1.0
        return table if tied else table[:, ::2]


def bradley_terry(
    first: Sequence[str],
    second: Sequence[str],
    outcomes: ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    resamples: int = 500,
    seed: int = 0,
    confidence: float = 0.95,
) -> BradleyTerry:
    """Fit strengths by maximum likelihood (Newton), with intervals from a bootstrap over comparisons.

    Args:
        first, second: names of the two models of each comparison ``[n]``.
        second: see `first`.
        outcomes: 1 where the first won, 0 where it lost, 0.5 for a tie ``[n]``; NaN (no verdict) is left out.
        clusters: one name per comparison (its prompt, say): whole clusters are then resampled.
        resamples: at least 100.
        seed: of the bootstrap.
        confidence: two-sided level.

    P(win) : P(tie) : P(loss) = ``p : nu sqrt(p q) : q`` (Davidson 1970); without ties it is Bradley and Terry's model,
    and the values agree with the package choix. Who was shown first does not matter here: judge both orders.

    `InputError` where the strengths are unbounded, because some models never lost or tied against the others; and on
    models compared with themselves and other outcomes. No intervals below 100 comparisons (or clusters).
    """
    tail(confidence)
    values, kept = _checked(first, second, outcomes, clusters)
    if resamples < 100:
        raise InputError(f"{resamples} resamples; a bootstrap interval needs at least 100")
    rows = [int(i) for i in np.flatnonzero(kept)]
    pairs = [(str(first[i]), str(second[i])) for i in rows]
    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    kinds = np.round(2 * values[rows]).astype(np.intp)
    codes = np.array([[place[a], place[b], kind] for (a, b), kind in zip(pairs, kinds, strict=True)], dtype=np.intp)
    swap = codes[:, 0] > codes[:, 1]
    codes[swap] = np.column_stack([codes[swap, 1], codes[swap, 0], 2 - codes[swap, 2]])
    distinct, at = np.unique(codes, axis=0, return_inverse=True)
    cells = _Cells(distinct[:, 0], distinct[:, 1], distinct[:, 2], len(names))
    tied = bool(np.any(cells.kind == 1))
    counts = np.bincount(at, minlength=len(distinct)).astype(np.float64)
    apart = _unbounded(cells, counts)
    if apart is not None:
        shown = ", ".join(names[i] for i in apart)
        raise InputError(
            f"{shown} never lost or tied against the others, so that their strengths are unbounded; add comparisons, "
            "or leave them out"
        )
    features = cells.features(tied)
    fitted, likelihood = _newton(cells, features, counts[None], np.zeros(features.shape[2]))
    groups = None if clusters is None else cluster_positions([str(clusters[i]) for i in rows])
    rng = np.random.default_rng(seed)
    if groups is None:
        units, tallies = len(rows), rng.multinomial(len(rows), counts / len(rows), resamples).astype(np.float64)
    else:
        units, tallies = groups[1], _clustered_tallies(groups, at, len(distinct), resamples, rng)
    ends, method = None, f"no interval: {units} comparisons (or clusters), {FEWEST_COMPARISONS} needed"
    if units >= FEWEST_COMPARISONS:
        ends, method = _intervals(cells, features, tallies, fitted[0], confidence)
    coverage = len(rows) / len(kept)
    appearances = np.bincount(codes[:, :2].ravel(), minlength=len(names))
    estimates = [
        Estimate(
            value=float(value),
            low=None if ends is None else float(ends[0, i]),
            high=None if ends is None else float(ends[1, i]),
            n=int(appearances[i]) if i < len(names) else len(rows),
            coverage=coverage,
            method=method + (", clustered" if clusters is not None and ends is not None else ""),
            estimand="log strength against the average model" if i < len(names) else "log tie parameter",
            confidence=confidence,
        )
        for i, value in enumerate(fitted[0])
    ]
    strengths = dict(zip(names, estimates, strict=False))
    return BradleyTerry(strengths, estimates[-1] if tied else None, len(rows), float(likelihood[0]))


def _checked(
    first: Sequence[str], second: Sequence[str], outcomes: ArrayLike, clusters: Sequence[str] | None
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Outcomes and which of them count."""
    try:
        values = np.asarray(outcomes, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the outcomes have entries that are not numbers; expected 1, 0, 0.5 or NaN") from None
    sizes = {len(first), len(second), np.size(values)} | (set() if clusters is None else {len(clusters)})
    if len(sizes) != 1 or values.ndim != 1:
        shown = ", ".join(str(size) for size in sorted(sizes))
        raise InputError(f"sides, outcomes and clusters have lengths {shown}; expected one of each per comparison")
    missing = np.isnan(values)
    wrong = ~missing & ~np.isin(values, (0.0, 0.5, 1.0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"the outcome of comparison {at} is {values[at]}; expected 1, 0, 0.5 or NaN")
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        if str(a) == str(b):
            raise InputError(f"comparison {i} is of {a!r} with itself")
    if missing.all():
        raise InputError("no comparison has an outcome")
    return values, ~missing


def _unbounded(cells: _Cells, counts: FloatArray) -> list[int] | None:
    """Models that never lost or tied against the rest; None where there are none (Ford 1957)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    beaten = np.zeros((cells.models, cells.models))
    used = counts > 0
    for kind, winner, loser in ((2, cells.first, cells.second), (0, cells.second, cells.first)):
        rows = used & ((cells.kind == kind) | (cells.kind == 1))
        beaten[loser[rows], winner[rows]] = 1.0
    groups, labels = connected_components(csr_array(beaten), directed=True, connection="strong")
    if groups == 1:
        return None
    for group in range(groups):
        inside = labels == group
        if not beaten[np.ix_(inside, ~inside)].any():  # an end of the graph: there always is one
            return [int(i) for i in np.flatnonzero(inside)]
    return None


def _newton(
    cells: _Cells, features: FloatArray, counts: FloatArray, start: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Maximum-likelihood parameters ``[sets, parameters]`` of several sets of counts ``[sets, cells]`` at once."""
    own = np.arange(len(cells.kind))
    kind = cells.kind if features.shape[1] == 3 else cells.kind // 2
    parameters = np.tile(start, (len(counts), 1))
    value = _likelihood(features, counts, parameters, kind)[0]
    size = features.shape[2]
    squares = (features[..., :, None] * features[..., None, :]).reshape(-1, size * size)
    fixed = np.zeros((size, size))
    fixed[: cells.models, : cells.models] = 1.0 / cells.models  # strengths have no origin: keep their mean at 0
    for _ in range(100):
        _, shares = _likelihood(features, counts, parameters, kind)
        mean = np.einsum("sco,cop->scp", shares, features)
        gradient = np.einsum("sc,scp->sp", counts, features[own, kind][None] - mean)
        outer = (counts[:, :, None] * shares).reshape(len(counts), -1) @ squares
        spread = outer.reshape(-1, size, size) - np.matmul((mean * counts[:, :, None]).transpose(0, 2, 1), mean)
        step = np.linalg.solve(spread + fixed + 1e-9 * np.eye(size), gradient[..., None])[..., 0]
        if float(np.abs(step).max()) < 1e-10:
            break
        scale = np.ones(len(counts))
        for _ in range(40):
            trial = parameters + scale[:, None] * step
            reached = _likelihood(features, counts, trial, kind)[0]
            worse = reached < value - 1e-9 * np.abs(value)
            if not worse.any():
                break
            scale[worse] /= 2
        parameters, value = trial, reached
    parameters[:, : cells.models] -= parameters[:, : cells.models].mean(axis=1, keepdims=True)
    return parameters, value


def _likelihood(
    features: FloatArray, counts: FloatArray, parameters: FloatArray, kind: NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    """Log-likelihood ``[sets]`` and the outcomes' probabilities ``[sets, cells, outcomes]``."""
    odds = np.einsum("cop,sp->sco", features, parameters)
    odds -= odds.max(axis=2, keepdims=True)
    logs = odds - np.log(np.exp(odds).sum(axis=2, keepdims=True))
    return np.sum(counts * logs[:, np.arange(len(kind)), kind], axis=1), np.exp(logs)


def _clustered_tallies(
    groups: tuple[NDArray[np.intp], int], at: NDArray[np.intp], cells: int, resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Counts of the cells ``[resamples, cells]`` when whole clusters are drawn."""
    positions, count = groups
    units = np.zeros((count, cells))
    np.add.at(units, (positions, at), 1.0)
    return np.concatenate([drawn @ units for drawn in resample_counts(count, resamples, rng)])


def _intervals(
    cells: _Cells, features: FloatArray, tallies: FloatArray, fitted: FloatArray, confidence: float
) -> tuple[FloatArray | None, str]:
    """Both ends of every parameter's interval ``[2, parameters]`` from resampled counts ``[resamples, cells]``."""
    bounded: NDArray[np.bool_] = np.all(tallies > 0, axis=1)  # nothing is lost where every outcome came up again
    for row in np.flatnonzero(~bounded):
        bounded[row] = _unbounded(cells, tallies[row]) is None
    if features.shape[1] == 3:
        bounded &= tallies[:, cells.kind == 1].sum(axis=1) > 0
    lost = int(np.sum(~bounded))
    if lost > _LOST * len(tallies):
        return None, f"no interval: {lost} of {len(tallies)} resamples leave a strength unbounded; add comparisons"
    step = max(1, _ENTRIES // (len(cells.kind) * features.shape[2]))
    kept = tallies[bounded]
    draws = [_newton(cells, features, kept[i : i + step], fitted)[0] for i in range(0, len(kept), step)]
    # Percentiles would double the outward bias of the strengths and cover 91 to 93 % in simulation; this 95 to 98 %.
    half = normal_quantile(confidence) * np.concatenate(draws).std(axis=0, ddof=1)
    return np.stack([fitted - half, fitted + half]), "normal, standard error of a bootstrap over comparisons"
