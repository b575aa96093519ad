"""Drift of columns, texts and embeddings against the baseline and the previous window."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from evalkit.monitoring.checks.base import Beside, Check, Measured, Signal, Tools
from evalkit.monitoring.checks.embedder import embed
from evalkit.monitoring.checks.scorers import telling
from evalkit.monitoring.fields import CATEGORY, FIELD, SLICE
from evalkit.monitoring.rows import ALL, WindowRows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, PerDay, Strict
from evalkit.monitoring.states import VECTORS, StateKey, States, sketch_in, sketch_state, vectors_state
from metrics.base import Estimate, FloatArray, State
from metrics.drift.comparison import P_VALUE
from metrics.drift.sketch import CATEGORY_LIMIT, ColumnSketch
from metrics.drift.two_sample import TESTS, ColumnVerdict, table_drift
from metrics.errors import InputError, did_you_mean

EMBEDDING = "embedding"
_TEXTS = ("prompt", "output")
_NUMBERS = ("latency", "cost", "prompt_tokens", "output_tokens")
_BETWEEN = "\0"
"""Between column and slice in the table of one family of tests; neither can hold it."""


class _Settings(Strict):
    """Settings; a list is `columns`.

    Attributes:
        columns: ``prompt`` and ``output`` (their characters and words), ``embedding``, ``latency``, ``cost``, the
            tokens, and any slice, field or category of the source.
        embed: the text whose embedding is compared.
        embedder: ``words`` (fast) or ``sentences`` (the whole model: about 50 texts a second on a core).
        sample: rows that are embedded for each day at most.
        floors: smallest effect that matters, by test.
    """

    columns: tuple[str, ...] = Field(min_length=1, max_length=100)
    embed: str = Field(default="output", pattern="^(prompt|output)$")
    embedder: Literal["words", "sentences"] = "words"
    sample: PerDay = 5000
    floors: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        return {"columns": given} if isinstance(given, list | str) else given


class Drift(Check):
    """Distances of distributions; one family of tests for all columns and slices, for each comparison."""

    kind = "drift"
    uses_others = True
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        given = [spec.settings] if isinstance(spec.settings, str) else spec.settings
        self._given = _Settings.model_validate(given or {})
        columns = monitor.source.columns
        self._columns: dict[str, str] = dict.fromkeys(_NUMBERS, "") | {name: name for name in _NUMBERS}
        self._columns |= {name: FIELD + name for name in columns.fields}
        self._categories = {name: CATEGORY + name for name in columns.categories}
        self._categories |= {name: SLICE + name for name in columns.slices} | {"version": "version"}
        known = [*_TEXTS, EMBEDDING, *self._columns, *self._categories]
        for name in self._given.columns:
            if name not in known:
                raise InputError(f"no column '{name}'{did_you_mean(name, known)}; known are {', '.join(known)}")
        if unknown := set(self._given.floors) - set(TESTS):
            raise InputError(f"no drift test '{sorted(unknown)[0]}' in `floors`; known are {', '.join(TESTS)}")

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Sketches of columns for all rows and each slice; embeddings of a sample of all rows."""
        states: dict[StateKey, State] = {}
        samples: dict[StateKey, list[str]] = {}
        notes = []
        groups = rows.groups(self.spec.slices)
        for name in self._given.columns:
            if name == EMBEDDING:
                if (state := self._embedded(rows)) is not None:
                    states[EMBEDDING, ALL] = state
            elif name in self._categories:
                notes += self._count(name, rows, states)
            else:
                for part, values in self._numbers(name, rows).items():
                    for slice_, at in groups.items():
                        dependent = rows.clusters is not None and len(np.unique(rows.clusters[at])) < len(at)
                        sketch = ColumnSketch.of_numbers(values[at], part)
                        states[part, slice_] = sketch_state(_marked(sketch, dependent=dependent))
                        shown = rows.ids[at[telling(values[at], None)]].tolist()
                        samples |= {(f"{part}.{against}", slice_): shown for against in self.spec.against}
        return Measured(states, samples, notes)

    def _numbers(self, name: str, rows: WindowRows) -> dict[str, FloatArray]:
        import pyarrow.compute as pc

        if name not in _TEXTS:
            return {name: rows.numbers(self._columns[name])} if rows.has(self._columns[name]) else {}
        if not rows.has(name):
            return {}
        text = rows.texts(name)
        counted = {"length": pc.utf8_length(text), "words": pc.count_substring_regex(text, r"\S+")}
        return {
            f"{name}.{part}": values.cast("float64").to_numpy(zero_copy_only=False) for part, values in counted.items()
        }

    def _count(self, name: str, rows: WindowRows, states: dict[StateKey, State]) -> list[str]:
        """Count a column of categories with Arrow; one with too many different values is left out with a note."""
        column = self._categories[name]
        if not rows.has(column):
            return []
        found = rows.texts(column).value_counts()
        values, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
        if len(values) > CATEGORY_LIMIT:
            return [f"{self.address}: '{name}' has {len(values):,} different values and is not compared"]
        tally = {str(value): int(count) for value, count in zip(values, counts, strict=True) if value is not None}
        sketch = ColumnSketch(len(rows), categories=dict(sorted(tally.items())))
        dependent = rows.clusters is not None and len(np.unique(rows.clusters)) < len(rows)
        states[name, ALL] = sketch_state(_marked(sketch, dependent=dependent))
        return []

    def _embedded(self, rows: WindowRows) -> State | None:
        if not rows.has(self._given.embed):
            return None
        drawn = rows.sample(self._given.sample, floor=0)
        texts = rows.lists(self._given.embed, drawn.rows)
        there = np.array([text is not None and bool(text.strip()) for text in texts], dtype=bool)
        vectors = embed(self._given.embedder, [text for text, kept in zip(texts, there, strict=True) if kept])
        return vectors_state(vectors, rows.hashes[drawn.rows[there]], self._given.sample)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """The effect and the verdict of every column and slice, for each comparison."""
        found = []
        for against in self.spec.against:
            other = beside.baseline if against == "baseline" else beside.previous
            if other is None:
                verdict, reason = (
                    ("learning", "the baseline is still being learnt")
                    if against == "baseline"
                    else ("no previous window", "no window before it had rows")
                )
                found += [
                    Signal(f"{name}.{against}", slice_, _nothing(self.monitor.confidence), verdict, reason)  # type: ignore[arg-type]
                    for name, slice_ in states
                ]
            else:
                found += self._compared(states, other, against)
        return found

    def _compared(self, states: States, other: States, against: str) -> list[Signal]:
        tested, skipped = {}, []
        for (name, slice_), state in states.items():
            if (name, slice_) not in other:
                skipped.append(self._skipped(name, slice_, against, f"the {against} has no such rows"))
                continue
            before = other[name, slice_]
            fewest = min(_rows(state), _rows(before))
            if fewest < (self.monitor.minimum if slice_ else 2):
                why = f"{fewest} rows on one side; a verdict needs {self.monitor.minimum if slice_ else 2}"
                skipped.append(self._skipped(name, slice_, against, why))
                continue
            tested[f"{name}{_BETWEEN}{slice_}"] = (_column(before), _column(state))
        if not tested:
            return skipped
        table = table_drift(
            {name: pair[0] for name, pair in tested.items()},
            {name: pair[1] for name, pair in tested.items()},
            floors=self._given.floors,
            confidence=self.monitor.confidence,
        )
        return [_signal(column, against, self.monitor.confidence) for column in table.columns] + skipped

    def _skipped(self, name: str, slice_: str, against: str, why: str) -> Signal:
        return Signal(f"{name}.{against}", slice_, _nothing(self.monitor.confidence), "insufficient data", why)


def _signal(column: ColumnVerdict, against: str, confidence: float) -> Signal:
    name, _, slice_ = column.name.partition(_BETWEEN)
    made = column.estimates.get(TESTS[column.test].effect) or _nothing(confidence)
    reason = f"{column.test}: {column.reason}"
    p_value = column.estimates[P_VALUE].value if column.estimates else math.nan
    return Signal(
        f"{name}.{against}", slice_, made, column.verdict, reason, p_value=None if math.isnan(p_value) else p_value
    )


def _column(state: State) -> Any:
    if state.metric == VECTORS:
        return state.arrays["vectors"].astype(np.float32)
    return sketch_in(state).column()


def _rows(state: State) -> int:
    return len(state.arrays["vectors"]) if state.metric == VECTORS else sketch_in(state).column().n


def _marked(sketch: ColumnSketch, *, dependent: bool) -> ColumnSketch:
    from dataclasses import replace

    return replace(sketch, dependent=dependent)


def _nothing(confidence: float) -> Estimate:
    return Estimate(math.nan, coverage=0.0, method="not compared", estimand="distance", confidence=confidence)
