from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.drift import OVERALL, sliced_drift, table_drift
from metrics.errors import InputError

Tables = dict[str, dict[str, np.ndarray]]


def tables(seed: int, rows: int, moved: str | None = None, shift: float = 0.6) -> Tables:
    rng = np.random.default_rng(seed)
    parts = {name: {c: rng.normal(size=rows) for c in ("length", "latency")} for name in ("de", "en", "fr")}
    if moved is not None:
        parts[moved]["length"] = parts[moved]["length"] + shift
    whole = {c: np.concatenate([part[c] for part in parts.values()]) for c in ("length", "latency")}
    return {OVERALL: whole, **parts}


def test_drift_of_one_slice_is_found_and_named() -> None:
    found = sliced_drift(tables(1, 2000), tables(2, 400, "en"))
    assert ("en", "length") in found.drifted
    assert set(found.drifted) <= {("en", "length"), (OVERALL, "length")}
    assert list(found.slices) == [OVERALL, "de", "en", "fr"]
    assert [c.name for c in found.slices["de"].columns] == ["length", "latency"]


def test_one_slice_alone_is_a_table() -> None:
    reference, current = tables(3, 500), tables(4, 100, "de")
    alone = sliced_drift({OVERALL: reference[OVERALL]}, {OVERALL: current[OVERALL]})
    assert alone.slices[OVERALL] == table_drift(reference[OVERALL], current[OVERALL])


def test_the_false_discovery_rate_is_shared_over_slices() -> None:
    """Tables judged one by one raise alarms that the family does not."""
    family, apart = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        reference = {f"s{i}": {"x": rng.normal(size=1000)} for i in range(20)}
        current = {name: {"x": rng.normal(size=100)} for name in reference}
        family += bool(sliced_drift(reference, current, least_rows=50).drifted)
        apart += any(table_drift(reference[name], current[name]).drifted for name in reference)
    assert family <= 8
    assert apart >= 25


def test_a_small_or_absent_slice_is_insufficient_and_costs_the_others_nothing() -> None:
    reference, current = tables(5, 1000), tables(6, 300, "fr")
    current["de"] = {name: values[:150] for name, values in current["de"].items()}
    del current["en"]
    current["new"] = current["fr"]
    current["fr"]["latency"] = np.where(np.arange(300) < 120, current["fr"]["latency"], math.nan)
    found = sliced_drift(reference, current)
    verdicts = {(s, c.name): (c.verdict, c.reason) for s, t in found.slices.items() for c in t.columns}
    assert verdicts["de", "length"] == ("insufficient data", "150 rows with a value, 200 needed")
    assert verdicts["en", "length"] == ("insufficient data", "0 rows with a value, 200 needed")
    assert verdicts["fr", "latency"] == ("insufficient data", "120 rows with a value, 200 needed")
    assert verdicts["fr", "length"][0] == "drift"
    assert "new" not in found.slices
    only = sliced_drift({k: reference[k] for k in (OVERALL, "fr")}, {k: current[k] for k in (OVERALL, "fr")})
    assert found.slices["fr"].columns[0] == only.slices["fr"].columns[0]


def test_bad_input_is_refused() -> None:
    reference, current = tables(7, 300), tables(8, 300)
    with pytest.raises(InputError, match="least_rows is 0"):
        sliced_drift(reference, current, least_rows=0)
    current["de"]["length"] = np.full(300, math.inf)
    with pytest.raises(InputError, match="column 'length' of slice 'de': row 0 is infinite"):
        sliced_drift(reference, current)
    del current["de"]["length"]
    with pytest.raises(InputError, match="column 'length' of the reference is missing"):
        sliced_drift(reference, current)
