"""Labelling, one sample at a time: what comes next, labels that are stored, and what they say about a judge."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from evalkit.errors import ConflictError, NotFoundError
from evalkit.judging.assignments import Assignment, Key, keys
from evalkit.judging.calibrations import Calibration
from evalkit.judging.labelling import LabelFile, value_of
from evalkit.judging.uses import Task, tasks
from evalkit.project import Project
from judges.base import Sample
from judges.labels import Label, read_labels
from judges.sampling import Draw
from metrics.errors import InputError
from registry.digests import short
from registry.entities import ModelVersion


@dataclass(frozen=True, slots=True)
class Line:
    """A task that can be labelled: `labels` by how many `people`."""

    task: Task
    labels: int
    people: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What a labeller is shown, and how far they are.

    Attributes:
        draw: None where all draws have a label.
        sample: as its judge sees it.
        parts: title and text, in order, without what any judge said.
        known: this labeller's label of the sample.
        labelled, samples: draws with a label, and how many samples these are of.
        before: the draw whose sample was labelled before this one.
        population: names the samples that are drawn from.
    """

    draw: Draw | None
    sample: Sample | None
    parts: Sequence[tuple[str, str]]
    known: Label | None
    labelled: int
    samples: int
    before: int | None
    population: str


@dataclass(frozen=True, slots=True)
class Given:
    """An answer: of a draw out of `n`, to samples of a `population`, in place of the label of the time `replaces`."""

    draw: int
    n: int
    population: str
    answer: str
    replaces: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of an answer: the label that stands, and whether another one was there that it did not replace."""

    label: Label
    changed: bool
    repeated: bool


def lines(project: Project) -> list[Line]:
    """What there is to label: judged scores of the newest versions, and outputs without a judge."""
    counted = _counted(project.settings.home)
    return [Line(one, *counted.get((one.version_id, one.task, one.metric), (0, 0))) for one in tasks(project.engine)]


def population(found: Assignment) -> str:
    """Names the samples that are drawn from, with their chances."""
    return short(found.design["population"], 32)


def asked(found: Assignment, labeller: str, n: int, draw: int | None = None) -> Asked:
    """The next sample without a label; or that of a `draw`, to be labelled again."""
    file = found.labels(labeller, n)
    if file.pending() is None and len(file.done) < n:
        with found.writing(labeller, n) as file:
            file.next()  # samples that were drawn again count again
    wanted = file.pending() if draw is None or draw >= n else file.draws[draw]
    done = {label.sample_id for label in file.done.values()}
    sample: Sample | None = None
    parts: Sequence[tuple[str, str]] = ()
    known: Label | None = None
    if wanted is not None:
        wanted = next(one for one in file.draws if one.sample_id == wanted.sample_id)
        shown, sample = found.shown(wanted)
        parts, known = shown.parts, _known(file, wanted)
    return Asked(
        wanted, sample, parts, known, len(file.done), len(done), _before(file.draws, done, wanted), population(found)
    )  # fmt: skip


def store(found: Assignment, labeller: str, given: Given) -> Stored:
    """Keep a label of exactly the sample that was shown.

    Raises:
        ConflictError: other samples are drawn from by now.
        InputError: no such draw or answer.
    """
    if given.population != population(found):
        raise ConflictError("other samples are drawn from now than those that this answer is of; load the next one")
    if given.draw >= given.n:
        raise InputError(f"draw {given.draw} of {given.n}; expected one of the draws that are asked for")
    with found.writing(labeller, given.n) as file:
        draw = file.draws[given.draw]
        shown, _ = found.shown(draw)
        value, reason = value_of(given.answer, found.values, shown)
        known = _known(file, draw)
        if known is not None and known.time != given.replaces:
            return Stored(known, changed=(known.value, known.reason) != (value, reason), repeated=True)
        file.ask_again(draw.sample_id)
        file.add(draw, value, reason)
        label = file.done[draw.draw]
        file.next()  # samples that were drawn again count again
    return Stored(label, changed=False, repeated=False)


def all_labels(key: Key, home: Path) -> list[Label]:
    """The labels of all labellers."""
    return [label for file in key.files(home) for label in read_labels(file)]


def content(key: Key, home: Path) -> bytes:
    """The same as JSON lines: what `evalkit judge calibrate --labels` reads.

    Raises:
        NotFoundError: there are none.
    """
    found = b"".join(file.read_bytes() for file in key.files(home))
    if not found:
        raise NotFoundError("nothing was labelled here yet")
    return found


def calibrate(project: Project, version: ModelVersion, key: Key) -> Calibration:
    """Compare the stored verdicts with the labels, and keep the result as `evalkit judge calibrate` does."""
    from evalkit.judging.asking import verdicts_of
    from evalkit.judging.calibrations import store_calibration
    from judges.calibration import report

    settings = project.settings
    written = content(key, settings.home)
    verdicts = verdicts_of(project.session, version, f"{key.task}/{key.metric}")
    labels = all_labels(key, settings.home)
    found = report(verdicts.verdicts, labels, judge=verdicts.judge, judge_version=verdicts.version)
    return store_calibration(settings, found, f"sha256:{hashlib.sha256(written).hexdigest()}")


def _known(file: LabelFile, draw: Draw) -> Label | None:
    return next((one for one in file.done.values() if one.sample_id == draw.sample_id), None)


def _before(draws: Sequence[Draw], done: set[str], draw: Draw | None) -> int | None:
    """The draw whose sample was labelled before this one; None where there is none."""
    seen: dict[str, int] = {}
    for one in draws[: len(draws) if draw is None else draw.draw]:
        if one.sample_id in done:
            seen.setdefault(one.sample_id, one.draw)
    return max(seen.values(), default=None)


def _counted(home: Path) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Labels and labellers of what was labelled, whatever the seed."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for key in keys(home):
        labels, people = found.get((key.version_id, key.task, key.metric), (0, 0))
        for file in key.files(home):
            stat = file.stat()
            rows = _count(file, stat.st_mtime_ns, stat.st_size)
            labels, people = labels + rows, people + (rows > 0)
        found[key.version_id, key.task, key.metric] = labels, people
    return found


@lru_cache(maxsize=4096)
def _count(file: Path, _: int, size: int) -> int:
    return len(read_labels(file)) if size else 0
