"""Helpers for metrics that score one sample at a time: which samples can be scored, and rows from scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import Batch, FloatArray, Metric, Scores, State
from metrics.errors import InputError


def batch_of(columns: dict[str, Any], n: int) -> Batch:
    """A batch of independent samples named by their position."""
    return Batch([str(i) for i in range(n)], columns)


def rows(
    batch: Batch, values: ArrayLike, reasons: Sequence[str | None], *, denominators: FloatArray | None = None
) -> Scores:
    """Rows of a batch's scores; where a reason is given, value and denominator become NaN."""
    n = len(batch)
    lost = np.array([reason is not None for reason in reasons], dtype=bool)
    divided = np.ones(n) if denominators is None else np.asarray(denominators, dtype=np.float64)
    return Scores(
        sample_ids=batch.sample_ids,
        values=np.where(lost, np.nan, np.asarray(values, dtype=np.float64)),
        denominators=divided,
        weights=np.ones(n) if batch.weights is None else np.asarray(batch.weights, dtype=np.float64),
        clusters=batch.clusters,
        reasons=reasons,
        slices=batch.slices,
    )


def refuse_weights(batch: Batch, metric: str) -> None:
    """Raise `InputError` where samples have unequal weights: for metrics that are no weighted mean."""
    if batch.weights is not None and not np.all(batch.weights == batch.weights[:1]):
        raise InputError(f"metric '{metric}' does not support sampling weights; drop `weight` from the task's columns")


def check_state(metric: Metric, state: State) -> None:
    """Raise `InputError` for a state of another metric or version."""
    spec = metric.spec
    if (state.metric, state.version) != (spec.name, spec.version):
        raise InputError(
            f"a state of '{state.metric}' version {state.version} was given to '{spec.name}' version {spec.version}; "
            "score the stored outputs again"
        )


def errors_of(batch: Batch) -> list[str | None]:
    """Per sample, why it has no usable output; None where it has one."""
    return [None] * len(batch) if batch.errors is None else list(batch.errors)


def is_missing(value: Any) -> bool:
    """Whether an entry of a column stands for nothing: None or a NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_column(batch: Batch, name: str, metric: str, *, empty_counts: bool) -> tuple[list[str], list[str | None]]:
    """Texts of a column and why a sample is unscored: its error, no text or, unless it counts, an empty one.

    An entry that is neither text nor missing raises `InputError` with the sample's id.
    """
    reasons = errors_of(batch)
    texts: list[str] = []
    for row, given in enumerate(batch.column(name, metric)):
        if isinstance(given, str):
            texts.append(given)
            if not empty_counts and reasons[row] is None and not given.strip():
                reasons[row] = f"empty {name}"
        elif is_missing(given):
            texts.append("")
            reasons[row] = reasons[row] or f"no {name}"
        else:
            raise InputError(
                f"sample {batch.sample_ids[row]!r}: '{name}' is a {type(given).__name__}; '{metric}' expects text"
            )
    return texts, reasons


def number_column(batch: Batch, name: str, metric: str, reasons: list[str | None], *, least: float = 0.0) -> FloatArray:
    """Numbers of a column as float64; `reasons` gets an entry where one is missing, not finite or below `least`."""
    given = batch.column(name, metric)
    try:
        numbers = np.array([np.nan if value is None else value for value in given], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"column '{name}' has entries that are not numbers; '{metric}' expects numbers") from None
    for row in np.flatnonzero(~(np.isfinite(numbers) & (numbers >= least))):
        shown = f"no {name}" if np.isnan(numbers[row]) else f"{name} is {numbers[row]:g}"
        reasons[row] = reasons[row] or shown
    return numbers


def accepted_answers(given: Any, sample_id: str) -> Sequence[str]:
    """Accepted answers of one entry of ``expected`` as texts, numbers too; none where it is missing."""
    if isinstance(given, str):
        return (given,)
    if is_missing(given):
        return ()
    answers = list(given) if isinstance(given, Iterable) and not isinstance(given, (bytes, dict)) else [given]
    for place, answer in enumerate(answers):
        if isinstance(answer, (int, float)) and not isinstance(answer, bool) and not is_missing(answer):
            answers[place] = str(answer)
        elif not isinstance(answer, str):
            raise InputError(
                f"sample {sample_id!r}: an accepted answer is a {type(answer).__name__}; expected a list of texts"
            )
    return answers
