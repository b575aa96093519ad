"""Which samples show a collapse: reference samples that nothing comes near, generated ones that repeat, and copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.base import FloatArray
from metrics.image.features import pair_of_matrices
from metrics.image.modes import modes_of
from metrics.image.neighbours import nearest, neighbour_radii

MOST = 1_500
"""Samples of either set that are looked at: all distances between them are computed."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Reference samples that are alike and that no generated sample comes near.

    Attributes:
        share: of all reference samples that were looked at.
        reference: positions of some of them, the most typical first.
    """

    share: float
    reference: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """Generated samples that hardly differ.

    Attributes:
        generated: positions of generated samples, a middle one first.
        closeness: distance from the middle one to the farthest of them, relative to the median distance that as many
            reference samples take; far below 1 for copies.
    """

    generated: tuple[int, ...]
    closeness: float


@dataclass(frozen=True, slots=True)
class Copy:
    """A generated sample and the reference sample that it is nearest to.

    Attributes:
        generated, reference: their positions.
        closeness: their distance, relative to that of the reference sample and its own nearest neighbour.
    """

    generated: int
    reference: int
    closeness: float


def closest_copies(reference: Any, generated: Any, *, size: int = 6) -> list[Copy]:
    """Generated samples that lie closest to a reference sample for how close its own neighbour is.

    Args:
        reference: features ``[m, d]``, of training samples where copying is the question, m at least 2.
        generated: features ``[n, d]``; of each set the first `MOST` rows are looked at.
        size: at most so many, each with another reference sample.

    Returns:
        Pairs, the closest first; a reference sample that has an exact double is left out.

    Raises:
        InputError: values that are not finite, different dimensions, fewer than two samples.

    Source: the authenticity of Alaa et al. 2022 (arXiv:2102.08921) asks whether `closeness` is below 1.
    """
    x, y = pair_of_matrices(reference, generated)
    x, y = x[:MOST], y[:MOST]
    position, distance = nearest(y, x)
    own = np.ravel(neighbour_radii(x, 1))[position]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(own > 0, np.sqrt(distance / own), np.inf)
    found: dict[int, Copy] = {}
    for place in np.argsort(ratio, kind="stable"):
        if len(found) >= size or not np.isfinite(ratio[place]):
            break
        found.setdefault(int(position[place]), Copy(int(place), int(position[place]), float(ratio[place])))
    return list(found.values())


def missed_groups(
    reference: Any, generated: Any, *, k: int = 5, groups: int = 3, size: int = 6, seed: int = 0
) -> list[Missed]:
    """Reference samples without a generated one within the distance to their k-th neighbour, in groups of like ones.

    Their shares add up to one minus coverage, of the rows that are looked at.

    Args:
        reference, generated: features ``[m, d]`` and ``[n, d]``, m above `k`; of each set the first `MOST` rows count.
        k: neighbour whose distance is a reference sample's radius, itself not counted.
        groups: at most so many (k-means of the missed samples).
        size: positions to name of each.
        seed: of the groups.

    Returns:
        Groups, the largest first; empty where everything is covered.

    Raises:
        InputError: values that are not finite, different dimensions, fewer than two samples.

    Source: coverage: Naeem et al. 2020 (arXiv:2002.09797).
    """
    x, y = pair_of_matrices(reference, generated)
    x, y = x[:MOST], y[:MOST]
    if len(x) <= k:
        return []
    radii = neighbour_radii(x, k)
    missed = np.flatnonzero(nearest(x, y)[1] > np.ravel(radii))
    if not len(missed):
        return []
    rows = x[missed]
    centres = modes_of(rows, groups, seed)[0] if len(missed) > groups * size else rows.mean(axis=0)[None]
    own, far = nearest(rows, centres)
    found = []
    for cell in range(len(centres)):
        inside = np.flatnonzero(own == cell)
        typical = inside[np.argsort(far[inside], kind="stable")[:size]]
        found.append(Missed(len(inside) / len(x), tuple(int(i) for i in missed[typical])))
    return sorted(found, key=lambda group: -group.share)


def repetitions(reference: Any, generated: Any, *, groups: int = 2, size: int = 6) -> list[Repetition]:
    """Groups of generated samples that lie closest together, the closest first; no sample is in two of them.

    Args:
        reference: features ``[m, d]``, which say how far apart samples are where nothing repeats.
        generated: features ``[n, d]``; of each set the first `MOST` rows are looked at.
        groups: at most so many.
        size: samples in a group.

    Returns:
        Groups; empty where either set has no more than `size` samples.

    Raises:
        InputError: values that are not finite, different dimensions, fewer than two samples.
    """
    x, y = pair_of_matrices(reference, generated)
    x, y = x[:MOST], y[:MOST]
    if min(len(x), len(y)) <= size:
        return []
    usual = float(np.median(np.partition(_distances(x), size - 1, axis=1)[:, size - 1]))
    apart = _distances(y)
    found: list[Repetition] = []
    free = np.ones(len(y), bool)
    while len(found) < groups and free.sum() > size:
        places = np.flatnonzero(free)
        within = apart[np.ix_(places, places)]
        farthest = np.partition(within, size - 1, axis=1)[:, size - 1]
        middle = int(farthest.argmin())
        members = np.argsort(within[middle], kind="stable")[:size]
        found.append(
            Repetition(tuple(int(i) for i in places[members]), float(farthest[middle]) / usual if usual > 0 else 1.0)
        )
        free[places[members]] = False
    return found


def _distances(rows: FloatArray) -> FloatArray:
    """Distances between all rows, ``[n, n]``; each row is its own nearest."""
    squares = np.einsum("ij,ij->i", rows, rows)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0.0))
    np.fill_diagonal(apart, 0.0)
    result: FloatArray = apart
    return result
