"""Drift of images: KID and FID of a window's features against reference images, the baseline and the window before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from evalkit.monitoring.checks.base import Beside, Check, Measured, Needs, Signal, Tools, Verdict
from evalkit.monitoring.fields import IMAGE
from evalkit.monitoring.rows import ALL, WindowRows
from evalkit.monitoring.sampling import Rows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, PerDay, Strict
from evalkit.monitoring.states import VECTORS, StateKey, States, moments_in, scored, vectors_state
from metrics.base import PRIMARY, Estimate, State
from metrics.errors import InputError
from metrics.statistics.rows import Quantity, estimate
from registry.digests import digest, short

UNREADABLE, FEATURES, KID, FID, REFERENCE = "unreadable", "features.", "kid", "fid", "reference"
_AT_A_TIME = 64
_LARGEST = 60_000.0
"""Features are kept in half precision."""
_LEAST = 2

Features = NDArray[np.float32]


class _Settings(Strict):
    """Settings.

    Attributes:
        extractor: by name, or a ``.pt2`` file below the monitor's folder.
        root: folder below the monitor's that images lie in.
        reference: images to compare with besides other windows: a file or folder below the monitor's, or
            ``name@split``.
        reference_image: the column of those images, where it has no usual name.
        sample: images for each day that features are extracted of at most.
        fid_at: number of images that FID is computed at, since it is biased by as much as they are few.
        floor: smallest KID between windows or to the reference that matters; None: whatever chance does not explain.
        minimum: images below which there is no verdict; the monitor's by default.
    """

    extractor: str = Field(min_length=1, max_length=500)
    root: str = Field(default=".", min_length=1, max_length=1000)
    reference: str | None = Field(default=None, min_length=1, max_length=1000)
    reference_image: str | None = Field(default=None, min_length=1, max_length=200)
    sample: PerDay = 1000
    fid_at: int = Field(default=500, ge=_LEAST, le=50_000)
    floor: float | None = Field(default=None, gt=0)
    minimum: int | None = Field(default=None, ge=_LEAST)


class Images(Check):
    """Distances of features. KID decides, by permutations; FID is a number at a fixed number of images."""

    kind = "images"
    uses_others = True
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        self._given = _Settings.model_validate(spec.settings or {})
        self._fewest = self._given.minimum or monitor.minimum
        if monitor.source.columns.image is None:
            raise InputError("images are read by reference; name the field with `columns: {image: …}`")

    @property
    def needs(self) -> Needs:
        """The images themselves, and what they are compared with."""
        return Needs(folders=("images below `root`",))

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Features of a sample of the images, and how they compare with the reference images."""
        if not rows.has(IMAGE):
            return Measured(notes=[f"{self.address}: no row has an image"])
        at = self._drawn(rows)
        extractor = tools.extractor(self._given.extractor)
        features, reasons = _extracted(rows.lists(IMAGE, at), tools.pictures(self._given.root), extractor)
        usable = np.array([reason is None for reason in reasons], dtype=bool)
        clusters = None if rows.clusters is None else rows.clusters[at]
        states: dict[StateKey, State] = {
            (UNREADABLE, ALL): scored((~usable).astype(np.float64), clusters=clusters, low=0.0, high=1.0)
        }
        samples = {(UNREADABLE, ALL): rows.ids[at[~usable]].tolist()[:20]}
        # Another extractor's features are other numbers: they are neither merged nor compared
        key = FEATURES + short(digest(extractor.identity()), 16)
        apart = _one_of_each(None if clusters is None else clusters[usable], int(usable.sum()))
        kept, hashed = features[apart], rows.hashes[at[usable]][apart]
        if len(kept):
            states[key, ALL] = vectors_state(kept, hashed, self._given.sample)
        found = self._against_reference(kept[np.argsort(hashed, kind="stable")], float(usable.mean()), tools)
        return Measured(states, samples, _notes(self.address, reasons), signals=found)

    def _drawn(self, rows: WindowRows) -> Rows:
        drawn = rows.sample(self._given.sample, floor=0).rows
        named = rows.texts(IMAGE).take(drawn).is_valid().to_numpy(zero_copy_only=False)
        present: Rows = drawn[named]
        return present

    def _against_reference(self, features: Features, coverage: float, tools: Tools) -> list[Signal]:
        given = self._given
        if given.reference is None:
            return []
        from metrics.image.frechet import frechet_distance
        from metrics.image.kernel import kernel_distance

        reference = tools.reference_features(given.reference, given.reference_image, given.extractor)
        names = f"{KID}.{REFERENCE}", f"{FID}.{REFERENCE}"
        few = self._too_few(len(reference), len(features))
        if few is not None:
            return [Signal(name, ALL, _nothing(self.monitor.confidence), "insufficient data", few) for name in names]
        value = kernel_distance(reference, features, subsets=1, subset_size=_LEAST)[PRIMARY]
        compared = self._compared(names[0], reference, features)
        signals = [replace(compared, estimate=replace(value, coverage=coverage, confidence=value.confidence))]
        if len(features) < given.fid_at:
            why = f"{len(features)} images; FID is biased at small numbers and is computed at {given.fid_at} (`fid_at`)"
            return [*signals, Signal(names[1], ALL, _nothing(self.monitor.confidence), "insufficient data", why)]
        distance = frechet_distance(reference, features[: given.fid_at])
        return [*signals, Signal(names[1], ALL, replace(distance, coverage=coverage))]

    def _too_few(self, *sizes: int) -> str | None:
        fewest = min(sizes)
        return None if fewest >= self._fewest else f"{fewest} images on one side; a verdict needs {self._fewest}"

    def _compared(self, name: str, before: Features, now: Features) -> Signal:
        """KID of two samples with the verdict of its permutation test."""
        from metrics.drift.kernel import polynomial_discrepancy

        found = polynomial_discrepancy(before, now, confidence=self.monitor.confidence)
        p_value, critical = found["p_value"].value, found["critical"].value
        floor, value = self._given.floor, found[PRIMARY].value
        reason = f"KID {value:.3g}, p {p_value:.3g}, chance reaches {critical:.3g}"
        reason += "" if floor is None else f", floor {floor:g}"
        verdict: Verdict = "no drift"
        if p_value <= 1 - self.monitor.confidence:
            verdict = "drift" if floor is None or value >= floor else "negligible"
        elif floor is not None and critical >= floor:
            verdict, reason = "insufficient data", f"{reason}: more images are needed to tell"
        return Signal(name, ALL, found[PRIMARY], verdict, reason, p_value=p_value)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """The rate of images that cannot be used, and KID against the baseline and the previous window."""
        found = []
        for (name, slice_), state in states.items():
            if name == UNREADABLE:
                rate = Quantity(0.0, 1.0, estimand="rate of images that cannot be read or have no features")
                made = estimate(moments_in(state), rate, confidence=self.monitor.confidence)
                found.append(Signal(UNREADABLE, slice_, made))
            elif state.metric == VECTORS:
                for against in self.spec.against:
                    other = beside.baseline if against == "baseline" else beside.previous
                    found.append(self._with_window(against, (name, slice_), state, other))
        return found

    def _with_window(self, against: str, key: StateKey, state: State, other: States | None) -> Signal:
        name, nothing = f"{KID}.{against}", _nothing(self.monitor.confidence)
        if other is None and against == "baseline":
            return Signal(name, ALL, nothing, "learning", "the baseline is still being learnt")
        if other is None:
            return Signal(name, ALL, nothing, "no previous window", "no window before it had rows")
        if key not in other:
            return Signal(name, ALL, nothing, "insufficient data", f"the {against} has no features of this extractor")
        before, now = _vectors(other[key]), _vectors(state)
        few = self._too_few(len(before), len(now))
        if few is not None:
            return Signal(name, ALL, nothing, "insufficient data", few)
        return self._compared(name, before, now)


def _extracted(references: Sequence[str], pictures: Any, extractor: Any) -> tuple[Features, list[str | None]]:
    """Features ``[usable, d]``, and why each image has none ``[images]``; one bad image spoils no other."""
    reasons: list[str | None] = []
    parts: list[Features] = []
    for start in range(0, len(references), _AT_A_TIME):
        images: list[Any] = []
        own: list[str | None] = []
        for reference in references[start : start + _AT_A_TIME]:
            try:
                images.append(pictures.read(reference))
                own.append(None)
            except InputError as error:
                own.append(str(error))
        found, failures = _features(images, extractor)
        told = iter(failures)
        reasons += [next(told) if reason is None else reason for reason in own]
        parts += found
    if not parts:
        return np.empty((0, 0), dtype=np.float32), reasons
    width = Counter(len(part) for part in parts).most_common(1)[0][0]
    rows = iter(parts)
    for place, reason in enumerate(reasons):
        if reason is None and len(next(rows)) != width:
            reasons[place] = f"its features are not {width} numbers, as most images' are"
    return np.stack([part for part in parts if len(part) == width]), reasons


def _features(images: list[Any], extractor: Any) -> tuple[list[Features], list[str | None]]:
    """Rows of features of those that have some, and for each image why it has none."""
    if not images:
        return [], []
    try:
        rows = np.asarray(extractor.extract(images).features, dtype=np.float32)
    except InputError as error:
        if len(images) == 1:
            return [], [str(error)]
        alone = [_features([image], extractor) for image in images]
        return [row for found, _ in alone for row in found], [why for _, reasons in alone for why in reasons]
    fits = [bool(np.all(np.abs(row) <= _LARGEST)) for row in rows]
    return list(rows[fits]), [None if fit else "its features are too large" for fit in fits]


def _one_of_each(clusters: NDArray[Any] | None, n: int) -> Rows:
    """Positions of one image of each cluster: the tests want independent ones."""
    if clusters is None:
        return np.arange(n)
    return np.sort(np.unique(clusters.astype(str), return_index=True)[1])


def _notes(address: str, reasons: Sequence[str | None]) -> list[str]:
    bad = [reason for reason in reasons if reason is not None]
    return [f"{address}: {len(bad)} of {len(reasons)} images cannot be used: {bad[0]}"] if bad else []


def _vectors(state: State) -> Features:
    rows: Features = state.arrays["vectors"].astype(np.float32)
    return rows


def _nothing(confidence: float) -> Estimate:
    return Estimate(math.nan, coverage=0.0, method="not compared", estimand="distance of images", confidence=confidence)
