"""Logged log-probabilities of tokens, as two numbers for each row: nats, and the tokens that they sum over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from metrics.base import FloatArray
from metrics.text.perplexity import ROUNDING

_MOST_TOKENS = 1_000_000


def logprob_sums(values: Any, n: int) -> tuple[FloatArray, FloatArray]:
    """Negative log-likelihoods in nats ``[n]`` and scored tokens ``[n]``; NaN where a row's cannot be used.

    A first token without a value has no context and is not scored. A row with a later gap, with values above 0 or
    minus infinity, or with anything but numbers is missing as a whole, as `metrics.text.perplexity` has it.

    Args:
        values: one list of natural logarithms (None is a gap) or its JSON text a row, as Arrow or Python values.
        n: rows.
    """
    flat, lengths = _flat(values, n)
    owner = np.repeat(np.arange(n), lengths)
    first = np.zeros(len(flat), dtype=bool)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    good = (flat > -np.inf) & (flat <= ROUNDING)
    broken = np.bincount(owner, weights=~good & ~(first & np.isnan(flat)), minlength=n) > 0
    tokens = np.bincount(owner[good], minlength=n).astype(np.float64)
    nats = np.maximum(0.0, -np.bincount(owner[good], weights=flat[good], minlength=n))
    usable = ~broken & (tokens > 0)
    return np.where(usable, nats, np.nan), np.where(usable, tokens, np.nan)


def _flat(values: Any, n: int) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """All numbers in one array, and how many each row has."""
    import pyarrow as pa

    if values is None:
        return np.empty(0), np.zeros(n, dtype=np.int64)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if pa.types.is_list(array.type) and pa.types.is_floating(array.type.value_type):
            lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            return array.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False), lengths
        values = array.to_pylist()
    rows = [_numbers(value) for value in values]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    return np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=int(lengths.sum())), lengths


def _numbers(given: Any) -> Sequence[float]:
    """A row's numbers, NaN for a gap; nothing where it is no list of numbers."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return ()
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | dict):
        return ()
    found = list(given)
    plain = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in found)
    if not plain or len(found) > _MOST_TOKENS:
        return ()
    try:
        return [np.nan if value is None else float(value) for value in found]
    except OverflowError:
        return ()
