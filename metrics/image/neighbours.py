"""Nearest neighbours in bounded memory: matrix products, with exact differences wherever rounding could decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.image.features import ContentCache

_BLOCK_CELLS = 4_000_000
_ROUNDING = 2e-5
"""Relative to the squared norms; a product over d = 2,048 in float32 was seen to err by 1e-6 at most."""
_SPARE = 4
"""Candidates beyond the k nearest whose distances are computed exactly."""

_reference_radii = ContentCache()


def _exact(a: FloatArray, b: FloatArray, first: NDArray[np.intp], second: NDArray[np.intp]) -> FloatArray:
    """Squared distances of listed pairs by differences: 0 for equal rows, and the same whichever way round."""
    result = np.empty(len(first))
    step = max(1, _BLOCK_CELLS // a.shape[1])
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        difference = np.subtract(a[first[pairs]], b[second[pairs]], dtype=np.float64)
        result[pairs] = np.einsum("ij,ij->i", difference, difference)
    return result


def _squared_norms(rows: FloatArray, middle: FloatArray) -> FloatArray:
    norms = np.empty(len(rows))
    step = _rows_at_once(rows.shape[1])
    for start in range(0, len(rows), step):
        shifted = rows[start : start + step] - middle
        norms[start : start + step] = np.einsum("ij,ij->i", shifted, shifted)
    return norms


def _rows_at_once(width: int) -> int:
    return max(1, _BLOCK_CELLS // width)


def _approximate(points: FloatArray, centres: FloatArray) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
    """Rows of squared distances by products in float32, with the size that their rounding error is relative to."""
    middle = centres.mean(axis=0, dtype=np.float64)  # a common offset would cancel badly
    to_norms = _squared_norms(centres, middle)
    norms = to_norms if points is centres else _squared_norms(points, middle)
    # neither overflow nor underflow, whatever the unit of the features
    unit = float(np.sqrt(max(norms.max(), to_norms.max()))) if len(norms) and len(to_norms) else 0.0
    scale = unit or 1.0
    to_single = np.empty(centres.shape, np.float32)
    width = _rows_at_once(centres.shape[1])
    for start in range(0, len(centres), width):
        to_single[start : start + width] = (centres[start : start + width] - middle) / scale
    step = max(1, min(_BLOCK_CELLS // len(centres), width))
    for start in range(0, len(points), step):
        rows = slice(start, min(start + step, len(points)))
        sizes = norms[rows, None] + to_norms
        single = ((points[rows] - middle) / scale).astype(np.float32)
        products = np.multiply(single @ to_single.T, 2 * unit**2, dtype=np.float64)
        yield rows, np.subtract(sizes, products, out=products), sizes


def neighbour_radii(rows: FloatArray, k: int) -> FloatArray:
    """Squared distance of each row to its k-th nearest other row, ``[n]``; n must exceed k."""
    n = len(rows)
    radii = np.empty(n)
    taken = min(k + 1 + _SPARE, n)
    for at, squared, sizes in _approximate(rows, rows):
        count = at.stop - at.start
        squared[np.arange(count), np.arange(at.start, at.stop)] = -np.inf  # itself always among the nearest
        near = np.argpartition(squared, taken - 1, axis=1)[:, :taken]
        own = np.repeat(np.arange(at.start, at.stop), taken)
        exact = np.sort(_exact(rows, rows, own, near.ravel()).reshape(count, taken), axis=1)
        radii[at] = exact[:, k]
        if taken < n:  # could a row that was left out be nearer than the k-th?
            left_out = np.take_along_axis(squared, near, axis=1).max(axis=1) - _ROUNDING * sizes.max(axis=1)
            for row in np.flatnonzero(radii[at] > left_out):
                radii[at.start + row] = _radius(rows, at.start + int(row), squared[row], sizes[row], k)
    return radii


def _radius(rows: FloatArray, row: int, squared: FloatArray, sizes: FloatArray, k: int) -> float:
    """The same for one row, with exact distances to all that rounding leaves in question."""
    error = _ROUNDING * sizes
    limit = np.partition(squared + error, k)[k]
    close = np.flatnonzero(squared - error <= limit)
    return float(np.partition(_exact(rows, rows, np.full(len(close), row), close), k)[k])


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
    for block in _approximate(points, centres):
        yield block[0], _within(points, centres, block, radii[None, :], inclusive=inclusive)


def _within(
    points: FloatArray,
    centres: FloatArray,
    block: tuple[slice, FloatArray, FloatArray],
    radii: FloatArray,
    *,
    inclusive: bool,
) -> NDArray[np.bool_]:
    """Whether a block's distances are within radii ``[points or 1, centres or 1]``; exact where rounding may decide."""
    at, squared, sizes = block
    inside = squared <= radii if inclusive else squared < radii
    point, centre = np.nonzero(np.abs(squared - radii) <= _ROUNDING * sizes)
    if point.size:
        exact = _exact(points, centres, point + at.start, centre)
        limits = np.broadcast_to(radii, squared.shape)[point, centre]
        inside[point, centre] = exact <= limits if inclusive else exact < limits
    return inside


def all_memberships(
    points: FloatArray, centres: FloatArray, *, inclusive: tuple[FloatArray, FloatArray], exclusive: FloatArray
) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
    """One pass for what `memberships` needs three for.

    For a run of points at a time, each ``[points, centres]``: whether the point lies in the centre's ball, the centre
    in the point's (squared radii of centres and of points, boundary included), and the point in the centre's ball of
    squared radius `exclusive`, boundary excluded.
    """
    of_centres, of_points = inclusive
    for block in _approximate(points, centres):
        at = block[0]
        limits = (of_centres[None, :], of_points[at, None], exclusive[None, :])
        first, second, third = (
            _within(points, centres, block, radii, inclusive=place < 2) for place, radii in enumerate(limits)
        )
        yield at, first, second, third
