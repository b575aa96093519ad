"""Nearest neighbours in bounded memory: matrix products, with exact differences wherever rounding could decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.image.features import ContentCache

_BLOCK_CELLS = 4_000_000
_ROUNDING = 1e-11
"""Relative to the squared norms; a product over d = 2,048 in float64 errs by less than 1e-12."""

_reference_radii = ContentCache()


def _exact(a: FloatArray, b: FloatArray, first: NDArray[np.intp], second: NDArray[np.intp]) -> FloatArray:
    """Squared distances of listed pairs by differences: 0 for equal rows, and the same whichever way round."""
    result = np.empty(len(first))
    step = max(1, _BLOCK_CELLS // a.shape[1])
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        difference = a[first[pairs]] - b[second[pairs]]
        result[pairs] = np.einsum("ij,ij->i", difference, difference)
    return result


def _approximate(points: FloatArray, centres: FloatArray) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
    """Rows of squared distances by matrix products, with the size that their rounding error is relative to."""
    middle = centres.mean(axis=0)  # a common offset would cancel badly
    shifted, to = points - middle, centres - middle
    norms, to_norms = np.einsum("ij,ij->i", shifted, shifted), np.einsum("ij,ij->i", to, to)
    step = max(1, _BLOCK_CELLS // len(centres))
    for start in range(0, len(points), step):
        rows = slice(start, min(start + step, len(points)))
        sizes = norms[rows, None] + to_norms
        yield rows, sizes - 2 * (shifted[rows] @ to.T), sizes


def neighbour_radii(rows: FloatArray, k: int) -> FloatArray:
    """Squared distance of each row to its k-th nearest other row, ``[n]``; n must exceed k."""
    radii = np.empty(len(rows))
    for at, squared, _ in _approximate(rows, rows):
        count = at.stop - at.start
        squared[np.arange(count), np.arange(at.start, at.stop)] = -1.0  # itself always among the nearest k + 1
        nearest = np.argpartition(squared, k, axis=1)[:, : k + 1]
        own = np.repeat(np.arange(at.start, at.stop), k + 1)
        radii[at] = _exact(rows, rows, own, nearest.ravel()).reshape(count, k + 1).max(axis=1)
    return radii


def nearest(points: FloatArray, centres: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Position of each point's nearest centre and the squared distance to it; the first one where several tie."""
    position, distance = np.empty(len(points), np.intp), np.empty(len(points))
    for at, squared, sizes in _approximate(points, centres):
        close = squared <= (squared + _ROUNDING * sizes).min(axis=1)[:, None] + _ROUNDING * sizes
        point, centre = np.nonzero(close)
        exact = _exact(points, centres, point + at.start, centre)
        order = np.lexsort((centre, exact, point))
        first = order[np.unique(point[order], return_index=True)[1]]
        position[at], distance[at] = centre[first], exact[first]
    return position, distance


def reference_radii(rows: FloatArray, k: int) -> FloatArray:
    """`neighbour_radii` of a reference set, kept for the metrics that ask for the same ones next."""
    return _reference_radii.get(rows, k, lambda: neighbour_radii(rows, k))


def memberships(
    points: FloatArray, centres: FloatArray, radii: FloatArray, *, inclusive: bool
) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """For a run of points at a time, ``[points, centres]``: whether the point lies in the centre's ball.

    `radii` are squared; a point exactly on the sphere counts when `inclusive`.
    """
    for at, squared, sizes in _approximate(points, centres):
        inside = squared <= radii if inclusive else squared < radii
        point, centre = np.nonzero(np.abs(squared - radii) <= _ROUNDING * sizes)
        if point.size:
            exact = _exact(points, centres, point + at.start, centre)
            inside[point, centre] = exact <= radii[centre] if inclusive else exact < radii[centre]
        yield at, inside
