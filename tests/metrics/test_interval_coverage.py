"""A short form of benchmarks/interval_coverage.py, with the sampling error of fewer runs allowed for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import metrics
from benchmarks import interval_coverage
from benchmarks.coverage_cases import Case
from benchmarks.interval_coverage import cases, not_simulated, simulate
from metrics.base import PRIMARY, Estimate

RUNS = 60
NAMES = [spec.name for spec in metrics.catalogue()]


@pytest.mark.parametrize("name", NAMES)
def test_intervals_cover_and_every_metric_that_declares_one_is_simulated(name, monkeypatch):
    monkeypatch.setattr(interval_coverage, "POOL", 1000)
    found = [line for case in cases([name]) for line in simulate(case, RUNS)]
    assert not_simulated([name], {line.metric for line in found}) == []
    assert [line for line in found if not line.passes(errors=3)] == []


def test_a_metric_without_cases_is_noticed():
    assert not_simulated(["kid", "fid"], set()) == ["kid"]  # fid declares that it has no interval


@pytest.mark.parametrize(
    ("scale", "method", "passes"),
    [(1.0, "t", True), (0.7, "t", False), (1.6, "t", False), (1.6, "union of", True), (0.7, "union of", False)],
)
def test_intervals_too_narrow_or_too_wide_do_not_pass(scale, method, passes):
    def draw(rng):
        mean = rng.normal()
        return {PRIMARY: Estimate(mean, mean - 1.96 * scale, mean + 1.96 * scale, method=method)}

    (line,) = simulate(Case("some", "normal", {PRIMARY: 0.0}, draw), 1000)
    assert line.passes() is passes
    assert replace(line, covered=math.nan).passes() is False


def test_runs_without_an_interval_are_counted_apart():
    def draw(rng):
        return {PRIMARY: Estimate(0.0, -1.0, 1.0, method="t") if rng.random() < 0.5 else Estimate(0.0)}

    (line,) = simulate(Case("some", "half", {PRIMARY: 0.0}, draw), 200)
    assert 60 < line.without < 140
    assert line.covered == 1.0
