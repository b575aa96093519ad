"""Column drift as catalogue metrics: small mergeable states, compared with a reference state."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from metrics.base import Batch, Direction, Estimate, Loader, Metric, MetricSpec, State
from metrics.drift.distances import BinScheme
from metrics.drift.distribution import Column, is_missing
from metrics.drift.intervals import BINNED, BRIDGE, DKW, LEAST_EXPECTED, LEAST_ROWS
from metrics.drift.sketch import ColumnSketch
from metrics.drift.univariate import (
    chi_square,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)
from metrics.errors import InputError

_KEYS = {
    "p_value": "p-value of no drift",
    "critical": "quantile of the effect without drift, at these sizes",
}
_PLAIN: dict[str, Direction] = {"p_value": "none", "critical": "none"}


class ColumnDrift(Metric):
    """Drift of one column against a reference. Setting: `column`, the batch column to read.

    The state is exact up to 2,048 different values and a t-digest beyond (see sketch.py for how far that is off), so
    that hours roll up into days; it stays under 64 kB but for many categories. Subclasses write `compare`.
    """

    categorical: ClassVar[bool] = False

    def __init__(self, *, reference: State | None = None, column: str | None = None, **settings: Any) -> None:
        chosen = column or self.spec.needs[0]
        super().__init__(reference=reference, column=chosen, **settings)
        self._column = chosen

    @property
    def needs(self) -> tuple[str, ...]:
        """The column that it was told to read."""
        return (self._column,)

    def init(self) -> State:
        """Return the state of no samples."""
        return self._state(ColumnSketch())

    def _state(self, sketch: ColumnSketch) -> State:
        facts = {"column": self._column, **sketch.facts()}
        return State(self.spec.name, self.spec.version, facts, sketch.arrays())

    def _sketch(self, state: State) -> ColumnSketch:
        if state.facts.get("column") != self._column or state.version != self.spec.version:
            raise InputError(
                f"metric '{self.spec.name}' version {self.spec.version} on column '{self._column}' cannot use a state "
                f"of '{state.metric}' version {state.version} on '{state.facts.get('column')}'; compute it again"
            )
        return ColumnSketch.from_parts(state.facts, state.arrays)

    def update(self, state: State, batch: Batch) -> State:
        """Add a batch; samples with an error or without a value are unscored, infinity raises `InputError`."""
        name = self.spec.name
        if batch.weights is not None and not np.all(batch.weights == batch.weights[:1]):
            raise InputError(f"metric '{name}' does not support sampling weights; drop `weight` from the columns")
        values = batch.column(self._column, name)
        if len(values) != len(batch):
            raise InputError(
                f"metric '{name}': column '{self._column}' has {len(values)} rows for {len(batch)} samples"
            )
        failed = batch.errors or [None] * len(batch)
        kept = [None if error is not None else value for value, error in zip(values, failed, strict=True)]
        what = f"metric '{name}': column '{self._column}'"
        if self.categorical:
            sketch = ColumnSketch.of_categories(kept, what)
        else:
            self._check_finite(kept, batch)
            sketch = ColumnSketch.of_numbers(kept, what)
        sketch = replace(sketch, dependent=batch.clusters is not None and len(set(batch.clusters)) < len(batch))
        return self._state(self._sketch(state).merge(sketch))

    def _check_finite(self, values: list[Any], batch: Batch) -> None:
        for sample, value in zip(batch.sample_ids, values, strict=True):
            if is_missing(value):
                continue
            if not isinstance(value, int | float | np.number) or math.isinf(value):
                raise InputError(
                    f"metric '{self.spec.name}': column '{self._column}' of sample '{sample}' is {value!r:.60}; "
                    "expected a finite number, or None where it is missing"
                )

    def merge(self, a: State, b: State) -> State:
        """Return the state of both runs of samples, a's before b's."""
        return self._state(self._sketch(a).merge(self._sketch(b)))

    def compute(self, state: State, *, confidence: float = 0.95, load: Loader | None = None) -> dict[str, Estimate]:
        """Return the estimates; without a scored sample they are NaN and `method` says why."""
        if self.reference is None:
            raise InputError(f"metric '{self.spec.name}' compares with a reference; hand in its state")
        current, reference = self._sketch(state).column(), self._sketch(self.reference).column()
        if reference.n == 0:
            raise InputError(f"metric '{self.spec.name}': the reference has no value in column '{self._column}'")
        if current.n == 0:
            empty = Estimate(
                math.nan,
                n=0,
                coverage=0.0,
                method="not computed: no scored sample",
                estimand=self.spec.estimand,
                confidence=confidence,
            )
            return dict.fromkeys(("value", *self.spec.keys), empty)
        return self.compare(reference, current, confidence)

    @abstractmethod
    def compare(self, reference: Column, current: Column, confidence: float) -> dict[str, Estimate]:
        """Compare two columns, each with a value at least."""


class KolmogorovSmirnov(ColumnDrift):
    """Kolmogorov-Smirnov distance of a numeric column. Setting: `column`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="ks",
        measures="drift of a numeric column: largest difference of the distribution functions",
        low=0.0,
        high=1.0,
        direction="lower",
        quadrant="quality",
        needs=("value",),
        estimand="largest difference of the distribution functions",
        interval=DKW,
        validity="independent rows, any n; conservative",
        source="scipy.stats.ks_2samp; Massart 1990",
        keys=_KEYS,
        key_directions=_PLAIN,
        uses_reference=True,
    )

    def __init__(self, *, reference: State | None = None, column: str = "value") -> None:
        super().__init__(reference=reference, column=column)

    def compare(self, reference: Column, current: Column, confidence: float) -> dict[str, Estimate]:
        """Return the distance, its p-value and its critical value."""
        return kolmogorov_smirnov(reference, current, confidence=confidence)


class Wasserstein(ColumnDrift):
    """First Wasserstein distance of a numeric column. Settings: `column`, `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="wasserstein",
        measures="drift of a numeric column: first Wasserstein distance, in the column's unit",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("value",),
        estimand="first Wasserstein distance of the distributions",
        interval=BRIDGE,
        validity=f"{LEAST_ROWS} or more independent rows of each column with a finite variance; conservative",
        source="scipy.stats.wasserstein_distance; normalised as Evidently 0.7.23",
        keys={"normalised": "distance in the reference's standard deviations", **_KEYS},
        key_directions=_PLAIN,
        uses_reference=True,
    )

    def __init__(self, *, reference: State | None = None, column: str = "value", seed: int = 0) -> None:
        super().__init__(reference=reference, column=column, seed=seed)
        self._seed = seed

    def compare(self, reference: Column, current: Column, confidence: float) -> dict[str, Estimate]:
        """Return the distance, plain and normalised, its p-value and its critical value."""
        return wasserstein_distance(reference, current, confidence=confidence, seed=self._seed)


class _BinnedDrift(ColumnDrift):
    def __init__(
        self, *, reference: State | None = None, column: str = "value", bins: BinScheme = "evidently", seed: int = 0
    ) -> None:
        if bins not in {"evidently", "deciles"}:
            raise InputError(f"metric '{self.spec.name}': bins is {bins!r}; expected 'evidently' or 'deciles'")
        super().__init__(reference=reference, column=column, bins=bins, seed=seed)
        self._bins: BinScheme = bins
        self._seed = seed


_BINNED_VALIDITY = f"independent rows, every bin with a row of each column and {LEAST_EXPECTED:g} expected; bins fixed"


class PopulationStability(_BinnedDrift):
    """Population stability index of a numeric column. Settings: `column`, `bins` (evidently, deciles), `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="psi",
        measures="drift of a numeric column: population stability index of its bins",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("value",),
        estimand="population stability index of the bin shares",
        interval=BINNED,
        validity=_BINNED_VALIDITY,
        source="Evidently 0.7.23, bins included",
        keys=_KEYS,
        key_directions=_PLAIN,
        uses_reference=True,
    )

    def compare(self, reference: Column, current: Column, confidence: float) -> dict[str, Estimate]:
        """Return the index, its p-value and its critical value."""
        return population_stability_index(reference, current, bins=self._bins, confidence=confidence, seed=self._seed)


class JensenShannon(_BinnedDrift):
    """Jensen-Shannon distance of a numeric column. Settings: `column`, `bins` (evidently, deciles), `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="jensen_shannon",
        measures="drift of a numeric column: Jensen-Shannon distance of its bins, natural logarithm",
        low=0.0,
        high=math.sqrt(math.log(2)),
        direction="lower",
        quadrant="quality",
        needs=("value",),
        estimand="Jensen-Shannon distance of the bin shares",
        interval=BINNED,
        validity=_BINNED_VALIDITY,
        source="scipy.spatial.distance.jensenshannon on Evidently 0.7.23's bins",
        keys=_KEYS,
        key_directions=_PLAIN,
        uses_reference=True,
    )

    def compare(self, reference: Column, current: Column, confidence: float) -> dict[str, Estimate]:
        """Return the distance, its p-value and its critical value."""
        return jensen_shannon_distance(reference, current, bins=self._bins, confidence=confidence, seed=self._seed)


class ChiSquare(ColumnDrift):
    """Chi-square test of a column of categories. Settings: `column`, `seed`."""

    categorical = True

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="chi_square",
        measures="drift of a column of categories: chi-square statistic, and Cramér's V as the effect",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("category",),
        estimand="chi-square statistic at these sizes",
        interval=f"none for the statistic, which grows with n; cramers_v: {BINNED}",
        validity=f"cramers_v: {_BINNED_VALIDITY}",
        source="scipy.stats.chi2_contingency(correction=False), scipy.stats.hypergeom",
        keys={"cramers_v": "Cramér's V, 0 to 1", **_KEYS},
        key_directions=_PLAIN,
        uses_reference=True,
    )

    def __init__(self, *, reference: State | None = None, column: str = "category", seed: int = 0) -> None:
        super().__init__(reference=reference, column=column, seed=seed)
        self._seed = seed

    def compare(self, reference: Column, current: Column, confidence: float) -> dict[str, Estimate]:
        """Return the statistic, Cramér's V, the p-value and the critical V."""
        return chi_square(reference, current, confidence=confidence, seed=self._seed)
