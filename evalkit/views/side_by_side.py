"""Samples that versions were all asked, side by side, with the difference in their words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from rapidfuzz.distance import LCSseq

from evalkit.evidence import StoredResults
from evalkit.reports.html import shown
from evalkit.runner.scores import ROWS
from evalkit.runner.shards import ShardFolder
from evalkit.views.comparing import Side
from judges.judged import spec_of
from metrics.base import Scores
from registry.digests import short

Mark = Literal["same", "new", "gone"]
_WORD = re.compile(r"\s*\S+|\s+\Z")
_LONGEST = 1_200
"""Characters of an answer that are shown, and compared."""
_TEXTS = ("sample_id", "prompt", "text", "error")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one version answered. `words` are runs of its first characters with their mark; `text` is all of it."""

    words: Sequence[tuple[Mark, str]]
    text: str | None
    picture: bool
    error: str | None
    score: float | None
    unscored: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One sample: an answer for each version, None where it has none; `gap`: how far the first is ahead."""

    sample_id: str
    prompt: str
    answers: Sequence[Answer | None]
    gap: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """A task that all versions were measured on, and the metrics with a score for each sample.

    `outputs` names each version's outputs, as the addresses of their images do.
    """

    name: str
    pictures: bool
    metrics: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows. `shared`: samples that all versions have; `total`: those that are asked for."""

    rows: Sequence[Row]
    total: int
    shared: int


@dataclass(frozen=True, slots=True)
class _Column:
    """One version's outputs and scores, by sample."""

    table: pa.Table
    places: Mapping[str, int]
    texts: Sequence[str | None]
    scores: Mapping[str, tuple[float | None, str | None]]
    pictures: bool


def tasks(sides: Sequence[Side]) -> list[Task]:
    """Tasks whose samples can be looked at side by side."""
    results = [side.results[0] for side in sides if side.results]
    if len(results) < len(sides) or not results:
        return []
    found = []
    for name, record in results[0].evaluation.details.get("tasks", {}).items():
        others = [other.task(name) for other in results[1:]]
        if record.get("outputs") is None or any(other is None for other in others):
            continue
        if any(_data(other or {}) != _data(record) for other in others):
            continue  # other samples under the same name
        metrics = [
            metric
            for metric, told in record["metrics"].items()
            if not told["per_shard"] and told["reference_state"] is None
            and all(other.record(name, metric) is not None for other in results[1:])
            and _has_rows(results[0], told)
        ]  # fmt: skip
        outputs = [short(told["outputs"]) for told in (record, *filter(None, others))]
        found.append(Task(name, record.get("extractor") is not None, metrics, outputs))
    return found


def rows(
    sides: Sequence[Side], task: str, metric: str, *, only: bool = False, start: int = 0, size: int = 10
) -> Found:  # fmt: skip
    """A page of samples: where the first version is furthest behind the others first, else in the task's order.

    Args:
        sides: the versions, the first one being compared with the others.
        task: one of `tasks`.
        metric: one of the task's metrics, or empty.
        only: leave out samples with the same answers and scores.
        start: samples before the page.
        size: of the page.
    """
    columns = [_column(side.results[0], task, metric) for side in sides]
    first = columns[0]
    shared = [name for name in first.places if all(name in column.places for column in columns[1:])]
    sign = _sign(sides[0].results[0], task, metric)
    gaps = {name: _gap([column.scores.get(name, (None, None))[0] for column in columns], sign) for name in shared}
    kept = [name for name in shared if _differ(name, columns, gaps[name])] if only else shared
    if metric and sign:
        kept.sort(key=lambda name: _rank([column.scores.get(name, (None, None))[0] for column in columns], gaps[name]))
    page = kept[start : start + size]
    prompts = first.table.column("prompt")
    return Found(
        [
            Row(name, prompts[first.places[name]].as_py() or "", _answers(name, columns), gaps[name])
            for name in page
        ],
        len(kept), len(shared),
    )  # fmt: skip


def marked(text: str, other: str) -> tuple[list[tuple[Mark, str]], list[tuple[Mark, str]]]:
    """Two texts in runs of words: what only the former has is ``new``, what only the latter has ``gone``."""
    mine, theirs = _WORD.findall(text), _WORD.findall(other)
    left: list[tuple[Mark, str]] = []
    right: list[tuple[Mark, str]] = []
    plain = [[word.strip() for word in words] for words in (theirs, mine)]
    for step in LCSseq.opcodes(*plain):
        gone = "".join(theirs[step.src_start : step.src_end])
        new = "".join(mine[step.dest_start : step.dest_end])
        if step.tag == "equal":
            left.append(("same", new))
            right.append(("same", gone))
            continue
        if new:
            left.append(("new", new))
        if gone:
            right.append(("gone", gone))
    return left, right


def _data(record: Mapping[str, object]) -> object:
    data = record.get("data")
    return data["digest"] if isinstance(data, Mapping) else None


def _has_rows(results: StoredResults, told: Mapping[str, Any]) -> bool:
    return bool(ShardFolder.known(results.home / "scores", told["scores"]).existing(ROWS))


def _column(results: StoredResults, task: str, metric: str) -> _Column:
    table = results.outputs(task, columns=_TEXTS)
    places = {name: place for place, name in enumerate(table.column("sample_id").to_pylist())}
    found = results.rows(task, metric) if metric else None
    scores = _scores(found) if found is not None else {}
    pictures = (results.task(task) or {}).get("extractor") is not None
    return _Column(table, places, table.column("text").to_pylist(), scores, pictures)


def _scores(found: Scores) -> dict[str, tuple[float | None, str | None]]:
    told = zip(found.sample_ids, found.values, found.denominators, found.reasons, strict=True)
    return {
        name: (float(value / denominator) if math.isfinite(value) and denominator > 0 else None, reason)
        for name, value, denominator, reason in told
    }


def _sign(results: StoredResults, task: str, metric: str) -> int:
    record = results.record(task, metric) if metric else None
    if record is None:
        return 0
    return {"higher": 1, "lower": -1, "none": 0}[spec_of(metric, record["settings"]).direction]


def _gap(scores: Sequence[float | None], sign: int) -> float | None:
    own, *others = scores
    known = [one for one in others if one is not None]
    if own is None or not known:
        return None
    return min((own - one) * sign if sign else own - one for one in known)


def _rank(scores: Sequence[float | None], gap: float | None) -> tuple[int, float]:
    """The first version unscored where another is not, then by how far it is behind; what nobody scored is last."""
    if gap is None:
        return (0, 0.0) if scores[0] is None and any(one is not None for one in scores[1:]) else (2, 0.0)
    return 1, gap


def _differ(name: str, columns: Sequence[_Column], gap: float | None) -> bool:
    texts = {column.texts[column.places[name]] for column in columns}
    scores = {column.scores.get(name, (None, None))[0] for column in columns}
    return len(texts) > 1 or len(scores) > 1 or bool(gap)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _answers(name: str, columns: Sequence[_Column]) -> list[Answer | None]:
    texts = [column.texts[column.places[name]] for column in columns]
    cut = [_cut(shown(text)) for text in texts]
    runs: list[Sequence[tuple[Mark, str]]] = [[("same", cut[0])]]
    for place, other in enumerate(cut[1:]):
        mine, theirs = marked(cut[0], other)
        if place == 0:
            runs[0] = mine
        runs.append(theirs)
    answers: list[Answer | None] = []
    for column, text, words in zip(columns, texts, runs, strict=True):
        score, reason = column.scores.get(name, (None, None))
        error = column.table.column("error")[column.places[name]].as_py()
        picture = column.pictures and not error
        answers.append(Answer(words if text else [], text, picture, error, score, reason))
    return answers
