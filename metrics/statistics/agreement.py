"""Agreement between raters beyond chance: Cohen's kappa, Krippendorff's alpha, Gwet's AC1."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import Interval, t_interval, tail
from metrics.statistics.moments import cluster_positions
from metrics.statistics.resampling import bootstrap

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Ratings = Sequence[Sequence[Any]] | NDArray[Any]

FEWEST_ITEMS = 50
"""Items below which the simulated coverage of the analytic intervals fell under 92 %: on Fisher's scale (arctanh) they
then cover 93 to 98 %, while plain t intervals, as irrCAC and statsmodels give them, go down to 89 % near 1."""

_MOST_ORDINAL_VALUES = 100
_MOST_VALUES = 3000


def cohen_kappa(
    a: Sequence[Any] | NDArray[Any],
    b: Sequence[Any] | NDArray[Any],
    *,
    weights: Literal["linear", "quadratic"] | None = None,
    categories: Sequence[Hashable] | None = None,
    item_weights: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Cohen's kappa of two raters: 1 is perfect agreement, 0 what chance gives at their own rates.

    Args:
        a, b: one category per item ``[n]``: text, numbers or truth values; an item with a None or NaN is left out.
        b: see `a`.
        weights: how much a disagreement counts by the distance of the categories' ranks; None: all alike.
        categories: all categories in their order; by default those that occur, sorted.
        item_weights: positive sampling weight of each item ``[n]``; None: all alike.
        clusters: one name per item, where items are not independent; errors are then clustered.
        confidence: two-sided level.

    The value equals scikit-learn's `cohen_kappa_score`, the large-sample standard error that of statsmodels (Fleiss,
    Cohen and Everitt 1969); the interval is Student's t on Fisher's scale, which keeps its level near 1 where the plain
    one does not. Perfect agreement of plain categories has an exact lower end, see `_of_perfect`; ranked ones have none
    then. None with fewer than 50 items. Kappa is undefined (NaN) where both raters use a single category; at very
    uneven rates it is low even for good raters (Gwet's AC1 is not).
    """
    tail(confidence)
    if len(a) != len(b):
        raise InputError(f"{len(a)} and {len(b)} ratings; kappa compares two raters on the same items")
    if weights not in {None, "linear", "quadratic"}:
        raise InputError(f"weights {weights!r}; expected 'linear', 'quadratic' or None")
    codes, known = rating_codes([list(a), list(b)], categories)
    both: NDArray[np.bool_] = np.all(codes >= 0, axis=0)
    x, y = codes[0][both], codes[1][both]
    n, size = len(x), len(known)
    parts = _item_shares(item_weights, len(a))[both]
    names = _cluster_names(clusters, len(a), both)
    value, error, units = math.nan, 0.0, 0
    if n:
        cells: FloatArray = np.bincount(x * size + y, weights=parts, minlength=size * size).astype(np.float64)
        value, influence = _kappa((cells / parts.sum()).reshape(size, size), weights)
        error, units = _error(parts / parts.sum(), influence[x, y], names)
    method, ends = _analytic(value, error, units, confidence, "Fleiss, Cohen and Everitt")
    if value == 1 and units >= FEWEST_ITEMS and (weights is None or size == 2):
        method, ends = "exact, for perfect agreement", _of_perfect(x, parts, names, confidence)
    if ends is not None:
        method += (", clustered" if names is not None else "") + (", weighted" if item_weights is not None else "")
    return _estimate(
        value,
        ends,
        n=n,
        offered=len(a),
        method=method,
        estimand="Cohen's kappa over the items' population",
        confidence=confidence,
    )


def _kappa(shares: FloatArray, weights: str | None) -> tuple[float, FloatArray]:
    """Kappa from a table of shares ``[categories, categories]``, and what an item of each cell adds to it."""
    size = len(shares)
    ranks = np.arange(size)
    gaps = np.abs(ranks[:, None] - ranks[None, :]) / max(1, size - 1)
    agree = (gaps == 0).astype(np.float64) if weights is None else 1 - (gaps if weights == "linear" else gaps**2)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, chance = float(np.sum(agree * shares)), float(rows @ agree @ columns)
    if 1 - chance <= 1e-12:
        return math.nan, np.zeros_like(shares)
    value = (observed - chance) / (1 - chance)
    by_row, by_column = agree @ columns, rows @ agree
    terms = agree - (by_row[:, None] + by_column[None, :]) * (1 - value)
    influence: FloatArray = (terms - (value - chance * (1 - value))) / (1 - chance)
    return value, influence


def _of_perfect(ratings: NDArray[np.intp], parts: FloatArray, names: list[str] | None, confidence: float) -> Interval:
    """Interval of kappa where two raters never disagreed.

    Kappa is one minus the rate of disagreements over the rate that chance gives. That nobody disagreed in n independent
    items bounds the first (where weights differ, n is their sum over the largest, which a stratum that was drawn thinly
    cannot break; clusters count as one item). The second is smallest for two categories, and grows with the share of
    the ratings that are not the commonest: its exact lower bound. Each of the two takes half of the tail.
    """
    positions, count = cluster_positions(names) if names is not None else (np.arange(len(parts)), len(parts))
    sums = np.bincount(positions, weights=parts, minlength=count)
    n = float(sums.sum() / sums.max())
    half = tail(confidence) / 2
    disagreement = -math.log(half) / n
    others = (1 - float(np.bincount(ratings, weights=parts).max() / parts.sum())) * n
    rare = min(0.5, float(special.betaincinv(others, n - others + 1, half)))
    other = max(0.0, rare - disagreement)
    chance = rare * (1 - other) + other * (1 - rare)
    return max(-1.0, 1 - disagreement / chance), 1.0


def _error(shares: FloatArray, influence: FloatArray, names: list[str] | None) -> tuple[float, int]:
    """Standard error of a weighted mean of influence values, and the independent items it rests on."""
    kish = round(1 / float(shares @ shares))
    if names is None:
        return math.sqrt(float(np.sum((shares * influence) ** 2))), kish
    positions, count = cluster_positions(names)
    sums = np.bincount(positions, weights=shares * influence, minlength=count)
    left = 1 - np.bincount(positions, weights=shares, minlength=count)
    if np.any(left <= 1e-12):
        return 0.0, 1
    return math.sqrt(float(np.sum(sums**2 / left))), min(kish, count)


def _item_shares(weights: ArrayLike | None, items: int) -> FloatArray:
    given = np.ones(items) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (items,) or not np.all(np.isfinite(given) & (given > 0)):
        raise InputError(f"the item weights must be {items} positive numbers, one per item")
    return given.copy()


def _cluster_names(clusters: Sequence[str] | None, items: int, kept: NDArray[np.bool_]) -> list[str] | None:
    if clusters is None:
        return None
    if len(clusters) != items:
        raise InputError(f"{len(clusters)} cluster names for {items} items; expected one per item")
    return [str(name) for name, keep in zip(clusters, kept, strict=True) if keep]


def krippendorff_alpha(
    ratings: Ratings,
    *,
    level: Level = "nominal",
    item_weights: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Krippendorff's alpha of any number of raters, with missing ratings and any level of measurement.

    Args:
        ratings: ``[raters, items]``; None or NaN where a rater gave none. Numbers for all levels but ``nominal``.
        level: ``nominal`` (equal or not), ``ordinal`` (ranks), ``interval`` (differences), ``ratio`` (relative
            differences of numbers above or at 0).
        item_weights: positive sampling weight of each item; None: all alike.
        clusters: one name per item: items of a cluster are resampled together.
        resamples, seed: of the bootstrap over items.
        seed: see `resamples`.
        confidence: two-sided level.

    1 is perfect agreement, 0 chance. Items with fewer than two ratings say nothing and lower the coverage. The value
    equals the package krippendorff's; the interval is BCa over items (not Krippendorff's own, which resamples pairs
    and ignores that they share items). NaN where only one value was ever given.
    """
    tail(confidence)
    if level not in {"nominal", "ordinal", "interval", "ratio"}:
        raise InputError(f"level {level!r}; expected 'nominal', 'ordinal', 'interval' or 'ratio'")
    codes, known = rating_codes(ratings, None, numbers=level != "nominal")
    counts = _counts(codes, len(known))
    offered = len(counts)
    pairable = counts.sum(axis=1) >= 2
    names = _cluster_names(clusters, offered, pairable)
    counts = counts[pairable]
    items = len(counts)
    scale = _item_shares(item_weights, offered)[pairable, None]
    scale /= scale.mean() if items else 1.0
    size = len(known)
    if level == "ordinal":
        if size > _MOST_ORDINAL_VALUES:
            raise InputError(
                f"{size} different ratings; ordinal alpha takes up to {_MOST_ORDINAL_VALUES}: use 'interval'"
            )
        rows = _coincidences(counts) * scale
        found = bootstrap(
            rows,
            lambda means: _ordinal_alpha(means.reshape(*means.shape[:-1], size, size), items),
            clusters=names,
            resamples=resamples,
            seed=seed,
            confidence=confidence,
        )
    else:
        if size > _MOST_VALUES:
            raise InputError(f"{size} different ratings; alpha takes up to {_MOST_VALUES}: round them")
        distances = _distances(known, level)
        within = np.einsum("ij,ij->i", counts @ distances, counts) / np.maximum(counts.sum(axis=1) - 1, 1)
        found = bootstrap(
            np.column_stack([within, counts]) * scale,
            lambda means: _alpha(means[..., 0], means[..., 1:], distances, items),
            clusters=names,
            resamples=resamples,
            seed=seed,
            confidence=confidence,
        )
    ends = (found.low, found.high) if found.low is not None and found.high is not None else None
    return _estimate(
        found.value,
        ends,
        n=items,
        offered=offered,
        method=found.method,
        estimand="Krippendorff's alpha over the items' population",
        confidence=confidence,
    )


def _coincidences(counts: FloatArray) -> FloatArray:
    """Pairable values of each item ``[items, values * values]``."""
    items, size = counts.shape
    table = counts[:, :, None] * counts[:, None, :]
    table[:, np.arange(size), np.arange(size)] -= counts
    table /= np.maximum(counts.sum(axis=1) - 1, 1)[:, None, None]
    return table.reshape(items, size * size)


def _ordinal_alpha(coincidences: FloatArray, items: int) -> FloatArray:
    """Alpha from mean coincidences ``[..., values, values]``: squared differences of mid-ranks."""
    totals = coincidences.sum(axis=-1)
    ranks = np.cumsum(totals, axis=-1) - totals / 2
    gaps = (ranks[..., :, None] - ranks[..., None, :]) ** 2
    observed = np.sum(coincidences * gaps, axis=(-1, -2))
    expected = np.sum(totals[..., :, None] * totals[..., None, :] * gaps, axis=(-1, -2))
    n = totals.sum(axis=-1)
    alphas: FloatArray = 1 - (n - 1 / items) * observed / expected
    return alphas


def _alpha(within: FloatArray, totals: FloatArray, distances: FloatArray, items: int) -> FloatArray:
    """Alpha from an item's mean disagreement ``[...]`` and mean counts of the values ``[..., values]``."""
    expected = np.sum((totals @ distances) * totals, axis=-1)
    n = totals.sum(axis=-1)
    alphas: FloatArray = 1 - (n - 1 / items) * within / expected
    return alphas


def _distances(known: list[Any], level: Level) -> FloatArray:
    """Squared distances between the values ``[values, values]``."""
    if level == "nominal":
        return 1 - np.eye(len(known))
    numbers = np.array(known, dtype=np.float64)
    gaps = (numbers[:, None] - numbers[None, :]) ** 2
    if level == "interval":
        return np.asarray(gaps, dtype=np.float64)
    if np.any(numbers < 0):
        raise InputError(f"a rating is {numbers.min():g}; the level 'ratio' needs numbers of at least 0")
    sums = (numbers[:, None] + numbers[None, :]) ** 2
    return np.divide(gaps, sums, out=np.zeros_like(gaps), where=sums > 0)


def gwet_ac1(ratings: Ratings, *, categories: Sequence[Hashable] | None = None, confidence: float = 0.95) -> Estimate:
    """Gwet's AC1 of any number of raters: agreement beyond chance that stays high where nearly all items are alike.

    Args:
        ratings: ``[raters, items]``; None or NaN where a rater gave none.
        categories: all categories that could be given; by default those that occur (at least two are needed).
        confidence: two-sided level.

    Value and standard error (over items, the raters held fixed) agree with the package irrCAC (Gwet 2008, British
    Journal of Mathematical and Statistical Psychology 61); the interval is Student's t on Fisher's scale. None with
    fewer than 50 items or perfect agreement.
    """
    tail(confidence)
    codes, known = rating_codes(ratings, categories)
    counts = _counts(codes, len(known))
    offered, size = counts.shape
    rated = counts.sum(axis=1)
    pairable = rated >= 2
    paired = int(pairable.sum())
    if size < 2 or paired == 0:
        what = "one category only" if paired else "no item has two ratings"
        return _ac1(math.nan, None, f"no interval: {what}", n=paired, offered=offered, confidence=confidence)
    counts, rated, pairable = counts[rated > 0], rated[rated > 0], pairable[rated > 0]
    n = len(counts)
    prevalence = (counts / rated[:, None]).mean(axis=0)
    chance = float(np.sum(prevalence * (1 - prevalence))) / (size - 1)
    agreeing = np.sum(counts * (counts - 1), axis=1) / np.maximum(rated * (rated - 1), 1)
    value = (float(agreeing[pairable].mean()) - chance) / (1 - chance)
    by_item = n / paired * (agreeing - chance * pairable) / (1 - chance)
    by_chance = counts @ (1 - prevalence) / rated / (size - 1)
    influence = by_item - 2 * (1 - value) * (by_chance - chance) / (1 - chance)
    error = math.sqrt(float(np.sum((influence - value) ** 2)) / (n * (n - 1))) if n > 1 else 0.0
    method, ends = _analytic(value, error, n, confidence, "Gwet")
    return _ac1(value, ends, method, n=paired, offered=offered, confidence=confidence)


def _ac1(
    value: float, ends: tuple[float, float] | None, method: str, *, n: int, offered: int, confidence: float
) -> Estimate:
    estimand = "Gwet's AC1 over the items' population"
    return _estimate(value, ends, n=n, offered=offered, method=method, estimand=estimand, confidence=confidence)


def rating_codes(
    ratings: Ratings, categories: Sequence[Hashable] | None, *, numbers: bool = False
) -> tuple[NDArray[np.intp], list[Any]]:
    """Positions of the ratings among the categories ``[raters, items]``, -1 where missing, and the categories."""
    lists = [list(rater) for rater in ratings]
    if len(lists) < 2 or len({len(rater) for rater in lists}) != 1:
        sizes = ", ".join(str(len(rater)) for rater in lists) or "none"
        raise InputError(f"the raters have {sizes} ratings; expected two or more raters, each with one entry per item")
    given = [[_plain(value, numbers) for value in rater] for rater in lists]
    seen = {value for rater in given for value in rater if value is not None}
    try:
        known = sorted(seen) if categories is None else list(categories)
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in seen}))
        raise InputError(f"the ratings mix {kinds}; expected one kind") from None
    places = {value: place for place, value in enumerate(known)}
    unknown = seen - set(places)
    if unknown:
        raise InputError(f"rating {min(map(str, unknown))!r} is not among the categories {known}")
    table = [[-1 if value is None else places[value] for value in rater] for rater in given]
    return np.array(table, dtype=np.intp), known


def _plain(value: Any, number: bool) -> Any:
    """A rating as a plain value; None where it is missing."""
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or (isinstance(plain, float) and math.isnan(plain)):
        return None
    if number and (not isinstance(plain, int | float) or not math.isfinite(plain)):
        raise InputError(f"rating {plain!r} is not a finite number; only the level 'nominal' takes other ratings")
    if not isinstance(plain, Hashable):
        raise InputError(f"a rating is a {type(plain).__name__}; expected text, a number or a truth value")
    return plain


def _counts(codes: NDArray[np.intp], size: int) -> FloatArray:
    """How many raters gave each category ``[items, categories]``."""
    items = codes.shape[1]
    counts = np.zeros((items, size))
    for rater in codes:
        given = rater >= 0
        counts[np.flatnonzero(given), rater[given]] += 1
    return counts


def _analytic(
    value: float, error: float, n: int, confidence: float, name: str
) -> tuple[str, tuple[float, float] | None]:
    if not math.isfinite(value):
        return "no interval: one category only" if n else "no interval: no item has two ratings", None
    if n < FEWEST_ITEMS:
        return f"no interval: {n} items, {FEWEST_ITEMS} needed", None
    slope = 1 - value * value
    if error <= 1e-9 or slope <= 1e-9:
        return "no interval: the agreement is perfect", None
    low, high = t_interval(math.atanh(value), error / slope, n - 1, confidence=confidence)
    return f"{name}, t on Fisher's scale", (math.tanh(low), math.tanh(high))


def _estimate(
    value: float,
    ends: tuple[float, float] | None,
    *,
    n: int,
    offered: int,
    method: str,
    estimand: str,
    confidence: float,
) -> Estimate:
    return Estimate(
        value=value,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        n=n,
        effective_n=float(n),
        coverage=n / offered if offered else 0.0,
        method=method,
        estimand=estimand,
        confidence=confidence,
    )
