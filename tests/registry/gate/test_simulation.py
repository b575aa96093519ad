"""A short form of benchmarks/gate_simulation.py, with the sampling error of fewer gates allowed for."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from registry.gate.power import predict

REAL_CATALOGUE = True
GATES = 300


@pytest.fixture(scope="module")
def simulation():
    path = Path(__file__).parents[3] / "benchmarks" / "gate_simulation.py"
    spec = importlib.util.spec_from_file_location("gate_simulation", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_simulation"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gate_simulation"]


def error(share: float) -> float:
    return 3 * math.sqrt(share * (1 - share) / GATES)


@pytest.mark.parametrize(("which", "looks"), [(0, 1), (2, 1), (3, 1), (4, 1), (5, 1), (0, 5), (2, 5), (3, 5)])
def test_on_the_limit_few_gates_pass_or_fail(simulation, which, looks):
    scenario = simulation.on_the_limit(looks)[which]
    passed, failed = simulation.shares(scenario, GATES, np.random.default_rng(21))
    assert passed <= 0.05 + error(0.05)
    assert failed <= 0.05 + error(0.05)


@pytest.mark.parametrize("which", range(4))
def test_three_standard_errors_better_mostly_pass(simulation, which):
    scenario = simulation.three_errors_better(1)[which]
    passed, failed = simulation.shares(scenario, GATES, np.random.default_rng(12))
    assert passed >= 0.8 - error(0.8)
    assert failed == 0


def test_the_anchor_stops_what_a_moving_anchor_lets_through(simulation):
    stopped, lost = simulation.promotions(np.random.default_rng(3), anchored=True)
    assert stopped <= 3
    assert lost <= 0.03
    assert simulation.promotions(np.random.default_rng(3), anchored=False)[0] > 10


@pytest.mark.parametrize("which", [1, 3, 6, 8, 9, 12, 14])
def test_predicted_power_is_what_happens(simulation, which):
    scenario = simulation.power_scenarios()[which]
    known = {scenario.rule["metric"]: scenario.assumed} if scenario.assumed else None
    (power,) = predict(simulation.suite_for(scenario.rule), sizes={"task": scenario.n}, assumed=known)
    passed, _ = simulation.shares(scenario, GATES, np.random.default_rng(13))
    assert abs(passed - power.power) <= 0.02 + error(power.power)
