"""What people label of a registered version: the same draws and files whether asked for once or a hundred times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.evidence import StoredResults, results_home
from evalkit.judging.asking import judged_evaluation, read_stored
from evalkit.judging.labelling import PAIRS, PASS_FAIL, WORDS, LabelFile, Shown, design_of, show
from evalkit.runner.batches import build_batch, output_pictures
from evalkit.runner.outputs import SUFFIX
from evalkit.runner.shards import Rows, ShardFolder, cover, write_atomically
from evalkit.runner.verdicts import samples_of
from evalkit.task_data import Told, told_data
from judges.base import Sample, Verdict
from judges.recorded import UNPARSED
from judges.sampling import Draw, draw_samples, usefulness
from metrics.base import FloatArray
from metrics.errors import InputError
from registry.digests import digest, short
from registry.entities import Evaluation, ModelVersion
from registry.scorers import judge_definition

if TYPE_CHECKING:
    from evalkit.datasets import Dataset
    from evalkit.session import Session
    from registry.judged import Judged
    from registry.suite import Suite

MOST_DRAWS = 2_000
_MOST_ROWS = 200_000
_MOST_POINTS = 9
_WAIT = 10.0
_ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Key:
    """What is labelled: the outputs of a version in a task, for a judge's metric or (``""``) for none.

    `seed` is that of the draws.
    """

    version_id: str
    task: str
    metric: str
    seed: int

    def folder(self, home: Path) -> Path:
        """Where its labels lie, one file a labeller."""
        return home / "labels" / short(digest([self.version_id, self.task, self.metric, self.seed]), 32)

    def file(self, home: Path, labeller: str) -> Path:
        """The file of one labeller."""
        return self.folder(home) / f"{short(digest(labeller), 32)}.jsonl"

    def files(self, home: Path) -> list[Path]:
        """The files of all labellers, by name."""
        return sorted(self.folder(home).glob("*.jsonl"))


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer: the key that gives it, its value on the judge's scale, and what it means."""

    key: str
    value: float
    title: str


_PASS_FAIL, _PAIRS = (
    tuple(Choice(key, value, WORDS[key]) for key, value in choices.items()) for choices in (PASS_FAIL, PAIRS)
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The samples of one key with their chances.

    Attributes:
        key: what is labelled.
        version: whose outputs.
        evaluation: that the samples, and the judge's verdicts, are of.
        ids: all samples, in order.
        useful: how useful a label on each would be ``[samples]``; None without verdicts.
        choices: the answers that there are, beside "cannot tell".
    """

    key: Key
    version: ModelVersion
    evaluation: Evaluation
    ids: Sequence[str]
    useful: FloatArray | None
    choices: Sequence[Choice]
    _session: Session
    _suite: Suite

    @property
    def values(self) -> dict[str, float]:
        """Keys of answers to their values."""
        return {choice.key: choice.value for choice in self.choices}

    @property
    def design(self) -> dict[str, Any]:
        """What the draws follow from."""
        return design_of(self.ids, self.useful, self.key.seed)

    def draws(self, count: int) -> list[Draw]:
        """The first draws of the seed."""
        return draw_samples(self.ids, count, useful=self.useful, seed=self.key.seed)

    def labels(self, labeller: str, count: int) -> LabelFile:
        """A labeller's way through the draws; what is not there yet is not made.

        Raises:
            InputError: labels of this key were given on other samples.
        """
        path = self.key.file(self._session.settings.home, labeller)
        if not path.exists():
            return LabelFile(path, self.draws(count), labeller, {})
        return LabelFile.open(path, self.draws(count), labeller, self.design)

    @contextmanager
    def writing(self, labeller: str, count: int) -> Iterator[LabelFile]:
        """The same to add to, by one request at a time; the file is made where it is missing."""
        path = self.key.file(self._session.settings.home, labeller)
        lease = self._session.registry.acquire(
            f"labels:{path.parent.name}/{path.stem}", wait=_WAIT, what="these labels"
        )
        try:
            if not (path.parent / _ABOUT).exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                about = {
                    "version": self.key.version_id, "task": self.key.task, "metric": self.key.metric,
                    "seed": self.key.seed,
                }  # fmt: skip
                write_atomically(path.parent / _ABOUT, json.dumps(about).encode())
            yield LabelFile.open(path, self.draws(count), labeller, self.design)
        finally:
            self._session.registry.release(lease)

    def sample(self, sample_id: str) -> Sample:
        """A sample as its judge sees it, as far as the task's data are at hand.

        Raises:
            InputError: its output is gone, or it is one of a pair whose other answer is not here.
        """
        place = self.ids.index(sample_id)
        results = StoredResults(results_home(self._session.settings.home, self.evaluation), self.evaluation)
        table = results.outputs(self.key.task, place, place + 1)
        judged = _judged(self._suite, self.key)
        baseline = judged.baseline if judged is not None else None
        told = told_data(self._session, self.version, self.evaluation, self.key.task, _MOST_ROWS)
        data = _data(told) if told is not None else None
        if baseline is not None and data is None:
            raise InputError(
                "a pair is shown with the answer that it is compared with, and the task's data are not here; "
                "use `evalkit judge label` where they are"
            )
        extra = {"image": output_pictures(table)}
        batch = build_batch(table, Rows(place, place + 1), data, {}, None, extra=extra)
        row = data.source_rows()[place] if data is not None else {}
        return samples_of(batch, {name: [value] for name, value in row.items()}, baseline)[0]

    def shown(self, draw: Draw) -> tuple[Shown, Sample]:
        """A draw as a person sees it."""
        sample = self.sample(draw.sample_id)
        return show(sample, draw, self.key.seed), sample


def assign(session: Session, version: ModelVersion, task: str, metric: str, seed: int) -> Assignment:
    """What to label of a version.

    Args:
        session: the project.
        version: whose outputs.
        task: of its suite.
        metric: a judged score of the task, whose verdicts say where labels are worth most; ``""`` for all alike.
        seed: of the draws.

    Raises:
        InputError: it has no such results, or they are gone.
    """
    if metric:
        evaluation = judged_evaluation(session.registry, version, task, metric)
    else:
        finished = (e for e in session.registry.evaluations(version) if e.status == "finished")
        evaluation = next((e for e in finished if task in e.details.get("tasks", {})), None)
    if evaluation is None:
        raise InputError(
            f"{version.reference} has no results for '{task}{f'/{metric}' if metric else ''}'; "
            f"run `evalkit evaluate {version.reference}`"
        )
    home, record = results_home(session.settings.home, evaluation), evaluation.details["tasks"][task]
    ids = _sample_ids(home, record["outputs"], record["target"])
    key = Key(version.id, task, metric, seed)
    suite = session.registry.suite(version)
    useful: FloatArray | None = None
    choices: Sequence[Choice] = _PASS_FAIL
    if metric:
        score = record["metrics"][metric]
        settings = score["settings"]["judged"]
        threshold = None if settings.get("complement") else settings.get("threshold")
        useful = _useful(home, record["outputs"], record["target"], score["verdicts"], threshold)
        choices = choices_of(_judged(suite, key), suite.folder, settings)
    return Assignment(key, version, evaluation, ids, useful, choices, session, suite)


def keys(home: Path) -> list[Key]:
    """All that was ever labelled in a project."""
    found = []
    for about in sorted(home.glob(f"labels/*/{_ABOUT}")):
        try:
            told = json.loads(about.read_bytes())
            found.append(Key(str(told["version"]), str(told["task"]), str(told["metric"]), int(told["seed"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written, or not ours
    return found


@lru_cache(maxsize=16)
def _sample_ids(home: Path, outputs: str, target: int) -> tuple[str, ...]:
    """Ids of the samples that an evaluation stands on; shards are named by what they hold, and so is what we keep."""
    import pyarrow.parquet as pq

    folder = ShardFolder.known(home / "outputs", outputs)
    found: list[str] = []
    for run, holding in cover(folder.existing(SUFFIX), Rows(0, target)):
        if holding is None:
            raise InputError(f"outputs {run.start} to {run.stop} are gone from {folder.path}; evaluate again")
        column = pq.read_table(folder.file(holding, SUFFIX), columns=["sample_id"])["sample_id"]
        found += column.slice(run.start - holding.start, len(run)).to_pylist()
    return tuple(found)


@lru_cache(maxsize=16)
def _useful(home: Path, outputs: str, target: int, verdicts: str, threshold: float | None) -> FloatArray:
    known = {verdict.sample_id: verdict for verdict in read_stored(home, verdicts)}
    ids = _sample_ids(home, outputs, target)
    return usefulness([known.get(name) or Verdict(name, None, UNPARSED) for name in ids], threshold=threshold)


def _judged(suite: Suite, key: Key) -> Judged | None:
    """How the suite names the judge; None where there is none by now."""
    task = suite.spec.tasks.get(key.task)
    scores = task.score if task is not None else ()
    return next((score.judged for score in scores if score.judged is not None and score.metric == key.metric), None)


def choices_of(judged: Judged | None, folder: Path, settings: Mapping[str, Any]) -> Sequence[Choice]:
    """The answers that a person chooses from: those that the judge itself gives."""
    if judged is not None and judged.baseline is not None:
        return _PAIRS
    if judged is not None and judged.kind == "judge" and judged.registered is None:
        try:
            definition = judge_definition(judged, folder)
        except (InputError, OSError):
            definition = None  # its file is not on this machine
        if definition is not None and definition.kind == "labels" and len(definition.values) <= _MOST_POINTS:
            ordered = sorted(definition.values.items(), key=lambda pair: pair[1])
            return tuple(Choice(str(place), value, word) for place, (word, value) in enumerate(ordered, start=1))
    low, high = settings.get("low"), settings.get("high")
    if low is None or high is None or not (float(low).is_integer() and float(high).is_integer()):
        return _PASS_FAIL
    if not 2 <= high - low < _MOST_POINTS or not 0 <= low <= high <= _MOST_POINTS:
        return _PASS_FAIL
    return tuple(Choice(str(point), float(point), str(point)) for point in range(int(low), int(high) + 1))


@lru_cache(maxsize=4)
def _data(told: Told) -> Dataset | None:
    return told.read()
