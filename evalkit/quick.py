"""Comparing two files of outputs without a suite: differences with intervals, worst samples, a suite to start from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import judges
from evalkit.datasets import Dataset, load_dataset
from metrics.base import PRIMARY, Batch, Estimate, SampleMetric, Scores
from metrics.catalogue import get
from metrics.errors import InputError
from metrics.statistics import independent_difference
from registry.entities import Outcome
from registry.spec import Columns

if TYPE_CHECKING:
    from rich.console import Console

judges.register_metrics()

_WITH_ANSWERS = ("token_f1", "exact_match")
_ALWAYS = ("empty", "refusal", "word_count", "distinct_n")
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric on both files; `difference` is candidate minus baseline."""

    metric: str
    direction: str
    candidate: Estimate
    baseline: Estimate | None
    difference: Estimate | None

    @property
    def verdict(self) -> str:
        """Better, worse, higher, lower or undecided: what the interval of the difference shows by itself."""
        change = self.difference
        if change is None:
            return ""
        if change.low is None or change.high is None:
            return "no interval"
        if change.low <= 0 <= change.high:
            return "undecided"
        if self.direction == "none":
            return "higher" if change.low > 0 else "lower"
        return "better" if (change.low > 0) == (self.direction == "higher") else "worse"


@dataclass(frozen=True, slots=True)
class WorstSample:
    """A sample that a person should look at, and why."""

    sample_id: str
    why: str
    prompt: str | None
    output: str | None
    baseline_output: str | None
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileComparison:
    """What `evalkit check outputs.jsonl --baseline old.jsonl` found. `outcome` is set where a margin was given."""

    candidate: str
    baseline: str | None
    samples: int
    paired: int
    rows: tuple[MetricRow, ...]
    worst: tuple[WorstSample, ...]
    notes: tuple[str, ...]
    margin: float | None
    outcome: Outcome | None
    columns: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        data = asdict(self)
        for row, shown in zip(self.rows, data["rows"], strict=True):
            for name in ("candidate", "baseline", "difference"):
                estimate = getattr(row, name)
                shown[name] = None if estimate is None else estimate.to_json()
            shown["verdict"] = row.verdict
        return data


def compare_files(
    candidate: Path, baseline: Path | None = None, *, margin: float | None = None, worst: int = 5
) -> FileComparison:
    """Score a file of outputs, and compare it with another one, paired by id (or by order without ids).

    Args:
        candidate, baseline: JSONL, JSON, CSV or Parquet with a column of outputs; prompts and expected answers
            are used where there are any. Expected answers may stand in either file.
        margin: decide whether the main score (token F1) is worse than the baseline's by at most this:
            ``outcome`` is then pass, fail or inconclusive, at a one-sided 5 %.
        worst: how many of the worst samples to return.

    Raises:
        InputError: a file that cannot be read, has no outputs, or shares no sample with the other one.
    """
    ours = _load(candidate)
    theirs = _load(baseline) if baseline else None
    pairing = _pair(ours, theirs) if theirs else None
    ours_batch, theirs_batch = _batches(ours, theirs, pairing)
    has_answers = "expected" in ours_batch.columns
    if margin is not None and (theirs is None or not has_answers):
        raise InputError("--margin decides on token F1: it needs --baseline and expected answers in one of the files")
    names = [*(_WITH_ANSWERS if has_answers else ()), *_ALWAYS]
    rows, scores = [], {}
    for name in names:
        row, scored = _measure(name, ours_batch, theirs_batch)
        rows.append(row)
        if scored is not None:
            scores[name] = scored
    notes = _notes(ours, theirs, pairing, has_answers=has_answers)
    return FileComparison(
        candidate=str(candidate),
        baseline=str(baseline) if baseline else None,
        samples=len(ours_batch),
        paired=len(pairing) if pairing else 0,
        rows=tuple(rows),
        worst=tuple(_worst(ours_batch, theirs_batch, scores, worst)),
        notes=tuple(notes),
        margin=margin,
        outcome=_decide(names[0], ours_batch, theirs_batch, margin) if margin is not None else None,
        columns=ours.mapping,
    )


def _load(path: Path) -> Dataset:
    if not path.is_file():
        raise InputError(f"no file '{path}'; give a JSONL, JSON, CSV or Parquet file of outputs")
    data = load_dataset(path.name, folder=path.parent, columns=Columns())
    if not data.has("output"):
        found = ", ".join([*data.mapping.values(), *(data.extra[0] if data.extra else ())])
        raise InputError(f"{path}: no column of outputs (output, response, completion, …); it has {found}")
    return data


def _pair(ours: Dataset, theirs: Dataset) -> list[tuple[int, int]]:
    """Row numbers of the same samples in both files."""
    our_ids, their_ids = ours.rows["sample_id"].to_pylist(), theirs.rows["sample_id"].to_pylist()
    places = {sample: row for row, sample in enumerate(their_ids)}
    pairs = [(row, places[sample]) for row, sample in enumerate(our_ids) if sample in places]
    if not pairs:
        raise InputError(
            f"{ours.name} and {theirs.name} share no sample: ids such as {our_ids[0]!r} and "
            f"{their_ids[0]!r} differ; give both files the same `id` column"
        )
    return pairs


def _batches(
    ours: Dataset, theirs: Dataset | None, pairing: Sequence[tuple[int, int]] | None
) -> tuple[Batch, Batch | None]:
    if theirs is None or pairing is None:
        return ours.batch(0, len(ours)), None
    import numpy as np

    left = ours.batch(0, len(ours)).select(np.array([a for a, _ in pairing]))
    right = theirs.batch(0, len(theirs)).select(np.array([b for _, b in pairing]))
    answers = left.columns.get("expected") or right.columns.get("expected")
    if answers is not None:
        left = _with_column(left, "expected", answers)
        right = _with_column(right, "expected", answers)
    return left, _same_ids(right, left.sample_ids)


def _with_column(batch: Batch, name: str, values: Any) -> Batch:
    return Batch(
        batch.sample_ids,
        {**batch.columns, name: values},
        clusters=batch.clusters,
        weights=batch.weights,
        slices=batch.slices,
        errors=batch.errors,
    )


def _same_ids(batch: Batch, sample_ids: Sequence[str]) -> Batch:
    return Batch(
        sample_ids,
        batch.columns,
        clusters=batch.clusters,
        weights=batch.weights,
        slices=batch.slices,
        errors=batch.errors,
    )


def _measure(name: str, ours: Batch, theirs: Batch | None) -> tuple[MetricRow, Scores | None]:
    metric = get(name)
    direction = metric.spec.direction
    if isinstance(metric, SampleMetric):
        scored = metric.score(ours)
        candidate = metric.summarise(scored)[PRIMARY]
        if theirs is None:
            return MetricRow(name, direction, candidate, None, None), scored
        other = metric.score(theirs)
        difference = metric.compare(scored, other)[PRIMARY]
        return MetricRow(name, direction, candidate, metric.summarise(other)[PRIMARY], difference), scored
    candidate = metric.compute(metric.update(metric.init(), ours))[PRIMARY]
    if theirs is None:
        return MetricRow(name, direction, candidate, None, None), None
    baseline = metric.compute(metric.update(metric.init(), theirs))[PRIMARY]
    return MetricRow(name, direction, candidate, baseline, independent_difference(candidate, baseline)), None


def _decide(name: str, ours: Batch, theirs: Batch | None, margin: float) -> Outcome:
    metric = get(name)
    if not isinstance(metric, SampleMetric) or theirs is None:
        raise InputError(f"'{name}' has no score per sample to decide on")
    difference = metric.compare(metric.score(ours), metric.score(theirs), confidence=0.90)[PRIMARY]
    if difference.low is None or difference.high is None:
        return "inconclusive"
    if difference.low >= -margin:
        return "pass"
    return "fail" if difference.high < -margin else "inconclusive"


def _worst(ours: Batch, theirs: Batch | None, scores: Mapping[str, Scores], count: int) -> list[WorstSample]:
    """Largest drops of the main score first; without answers: failures, refusals, repeats, changes of length."""
    ranked: list[tuple[float, int, str]] = []
    main = scores.get("token_f1")
    before = get("token_f1").score(theirs).values if main and theirs else None  # type: ignore[attr-defined]
    outputs = [output or "" for output in ours.columns["output"]]
    repeats = Counter(outputs)
    for row, output in enumerate(outputs):
        if main is not None:
            value = main.values[row]
            drop = value - before[row] if before is not None else value
            if not math.isfinite(drop) or drop >= (0 if before is not None else 1):
                continue
            was = f", was {before[row]:.2f}" if before is not None else ""
            ranked.append((float(drop), row, f"token F1 {value:.2f}{was}"))
        else:
            rank, why = _oddity(output, repeats[output], theirs, row, scores)
            if why:
                ranked.append((rank, row, why))
    ranked.sort(key=lambda entry: (entry[0], entry[1]))
    return [_sample(ours, theirs, row, why) for _, row, why in ranked[:count]]


def _oddity(
    output: str, repeats: int, theirs: Batch | None, row: int, scores: Mapping[str, Scores]
) -> tuple[float, str]:
    if not output.strip():
        return -1000.0, "empty output"
    if scores["refusal"].values[row] == 1:
        return -900.0, "refusal"
    if repeats > 1:
        return -800.0 - repeats, f"the same output for {repeats} samples"
    if theirs is not None:
        before, now = len((theirs.columns["output"][row] or "").split()), len(output.split())
        change = abs(math.log((now + 1) / (before + 1)))
        return -change, f"{now} words, was {before}"
    return 0.0, ""


def _sample(ours: Batch, theirs: Batch | None, row: int, why: str) -> WorstSample:
    def text(batch: Batch | None, name: str) -> str | None:
        value = batch.columns[name][row] if batch is not None and name in batch.columns else None
        return value[:_SHOWN_CHARACTERS] if isinstance(value, str) else None

    answers = ours.columns["expected"][row] if "expected" in ours.columns else ()
    return WorstSample(
        sample_id=ours.sample_ids[row],
        why=why,
        prompt=text(ours, "prompt"),
        output=text(ours, "output"),
        baseline_output=text(theirs, "output"),
        expected=tuple(answer[:_SHOWN_CHARACTERS] for answer in answers or ()),
    )


def _notes(
    ours: Dataset, theirs: Dataset | None, pairing: Sequence[tuple[int, int]] | None, *, has_answers: bool
) -> list[str]:
    notes = []
    if theirs is not None and pairing is not None and len(pairing) < max(len(ours), len(theirs)):
        notes.append(f"{len(pairing)} samples are in both files ({len(ours)} and {len(theirs)}); only those count")
    if not has_answers:
        notes.append("no expected answers in either file: form and diversity are compared, not correctness")
    notes.append("each interval is a 95 % interval on its own")
    return notes


def render(comparison: FileComparison, console: Console) -> None:
    """Print the comparison for people."""
    from rich.markup import escape
    from rich.table import Table

    against = f" against {comparison.baseline}" if comparison.baseline else ""
    console.print(f"[bold]{escape(comparison.candidate)}[/bold]{escape(against)}: {comparison.samples} samples")
    if comparison.outcome:
        console.print(f"[bold]{comparison.outcome}[/bold]: token F1 not worse by more than {comparison.margin:g}")
    headers = ["metric", "value"] + (["baseline", "difference", ""] if comparison.baseline else [])
    table = Table(*headers, box=None, header_style="bold")
    for row in comparison.rows:
        cells = [row.metric, _interval(row.candidate)]
        if comparison.baseline:
            cells += [_interval(row.baseline), _interval(row.difference, sign="+"), row.verdict]
        table.add_row(*cells)
    console.print(table)
    if comparison.worst:
        console.print("\n[bold]Worst samples[/bold]")
    for sample in comparison.worst:
        console.print(f"  {escape(sample.sample_id)}: {escape(sample.why)}", style="bold")
        for label, text in (
            ("prompt", sample.prompt),
            ("expected", " | ".join(sample.expected) or None),
            ("output", sample.output),
            ("baseline", sample.baseline_output),
        ):
            if text is not None:
                console.print(f"    {label:9}{escape(' '.join(text.split()))}", overflow="ellipsis", no_wrap=True)
    for note in comparison.notes:
        console.print(f"note: {escape(note)}", style="dim")


def _interval(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return ""
    value = format(estimate.value, f"{sign}.4g")
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{format(estimate.low, f'{sign}.4g')}, {format(estimate.high, f'{sign}.4g')}]"


def write_suite(comparison: FileComparison, path: Path) -> None:
    """Write a suite that repeats the comparison's metrics, with limits taken from the baseline (or these values).

    Raises:
        InputError: the file exists already, or the outputs do not lie below its folder.
    """
    if path.exists():
        raise InputError(f"{path} exists already; name another file or remove it")
    source = Path(comparison.candidate).resolve()
    folder = path.resolve().parent
    if not source.is_relative_to(folder):
        raise InputError(f"{path} would lie beside {folder}, but a suite reads data below its own folder only")
    import yaml

    rows = {row.metric: row for row in comparison.rows}
    rules: list[dict[str, Any]] = []
    for name, row in rows.items():
        before = row.baseline or row.candidate
        if row.direction == "higher" and before.has_interval:
            rules.append({"metric": f"outputs/{name}", "min": round(max(before.value - 0.02, 0.0), 4)})
        elif row.direction == "lower" and before.has_interval:
            rules.append({"metric": f"outputs/{name}", "max": round(before.value + 0.02, 4)})
    task: dict[str, Any] = {"data": str(source.relative_to(folder)), "score": list(rows)}
    if comparison.columns:
        task["columns"] = dict(comparison.columns)
    spec = {
        "suite": "".join(c if c.isalnum() else "-" for c in source.stem.lower()).strip("-") or "outputs",
        "tasks": {"outputs": task},
        "gate": {"rules": rules},
    }
    heading = "# Limits: the baseline's values, less 2 points (rates: plus 2 points). Edit them to what you need.\n"
    path.write_text(heading + yaml.safe_dump(spec, sort_keys=False, allow_unicode=True), encoding="utf-8")
