from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metrics.drift import TESTS, ColumnSketch, table_drift, two_sample
from metrics.errors import InputError


def samples(name: str, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if name == "chi_square":
        return rng.choice(list("abc"), 400, p=[0.4 + shift / 3, 0.3, 0.3 - shift / 3])
    if TESTS[name].rows:
        return rng.normal(shift, 1, size=(200, 3))
    return rng.normal(shift, 1, size=400)


@pytest.mark.parametrize("name", TESTS)
def test_every_test_by_name_tells_drift_from_none(name: str) -> None:
    same = two_sample(samples(name, 1), samples(name, 2), test=name)
    moved = two_sample(samples(name, 1), samples(name, 3, 0.8), test=name)
    assert {"value", "p_value", "critical", TESTS[name].effect} <= set(same)
    effect = TESTS[name].effect
    assert moved["p_value"].value < 0.01 < same["p_value"].value
    assert moved[effect].value > moved["critical"].value
    wide, narrow = (two_sample(samples(name, 1), samples(name, 3, 0.8), test=name, confidence=c) for c in (0.99, 0.8))
    if wide[effect].has_interval:
        assert wide[effect].high - wide[effect].low >= narrow[effect].high - narrow[effect].low
    assert wide["critical"].value > narrow["critical"].value


def test_auto_follows_the_kind_of_data_and_never_its_size() -> None:
    for n in (30, 3000):
        numbers = two_sample(np.arange(n), np.arange(n) + 1)
        assert numbers["value"] == two_sample(np.arange(n), np.arange(n) + 1, test="ks")["value"]
    assert "cramers_v" in two_sample(["a", "b"], ["b", "b"])
    assert "Gaussian" in two_sample(samples("mmd", 1), samples("mmd", 2))["value"].method
    sketch = ColumnSketch.of_numbers(np.arange(50.0)).column()
    assert two_sample(sketch, sketch)["p_value"].value == 1.0
    with pytest.raises(InputError, match="did you mean 'psi'"):
        two_sample([1.0], [1.0], test="ps1")


def test_the_four_verdicts() -> None:
    rng = np.random.default_rng(1)
    reference = {"moved": rng.normal(size=5000), "hardly": rng.normal(size=5000), "same": rng.normal(size=5000)}
    current = {"moved": rng.normal(1, 1, 5000), "hardly": rng.normal(0.12, 1, 5000), "same": rng.normal(size=5000)}
    reference["few"], current["few"] = rng.normal(size=5000), rng.normal(0.1, 1, size=40)
    reference["gone"], current["gone"] = rng.normal(size=5000), np.full(5000, math.nan)
    found = table_drift(reference, current)
    assert {c.name: c.verdict for c in found.columns} == {
        "moved": "drift", "hardly": "negligible", "same": "no drift", "few": "insufficient data",
        "gone": "insufficient data",
    }  # fmt: skip
    assert found.drifted == ("moved",)
    reasons = {c.name: c.reason for c in found.columns}
    assert "more rows are needed" in reasons["few"]
    assert "no row with a value" in reasons["gone"]
    assert "floor 0.1" in reasons["hardly"]
    strict = table_drift(reference, current, floors={"ks": 0.01})
    assert {c.name: c.verdict for c in strict.columns}["hardly"] == "drift"


def test_small_windows_without_drift_raise_no_alarm() -> None:
    """Where default distance limits flag almost every column: 5,000 against 50 rows."""
    rng = np.random.default_rng(2)
    flagged, naive = 0, 0
    for _ in range(5):
        reference = {f"c{i}": rng.normal(size=5000) for i in range(20)}
        current = {name: rng.normal(size=50) for name in reference}
        for test in ("ks", "wasserstein"):
            flagged += len(table_drift(reference, current, tests=test).drifted)
        naive += sum(stats.wasserstein_distance(reference[c], current[c]) / reference[c].std() >= 0.1 for c in current)
    assert naive > 75
    assert flagged <= 2


def test_the_false_discovery_rate_is_held_over_columns() -> None:
    rng = np.random.default_rng(3)
    reference = {f"c{i}": rng.normal(size=300) for i in range(30)}
    current = {name: rng.normal(1.5 if name in {"c0", "c1"} else 0, 1, 300) for name in reference}
    found = table_drift(reference, current, floors={"ks": 0.0})
    p = [c.estimates["p_value"].value for c in found.columns]
    assert [c.p_adjusted for c in found.columns] == pytest.approx(stats.false_discovery_control(p).tolist())
    assert {"c0", "c1"} <= set(found.drifted)
    alone = sum(value <= 0.05 for value in p)
    assert len(found.drifted) <= max(alone, 2)


def test_data_frames_tests_by_column_and_mixed_kinds() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"n": rng.normal(size=400), "c": rng.choice(list("xyz"), 400), "b": rng.random(400) < 0.3})
    frame["k"] = pd.Series(rng.choice(list("pq"), 400)).astype("category")
    moved = frame.assign(c=rng.choice(list("xyz"), 400, p=[0.7, 0.2, 0.1]), extra=1)
    moved.loc[:9, "c"] = None
    found = {c.name: c for c in table_drift(frame, moved, tests={"n": "wasserstein"}).columns}
    assert {name: c.test for name, c in found.items()} == {
        "n": "wasserstein", "c": "chi_square", "b": "chi_square", "k": "chi_square",
    }  # fmt: skip
    assert found["c"].verdict == "drift"
    assert found["c"].estimates["value"].coverage == pytest.approx(390 / 400)
    assert found["n"].verdict in {"no drift", "insufficient data"}
    embedding = table_drift({"e": rng.normal(size=(60, 4))}, {"e": rng.normal(2, 1, size=(60, 4))})
    assert (embedding.columns[0].test, embedding.columns[0].verdict) == ("mmd", "drift")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"current": {"b": [1.0]}}, "column 'a' of the reference is missing"),
        ({"tests": {"z": "ks"}}, "names the column 'z'"),
        ({"tests": "kss"}, "column 'a': unknown drift test 'kss'; did you mean 'ks'"),
        ({"tests": "mmd"}, "column 'a': test 'mmd' compares features"),
        ({"floors": {"kss": 1}}, "`floors` names 'kss'"),
        ({"confidence": 1.0}, "confidence"),
        ({"current": {"a": [math.inf]}}, "column 'a': current: row 0 is infinite"),
    ],
)
def test_unusable_requests_are_refused(arguments: dict, message: str) -> None:
    request = {"reference": {"a": [1.0, 2.0]}, "current": {"a": [1.0]}} | arguments
    with pytest.raises(InputError, match=message):
        table_drift(**request)
