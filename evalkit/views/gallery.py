"""Stored samples as people look at them: ordered by a score, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.reports.scorecard import spec_named
from evalkit.task_data import Told, told_data
from evalkit.views.stored import StoredTask
from judges.base import SUSPECTED_INJECTION, Verdict
from metrics.base import Direction
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.project import Project
    from registry.entities import Evaluation, ModelVersion

WORST, BEST, MADE = "worst", "best", "made"
ORDERS = (WORST, BEST, MADE)
SIZE = 24
_TEXT = 1_500
"""Characters of a text in the gallery; a sample's own page has more."""
_MOST_VALUES = 200
_MOST_ROWS = 50_000
_INJECTION, _LATENCY = "injection", "latency"


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge said of a sample."""

    judge: str
    value: float | None
    label: str | None
    rationale: str | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """One score of a sample: None with the reason where there is none."""

    metric: str
    value: float | None
    reason: str | None
    units: str


@dataclass(frozen=True, slots=True)
class SampleView:
    """A sample on a page; `suspected` says that its output seems to address its judge."""

    place: int
    sample_id: str
    prompt: str | None
    text: str | None
    error: str | None
    expected: tuple[str, ...]
    context: tuple[str, ...]
    picture: bool
    scores: tuple[Scored, ...]
    said: tuple[Said, ...]
    suspected: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which samples: ordered by `metric` (none: as they were made), in a slice ``name=value`` or all (``""``).

    `longest`: characters of a text.
    """

    metric: str | None
    slice: str = ""
    order: str = WORST
    unscored: bool = False
    start: int = 0
    size: int = SIZE
    longest: int = _TEXT


@dataclass(frozen=True, slots=True)
class Gallery:
    """Samples of one task: `total` there are under these filters, `unscored` of them without a score."""

    samples: tuple[SampleView, ...]
    total: int
    unscored: int
    metrics: tuple[str, ...]
    slices: tuple[str, ...]


def gallery(task: StoredTask, wanted: Wanted, answers: Answers | None = None) -> Gallery:
    """The samples of a page.

    Args:
        task: what is stored.
        wanted: which of them.
        answers: what was expected, where the data are at hand.

    Raises:
        GoneError: what the page needs is no longer stored.
        InputError: there is no such metric or slice.
    """
    metrics = task.metrics()
    if wanted.metric is not None and wanted.metric not in metrics:
        raise InputError(f"'{task.name}' has no score per sample of '{wanted.metric}'")
    places, unscored = _places(task, wanted)
    shown = [int(place) for place in places[wanted.start : wanted.start + wanted.size]]
    slices = tuple(slice_values(task, wanted.metric)) if wanted.metric is not None else ()
    return Gallery(
        tuple(views(task, shown, metrics, answers, wanted.longest)), len(places), unscored, tuple(metrics), slices
    )


def views(
    task: StoredTask,
    places: Sequence[int],
    metrics: Iterable[str] | None = None,
    answers: Answers | None = None,
    longest: int = _TEXT,
) -> list[SampleView]:
    """Samples by their place, of each text at most `longest` characters."""
    names = list(task.metrics() if metrics is None else metrics)
    outputs = task.outputs_at(places)
    scores = {name: task.scores_at(name, places) for name in names}
    units = {name: spec_named(name, task.record["metrics"][name]["settings"]).units for name in names}
    verdicts = {name: task.verdicts_at(name, places) for name in names}
    found = []
    for place in places:
        row = outputs[place]
        said = tuple(_said(name, verdicts[name][place], longest) for name in names if place in verdicts[name])
        own = tuple(Scored(name, *scores[name].get(place, (None, None)), units[name]) for name in names)
        expected, context = answers.of(row["sample_id"], longest) if answers is not None else ((), ())
        found.append(
            SampleView(
                place, row["sample_id"], _cut(row["prompt"], longest), _cut(row["text"], longest), row["error"],
                expected, context, task.pictures and row["text"] is None and row["error"] is None, own, said,
                _suspected(own, said),
            )
        )  # fmt: skip
    return found


def default_metric(task: StoredTask, gated: Iterable[str] = ()) -> str | None:
    """What orders samples unless a reader says otherwise: the first gated metric with scores, else the first one.

    Nobody looks at images by how long they took.
    """
    known = [name for name in task.metrics() if direction_of(task, name) != "none"]
    own = [name for name in known if name != _LATENCY]
    rest = own if own or task.pictures else known
    return next((name for name in gated if name in known), next(iter(rest), None))


def direction_of(task: StoredTask, metric: str) -> Direction:
    """Which way a metric is better."""
    return spec_named(metric, task.record["metrics"][metric]["settings"]).direction


def slice_values(task: StoredTask, metric: str) -> list[str]:
    """``name=value`` of every slice that the samples have, at most 200."""
    found = []
    for name in task.slice_names(metric):
        values = sorted({str(value) for value in task.slice_values(metric, name)})
        found += [f"{name}={value}" for value in values]
    return found[:_MOST_VALUES]


def _places(task: StoredTask, wanted: Wanted) -> tuple[NDArray[np.intp], int]:
    """Places of the samples under the filters, in order; and how many of them have no score."""
    if wanted.metric is None:
        return np.arange(task.target), 0
    table = task.scores(wanted.metric)
    denominators = table["denominator"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        values = table["value"].to_numpy() / denominators
    values = np.where(denominators > 0, values, np.nan)
    kept = np.ones(len(values), bool)
    if wanted.slice:
        name, _, value = wanted.slice.partition("=")
        if name not in task.slice_names(wanted.metric):
            raise InputError(f"'{task.name}' has no slice '{name}'")
        kept = task.slice_values(wanted.metric, name) == value
    missing = ~np.isfinite(values)
    places = np.flatnonzero(kept & missing if wanted.unscored else kept)
    unscored = int((kept & missing).sum())
    if wanted.order == MADE:
        return places, unscored
    direction = direction_of(task, wanted.metric)
    sign = {"higher": 1.0, "lower": -1.0, "none": 0.0}[direction] * (1 if wanted.order == WORST else -1)
    key = np.where(missing, -np.inf if wanted.order == WORST else np.inf, sign * np.nan_to_num(values))
    return places[np.argsort(key[places], kind="stable")], unscored


def _said(name: str, verdict: Verdict, longest: int) -> Said:
    return Said(name, verdict.value, verdict.label, _cut(verdict.rationale, longest), verdict.flags)


def _suspected(scores: Iterable[Scored], said: Iterable[Said]) -> bool:
    flagged = any(SUSPECTED_INJECTION in one.flags for one in said)
    return flagged or any(
        one.reason == SUSPECTED_INJECTION or (one.metric == _INJECTION and bool(one.value)) for one in scores
    )


def _cut(text: str | None, longest: int) -> str | None:
    return text if text is None or len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"


@dataclass(frozen=True, slots=True)
class Answers:
    """Accepted answers and context by sample, from the task's data."""

    ids: Mapping[str, int]
    expected: pa.ChunkedArray
    context: pa.ChunkedArray

    def of(self, sample_id: str, longest: int = _TEXT) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Accepted answers and context of a sample; nothing where the data have none."""
        place = self.ids.get(sample_id)
        if place is None:
            return (), ()
        return tuple(
            tuple(_cut(str(text), longest) or "" for text in (column[place].as_py() or ())[:8])
            for column in (self.expected, self.context)
        )  # type: ignore[return-value]  # a pair, one per column


def answers_of(project: Project, version: ModelVersion, evaluation: Evaluation, task: StoredTask) -> Answers | None:
    """What a task's data expect; None where the data are not at hand, or are no longer those that were judged."""
    told = None if task.pictures else told_data(project.session, version, evaluation, task.name, _MOST_ROWS)
    return _answers(told) if told is not None else None


@lru_cache(maxsize=8)
def _answers(told: Told) -> Answers | None:
    data = told.read()
    if data is None:
        return None
    rows: Any = data.rows
    ids = {sample: place for place, sample in enumerate(rows["sample_id"].to_pylist())}
    return Answers(ids, rows["expected"], rows["context"])
