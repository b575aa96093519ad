"""Nearest neighbours in bounded memory: matrix products, with exact differences wherever rounding could decide."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.image.features import ContentCache, Matrix
from metrics.image.products import Multiplier
from metrics.image.stored import RowSource, largest_entry, reordered

_BLOCK_CELLS = 1_000_000
_STRIP_CELLS = 64_000
"""What the steps after a product work on at once, so that it stays in the cache."""
_ROUNDING = 2e-5
"""Relative to the squared norms; a product over d = 2,048 in float32 was seen to err by 1e-6 at most."""
_UNCERTAINTY = np.float32(2 * _ROUNDING / (1 - _ROUNDING))
_KEPT_CELLS = 12_000_000
"""Numbers in converted tiles that are kept for the next ones; two are in any case."""
_MIDDLE_OF = 1024
"""Rows whose mean the products are taken about: any point near the data keeps their rounding small."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Positions of points and of centres, one entry a pair."""

_reference_radii = ContentCache()


@dataclass(frozen=True, slots=True)
class _Single:
    """Rows in float32 about a common middle and in a common unit, with what bounds the distances between them.

    `halves` are half the squared norms, less the share `_ROUNDING`: half a squared distance is at least
    ``halves[i] + halves[j] - rows[i] @ rows[j]`` as float32 computes it, and at most `_upper` of that.
    """

    rows: Any
    halves: Matrix


@dataclass(frozen=True, slots=True)
class _Frame:
    """The middle in its unit ``[d]``, and the unit: a power of two, so that distances scale without rounding."""

    middle: Matrix
    unit: float
    multiplier: Multiplier

    def single(self, rows: Matrix) -> _Single:
        """Convert rows."""
        result = np.empty(rows.shape, np.float32)
        halves = np.empty(len(rows), np.float32)
        middle = self.middle.astype(rows.dtype)
        for at in _strips(rows.shape):
            result[at] = rows[at] * rows.dtype.type(1 / self.unit) - middle
            halves[at] = np.einsum("ij,ij->i", result[at], result[at])
        halves *= np.float32((1 - _ROUNDING) / 2)
        return _Single(self.multiplier.operand(result), halves)

    def half(self, squared: FloatArray) -> FloatArray:
        """Half of exact squared distances, in this frame's unit."""
        result: FloatArray = squared / self.unit / self.unit / 2
        return result

    def lower(self, a: _Single, b: _Single) -> Matrix:
        """Lower bounds of half the squared distances, float32 ``[a, b]``."""
        values = self.multiplier.product(a.rows, b.rows)
        for at in _strips(values.shape):
            strip = np.subtract(b.halves, values[at], out=values[at])
            strip += a.halves[at, None]
        return values


class _Parts:
    """Tiles of a set in a frame, converted when asked for; the last few are kept."""

    def __init__(self, rows: RowSource, frame: _Frame) -> None:
        self.tiles = _tiles(len(rows))
        self._rows, self._frame = rows, frame
        self._kept: dict[int, _Single] = {}

    def __getitem__(self, tile: int) -> _Single:
        """The rows of one of the tiles."""
        single = self._kept.pop(tile, None) or self._frame.single(self._rows[self.tiles[tile]])
        self._kept[tile] = single  # the last one used
        if len(self._kept) > max(2, _KEPT_CELLS // (len(single.halves) * self._rows.shape[1])):
            del self._kept[next(iter(self._kept))]
        return single

    def halves(self) -> Matrix:
        """Those of all rows."""
        return np.concatenate([self[tile].halves for tile in range(len(self.tiles))])


def _frame(centres: RowSource, points: RowSource) -> _Frame:
    """A frame about the centres in which neither set overflows."""
    sets = (centres, points) if points is not centres else (centres,)
    largest = largest_entry(*sets)
    unit = max(2.0 ** math.frexp(largest)[1], *(float(np.finfo(rows.dtype).tiny) for rows in (centres, points)))
    middle = centres[:: -(-len(centres) // _MIDDLE_OF)].mean(axis=0, dtype=np.float64)
    operations = 2.0 * len(points) * len(centres) * centres.shape[1]
    return _Frame((middle / unit).astype(np.float32), unit, Multiplier(operations))


def _exact(a: RowSource, b: RowSource, first: NDArray[np.intp], second: NDArray[np.intp]) -> FloatArray:
    """Squared distances of listed pairs by differences: 0 for equal rows, and the same whichever way round."""
    result = np.empty(len(first))
    step = max(1, _STRIP_CELLS // a.shape[1])
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        difference = np.subtract(a[first[pairs]], b[second[pairs]], dtype=np.float64)
        result[pairs] = np.einsum("ij,ij->i", difference, difference)
    return result


def _tiles(n: int) -> list[slice]:
    """Runs of about equal length, of which two make a block."""
    count = -(-n // max(1, math.isqrt(_BLOCK_CELLS)))
    edges = np.linspace(0, n, count + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, _STRIP_CELLS // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _upper(lower: Matrix, a: Matrix, b: Matrix) -> Matrix:
    """Upper bounds that belong to lower ones, from the halves of the rows."""
    bounds: Matrix = lower + _UNCERTAINTY * (a + b)
    return bounds


def _at_most(values: Matrix, limits: Matrix) -> Pairs:
    """Positions of values up to `limits` ``[rows, 1]`` or ``[1, columns]``."""
    found = []
    for at in _strips(values.shape):
        limit = limits[at] if len(limits) > 1 else limits
        found.append(np.flatnonzero(values[at] <= limit) + at.start * values.shape[1])
    rows, columns = np.divmod(np.concatenate(found), values.shape[1])
    return rows, columns


def _ranked(owners: NDArray[np.intp], values: Matrix, place: NDArray[np.intp] | int, n: int) -> FloatArray:
    """Of each owner's values the one at a place in ascending order, ``[n]``; infinite where it has fewer."""
    order = np.lexsort((values, owners))
    counts = np.bincount(owners, minlength=n)
    wanted = np.cumsum(counts) - counts + place
    result = np.full(n, np.inf)
    enough = counts > place
    result[enough] = values[order[wanted[enough]]]
    return result


class _Candidates:
    """Pairs that may decide the radii of `n` rows, while tiles of distances go by.

    `limits` are upper bounds of half the squared distance to the k-th nearest, float32 ``[n]``.
    """

    def __init__(self, rows: RowSource, halves: Matrix, k: int) -> None:
        self._rows, self._halves, self._k = rows, halves, k
        self.limits = np.full(len(rows), np.inf, np.float32)
        self._parts: list[tuple[Matrix, Matrix, Matrix]] = []
        self._most = max(_BLOCK_CELLS // 2, 4 * k * len(rows))
        self._added = 0

    def add(self, owners: NDArray[np.intp], others: NDArray[np.intp], lower: Matrix) -> None:
        """Take the pairs of a tile; where they are many, drop those that nearer ones have ruled out."""
        self._parts.append((owners.astype(np.int32), others.astype(np.int32), lower))
        self._added += len(owners)
        if self._added > self._most:
            self._tighten()

    def _gathered(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Matrix, Matrix]:
        owners, others, lower = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return owners, others, lower, _upper(lower, self._halves[owners], self._halves[others])

    def _tighten(self) -> None:
        owners, others, lower, upper = self._gathered()
        nearest = _ranked(owners, upper, self._k - 1, len(self._rows)).astype(np.float32)
        self.limits = np.minimum(self.limits, nearest)
        kept = lower <= self.limits[owners]
        if kept.sum() > self._most // 2:  # too many that rounding leaves in question
            kept = self._nearest(owners, others)
        self._parts = [(owners[kept], others[kept], lower[kept])]
        self._added = len(self._parts[0][0])

    def _nearest(self, owners: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
        """The k nearest of each owner, by exact distances."""
        order = np.lexsort((_exact(self._rows, self._rows, owners, others), owners))
        counts = np.bincount(owners, minlength=len(self._rows))
        place = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = np.zeros(len(owners), bool)
        kept[order[place < self._k]] = True
        return kept

    def radii(self, ks: Sequence[int]) -> FloatArray:
        """Exact squared distances to the k-th nearest, ``[ks, n]``."""
        self._tighten()
        owners, others, lower, upper = self._gathered()
        n = len(self._rows)
        result = np.empty((len(ks), n))
        for row, k in enumerate(ks):
            nearer = upper < _ranked(owners, lower, k - 1, n)[owners]  # certainly before the k-th
            open_ = ~nearer & (lower <= _ranked(owners, upper, k - 1, n)[owners])
            exact = _exact(self._rows, self._rows, owners[open_], others[open_])
            place = k - 1 - np.bincount(owners[nearer], minlength=n)
            result[row] = _ranked(owners[open_], exact, place, n)
        return result


def _few_copies(rows: RowSource, halves: Matrix, most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Where rows occur more than `most` times: positions to keep, and for each row its position among those."""
    _, group, counts = np.unique(halves, return_inverse=True, return_counts=True)
    if counts.max() <= most:
        return None
    kept: list[int] = []
    place = np.empty(len(rows), np.intp)
    copies: dict[bytes, list[int]] = {}
    for at, frequent in enumerate((counts > most)[group]):
        same = copies.setdefault(rows[at].tobytes(), []) if frequent else []
        if len(same) < most:
            same.append(len(kept))
            kept.append(at)
        place[at] = same[-1]
    return np.array(kept), place


def neighbour_radii(rows: RowSource, *ks: int) -> FloatArray:
    """Squared distance of each row to its k-th nearest other row, ``[n]``, or ``[ks, n]`` for several k; n exceeds k.

    Distances are symmetric, so that half the tiles serve both sides.
    """
    frame = _frame(rows, rows)
    parts = _Parts(rows, frame)
    halves = parts.halves()
    copies = _few_copies(rows, halves, max(ks) + 1)
    if copies is None:
        radii = _distinct_radii(rows, parts, halves, frame, ks)
    else:  # one more of the same would change no radius, and cost a difference with every other
        kept, place = reordered(rows, copies[0]), copies[1]
        radii = _distinct_radii(kept, _Parts(kept, frame), halves[copies[0]], frame, ks)[:, place]
    return radii[0] if len(ks) == 1 else radii


def _distinct_radii(rows: RowSource, parts: _Parts, halves: Matrix, frame: _Frame, ks: Sequence[int]) -> FloatArray:
    k, tiles = max(ks), parts.tiles
    candidates = _Candidates(rows, halves, k)
    for tile, at in enumerate(tiles):  # first what gives every row a limit
        part = parts[tile]
        lower = frame.lower(part, part)
        np.fill_diagonal(lower, np.inf)
        if len(lower) > k:
            upper = _upper(lower, part.halves[:, None], part.halves)
            candidates.limits[at] = np.partition(upper, k - 1, axis=1)[:, k - 1]
        found = _at_most(lower, candidates.limits[at, None])
        candidates.add(found[0] + at.start, found[1] + at.start, lower[found])
    for i, j in itertools.combinations(range(len(tiles)), 2):
        at, other = tiles[i], tiles[j]
        lower = frame.lower(parts[i], parts[j])
        found = _at_most(lower, candidates.limits[at, None])
        candidates.add(found[0] + at.start, found[1] + other.start, lower[found])
        found = _at_most(lower, candidates.limits[None, other])
        candidates.add(found[1] + other.start, found[0] + at.start, lower[found])
    return candidates.radii(ks)


def reference_radii(rows: RowSource, *ks: int) -> FloatArray:
    """`neighbour_radii` of a reference set, kept for the metrics that ask for the same ones next."""
    return _reference_radii.get(rows, ks, lambda: neighbour_radii(rows, *ks))


def nearest(points: RowSource, centres: RowSource) -> tuple[NDArray[np.intp], FloatArray]:
    """Position of each point's nearest centre and the squared distance to it; the first one where several tie."""
    position, distance = np.zeros(len(points), np.intp), np.full(len(points), np.inf)
    if not len(points):
        return position, distance
    limits = np.full(len(points), np.inf, np.float32)
    for at, other, _, a, b, lower in _between(points, centres):
        first = lower.argmin(axis=1)
        upper = _upper(lower[np.arange(len(first)), first], a.halves, b.halves[first])
        limits[at] = np.minimum(limits[at], upper)
        point, centre = _at_most(lower, limits[at, None])
        point, centre = point + at.start, centre + other.start
        exact = _exact(points, centres, point, centre)
        order = np.lexsort((centre, exact, point))
        order = order[np.unique(point[order], return_index=True)[1]]
        order = order[exact[order] < distance[point[order]]]  # an equal one came first
        position[point[order]], distance[point[order]] = centre[order], exact[order]
    return position, distance


def _between(points: RowSource, centres: RowSource) -> Iterator[tuple[slice, slice, _Frame, _Single, _Single, Matrix]]:
    """Tiles of lower bounds between two sets, with the places and the rows that they are of."""
    frame = _frame(centres, points)
    parts = _Parts(centres, frame)
    for at in _tiles(len(points)):
        part = frame.single(points[at])
        for tile, other in enumerate(parts.tiles):
            centre = parts[tile]
            yield at, other, frame, part, centre, frame.lower(part, centre)


@dataclass(frozen=True, slots=True)
class Balls:
    """Balls around every centre or every point: squared radii, and whether a ball holds its boundary."""

    radii: FloatArray
    inclusive: bool
    around: Literal["centres", "points"] = "centres"


def memberships(points: RowSource, centres: RowSource, *balls: Balls) -> Iterator[list[Pairs]]:
    """For some points and centres at a time, and each kind of balls: the pairs of which one lies in the other's ball.

    Every pair is seen once; all that the kinds ask for is answered by one pass over the distances.
    """
    for _, found in memberships_by_point(points, centres, *balls):
        yield found


def memberships_by_point(points: RowSource, centres: RowSource, *balls: Balls) -> Iterator[tuple[slice, list[Pairs]]]:
    """The same with the run of points that the pairs are of; all centres come before the next run."""
    if not len(points):
        return
    for at, other, frame, a, b, lower in _between(points, centres):
        found = []
        for kind in balls:
            of_centres = kind.around == "centres"
            radii = kind.radii[other if of_centres else at]
            limits = frame.half(radii).astype(np.float32)
            point, centre = _at_most(lower, limits[None, :] if of_centres else limits[:, None])
            own = centre if of_centres else point
            upper = _upper(lower[point, centre], a.halves[point], b.halves[centre])
            open_ = np.flatnonzero(~(upper < limits[own]))
            exact = _exact(points, centres, point[open_] + at.start, centre[open_] + other.start)
            within = exact <= radii[own[open_]] if kind.inclusive else exact < radii[own[open_]]
            kept = np.ones(len(point), bool)
            kept[open_] = within
            found.append((point[kept] + at.start, centre[kept] + other.start))
        yield at, found
