"""The state that metrics on features share: rows by reference where they are stored, arrays otherwise.

Fréchet, kernel and nearest-neighbour metrics all need the rows themselves (the low-sample bias, radii,
pairs), so none of them can be reduced to counts. A batch with a `source` adds a reference of a few bytes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, Loader, Metric, State
from metrics.errors import InputError
from metrics.image.stored import OpenRows, RowSource, StoredPart, StoredRows, blocks
from metrics.scoring import refuse_weights
from metrics.statistics.intervals import Interval, constant_interval, t_interval, wilson_interval

Matrix = NDArray[Any]

SHARED_CLUSTERS = "no valid interval: samples share clusters"

_KEPT_TYPES = ("float16", "float32", "float64", "uint8")


def as_matrix(values: Any, what: str) -> Matrix:
    """Return a 2-d array of float16, float32, float64 or uint8 from NumPy, torch or nested lists.

    Other real types become float64; anything else raises `InputError` that names `what`.
    """
    if hasattr(values, "detach"):  # a torch tensor; NumPy has no bfloat16
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    try:
        array = np.asarray(values)
        matrix = array if array.dtype.name in _KEPT_TYPES else array.astype(np.float64, casting="same_kind")
    except (TypeError, ValueError):
        raise InputError(f"{what}: expected numbers in rows of equal length; one row per sample") from None
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise InputError(f"{what}: expected an array [samples, dimensions], got shape {list(matrix.shape)}")
    return matrix


def finite_float64(values: Any, what: str) -> FloatArray:
    """Return a finite float64 matrix; a row that is not finite raises `InputError` with its position."""
    return _finite(as_matrix(values, what).astype(np.float64), what)


def _finite(matrix: Matrix, what: str) -> Matrix:
    # blocks, since a mask of the whole is a quarter of a float32 matrix
    broken = [~np.isfinite(matrix[at : at + 1024]).all(axis=1) for at in range(0, len(matrix), 1024)]
    bad = np.flatnonzero(np.concatenate(broken)) if broken else np.empty(0)
    if bad.size:
        raise InputError(f"{what}: row {bad[0]} is not finite ({bad.size} such rows); mark failed samples as errors")
    return matrix


def stored_precision(matrix: Matrix) -> Matrix:
    """Narrower types as float32, which holds them exactly; float32 and float64 as they are, not copied."""
    return matrix if matrix.dtype.itemsize >= 4 else matrix.astype(np.float32)


def checked_matrix(values: Any, what: str) -> Matrix:
    """The same check, but float32 stays float32 and is not copied: for functions that convert block by block."""
    return stored_precision(_finite(as_matrix(values, what), what))


def pair_of_matrices(reference: Any, generated: Any, minimum: int = 2) -> tuple[FloatArray, FloatArray]:
    """Check two feature sets for the plain functions: finite, equally wide, at least `minimum` rows each."""
    first, second = finite_float64(reference, "reference features"), finite_float64(generated, "generated features")
    return _same_width(first, second, minimum)


def checked_pair(reference: Any, generated: Any, minimum: int = 2) -> tuple[Matrix, Matrix]:
    """The same with `checked_matrix`."""
    first, second = checked_matrix(reference, "reference features"), checked_matrix(generated, "generated features")
    return _same_width(first, second, minimum)


def _same_width(first: Matrix, second: Matrix, minimum: int) -> tuple[Matrix, Matrix]:
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"reference features have {first.shape[1]} dimensions, generated ones {second.shape[1]}; "
            "extract both with the same extractor"
        )
    for name, matrix in (("reference", first), ("generated", second)):
        if len(matrix) < minimum:
            raise InputError(f"{name} features: got {len(matrix)} samples, at least {minimum} are needed")
    return first, second


def unit_rows(rows: FloatArray) -> FloatArray:
    """Rows scaled to length one; a row of zeros stays as it is."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    scaled: FloatArray = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    return scaled


@dataclass(frozen=True, slots=True)
class Sample:
    """What a state amounts to: finite rows, and how many samples were offered and scored.

    Attributes:
        rows: ``[n, d]``, float64, or for metrics that are `blockwise` float32 where they are stored so; never
            written to, since they may be the state's own. For metrics that are `streamed` a `RowSource`.
        offered: samples including those without a usable output.
        dependent: whether samples share clusters, so that per-sample errors are not independent.
    """

    rows: Matrix
    offered: int
    dependent: bool

    @property
    def n(self) -> int:
        """Scored samples."""
        return len(self.rows)

    @property
    def coverage(self) -> float:
        """Scored / offered samples."""
        return self.n / self.offered if self.offered else 0.0


def mean_interval(values: FloatArray, highest: float, confidence: float) -> Interval:
    """Interval of the mean of values between 0 and `highest`."""
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if deviation <= 1e-12 * highest:
        return constant_interval(mean, len(values), 0.0, highest, confidence=confidence)
    low, high = t_interval(mean, deviation / np.sqrt(len(values)), len(values) - 1, confidence=confidence)
    return max(float(low), 0.0), min(float(high), highest)


def share(hits: NDArray[np.bool_], generated: Sample, estimand: str, confidence: float) -> Estimate:
    """Share of generated samples of which something holds, with Wilson's interval; the reference is fixed."""
    rate, n = float(hits.mean()), generated.n
    low, high = wilson_interval(rate, n, confidence=confidence)
    return Estimate(
        rate,
        None if generated.dependent else low,
        None if generated.dependent else high,
        n=n,
        coverage=generated.coverage,
        worst_low=float(hits.sum()) / generated.offered,
        worst_high=(float(hits.sum()) + generated.offered - n) / generated.offered,
        method=SHARED_CLUSTERS
        if generated.dependent
        else "Wilson interval over generated samples, the reference fixed",
        estimand=estimand,
        confidence=confidence,
    )


def _cluster_keys(clusters: Sequence[str]) -> NDArray[np.int64]:
    digests = b"".join(blake2b(str(name).encode(), digest_size=8).digest() for name in clusters)
    return np.frombuffer(digests, dtype="<i8").astype(np.int64)


class RowMetric(Metric):
    """A metric on a matrix column, one row per sample. Subclasses write `estimate`.

    State facts: ``offered``, ``scored``, ``column``, ``width`` and ``parts``, in sample order; a part is
    ``{"source", "rows", "skip"}`` (stored shard; positions of its unscored rows) or ``{"array"}``. Arrays: those
    rows, and ``clusters``, a 64-bit key per sample that has one.
    The loader is called with the batch's `source` for features, and with ``source#probabilities`` for those.
    """

    column: ClassVar[str] = "features"
    blockwise: ClassVar[bool] = False
    """Whether `estimate` takes float32 rows too and converts a block at a time: half the memory, or less."""
    streamed: ClassVar[bool] = False
    """Whether `estimate` also takes rows that stay where they are stored (`StoredRows`) and reads them in blocks."""

    def init(self) -> State:
        """Return the state of no samples."""
        facts = {"column": self.column, "offered": 0, "scored": 0, "width": None, "parts": []}
        return State(self.spec.name, self.spec.version, facts, {})

    def update(self, state: State, batch: Batch) -> State:
        """Add a batch; a row that is not finite without an error on its sample raises `InputError`."""
        return self.merge(state, self._state_of(batch))

    def _state_of(self, batch: Batch) -> State:
        name = self.spec.name
        where = f"metric '{name}': {self.column} of " + (f"'{batch.source}'" if batch.source else "the batch")
        refuse_weights(batch, name)
        if len(batch) == 0:
            return self.init()
        rows = as_matrix(batch.column(self.column, name), where)
        if len(rows) != len(batch):
            raise InputError(f"{where}: {len(rows)} rows for {len(batch)} samples")
        failed = np.array([e is not None for e in batch.errors], bool) if batch.errors else np.zeros(len(rows), bool)
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1) & ~failed)
        if broken.size:
            raise InputError(
                f"{where}: sample '{batch.sample_ids[broken[0]]}' (row {broken[0]}) is not finite, as are "
                f"{broken.size} of {len(rows)} rows; record an error for samples without a usable output"
            )
        kept = rows[~failed]
        facts: dict[str, Any] = {
            "column": self.column,
            "offered": len(rows),
            "scored": len(kept),
            "width": int(rows.shape[1]) if len(kept) else None,
            "parts": [],
        }
        arrays: dict[str, Matrix] = {}
        if len(kept) and batch.source:
            skip = [int(i) for i in np.flatnonzero(failed)]
            facts["parts"] = [{"source": batch.source, "rows": len(rows), "skip": skip}]
        elif len(kept):
            facts["parts"], arrays = [{"array": "rows_0"}], {"rows_0": kept}
        if batch.clusters is not None:
            arrays["clusters"] = _cluster_keys(batch.clusters)
        return State(name, self.spec.version, facts, arrays)

    def merge(self, a: State, b: State) -> State:
        """Return a's samples followed by b's; exactly associative."""
        for state in (a, b):
            if state.facts.get("column") != self.column or state.version != self.spec.version:
                raise InputError(
                    f"metric '{self.spec.name}' version {self.spec.version} cannot use a state of '{state.metric}' "
                    f"version {state.version}; compute it again from the stored outputs"
                )
        widths = {state.facts["width"] for state in (a, b)} - {None}
        if len(widths) > 1:
            raise InputError(f"metric '{self.spec.name}': features of {min(widths)} and of {max(widths)} dimensions")
        parts: list[dict[str, Any]] = []
        arrays: dict[str, Matrix] = {}
        for state in (a, b):
            for part in state.facts["parts"]:
                moved = dict(part)
                if "array" in part:
                    moved["array"] = f"rows_{len(parts)}"
                    arrays[moved["array"]] = state.arrays[part["array"]]
                parts.append(moved)
        clusters = [state.arrays["clusters"] for state in (a, b) if "clusters" in state.arrays]
        if clusters:
            arrays["clusters"] = np.concatenate(clusters)
        facts = {
            "column": self.column,
            "offered": a.facts["offered"] + b.facts["offered"],
            "scored": a.facts["scored"] + b.facts["scored"],
            "width": max(widths, default=None),
            "parts": parts,
        }
        return State(self.spec.name, self.spec.version, facts, arrays)

    def resolve(self, state: State, load: Loader | None) -> Sample:
        """Read a state's rows, in sample order, as float64 or as their metric takes them.

        For a `streamed` metric they are only read through, where the loader can read parts of shards.
        """
        clusters = state.arrays.get("clusters", np.empty(0))
        dependent = len(np.unique(clusters)) < len(clusters)
        parts = state.facts["parts"]
        opener: OpenRows | None = getattr(load, "open_rows", None)
        if self.streamed and opener is not None and parts and all("source" in part for part in parts):
            return Sample(self._left_in_place(state, load, opener), state.facts["offered"], dependent)
        convert = stored_precision if self.blockwise else lambda part: part.astype(np.float64)
        matrix: Matrix = np.empty((0, state.facts["width"] or 0), np.float32)
        at = 0
        for part in map(convert, self._parts(state, load)):  # one at a time, since stored ones are read here
            if len(state.facts["parts"]) == 1:
                matrix = part
                break
            kind = np.result_type(matrix, part)
            if not len(matrix):
                matrix = np.empty((state.facts["scored"], part.shape[1]), kind)
            matrix = matrix.astype(kind, copy=False)
            matrix[at : at + len(part)] = part
            at += len(part)
        return Sample(matrix, state.facts["offered"], dependent)

    def _left_in_place(self, state: State, load: Loader | None, opener: OpenRows) -> Any:
        """The rows as `StoredRows`; every shard is read once, so that a damaged one shows here."""
        found = []
        for part in state.facts["parts"]:
            self._stored(part, state, load)
            name = self._address(part)
            kept = np.delete(np.arange(part["rows"]), part["skip"]) if part["skip"] else None
            found.append(StoredPart(opener(name), kept))
        return StoredRows(found, state.facts["width"])

    def _address(self, part: Mapping[str, Any]) -> str:
        """What the loader is asked for."""
        source: str = part["source"]
        return source if self.column == "features" else f"{source}#{self.column}"

    def _parts(self, state: State, load: Loader | None) -> Iterator[Matrix]:
        for part in state.facts["parts"]:
            yield state.arrays[part["array"]] if "array" in part else self._stored(part, state, load)

    def _stored(self, part: Mapping[str, Any], state: State, load: Loader | None) -> Matrix:
        source = part["source"]
        if load is None:
            raise InputError(f"metric '{self.spec.name}': the {self.column} are stored as '{source}'; pass `load`")
        name = self._address(part)
        rows = as_matrix(load(name), f"stored {self.column} '{name}'")
        if rows.shape != (part["rows"], state.facts["width"]):
            raise InputError(
                f"stored {self.column} '{name}' have shape {list(rows.shape)}, but {part['rows']} rows of "
                f"{state.facts['width']} were scored; extract them again"
            )
        kept = np.delete(rows, part["skip"], axis=0) if part["skip"] else rows
        if not np.isfinite(kept).all():
            raise InputError(f"stored {self.column} '{name}' are not finite where they were; extract them again")
        return kept

    def compute(self, state: State, *, confidence: float = 0.95, load: Loader | None = None) -> dict[str, Estimate]:
        """Return the estimates; with too few scored samples they are NaN and `method` says why."""
        generated = self.resolve(state, load)
        reference = self._reference_rows(load) if self.spec.uses_reference else np.empty((0, 0))
        if generated.n and self.spec.uses_reference and reference.shape[1] != generated.rows.shape[1]:
            raise InputError(
                f"metric '{self.spec.name}': reference features have {reference.shape[1]} dimensions, generated "
                f"ones {generated.rows.shape[1]}; extract both with the same extractor"
            )
        needed = self.least_samples()
        if generated.n < needed:
            reason = f"not computed: {generated.n} scored samples, at least {needed} are needed"
            return {key: self.missing(generated, reason, confidence) for key in (PRIMARY, *self.spec.keys)}
        return self.estimate(reference, generated, confidence)

    def missing(self, generated: Sample, reason: str, confidence: float) -> Estimate:
        """An estimate without a value, and why."""
        return Estimate(
            float("nan"), n=generated.n, coverage=generated.coverage, method=reason, estimand=self.spec.estimand,
            confidence=confidence,
        )  # fmt: skip

    def _reference_rows(self, load: Loader | None) -> FloatArray:
        if self.reference is None:
            raise InputError(f"metric '{self.spec.name}' compares with a reference set; give the task a `reference`")
        rows = self.resolve(self.reference, load).rows
        if len(rows) < self.least_reference():
            raise InputError(
                f"metric '{self.spec.name}': the reference has {len(rows)} usable images, at least "
                f"{self.least_reference()} are needed"
            )
        return rows

    def least_samples(self) -> int:
        """Fewest generated samples with a value."""
        return 2

    def least_reference(self) -> int:
        """Fewest reference samples with a value."""
        return 2

    @abstractmethod
    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the estimates on rows as `Sample` describes them; there are enough of both."""


class ContentCache:
    """Results on a few matrices, found again by content: several metrics ask for the same reference's radii."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._results: OrderedDict[tuple[bytes, object], Any] = OrderedDict()

    def get(self, rows: RowSource, key: object, make: Callable[[], FloatArray]) -> FloatArray:
        """Return the result kept for equal rows and key, or make it."""
        digest = blake2b(repr((tuple(rows.shape), rows.dtype.str)).encode(), digest_size=16)
        for at in blocks(rows):
            digest.update(np.ascontiguousarray(rows[at]).reshape(-1).view(np.uint8).data)
        place = (digest.digest(), key)
        if place not in self._results:
            self._results[place] = make()
            if len(self._results) > self._size:
                self._results.popitem(last=False)
        result: FloatArray = self._results[place]
        return result
