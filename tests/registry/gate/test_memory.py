from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metrics.base import Scores
from metrics.text.question_answering import ExactMatch
from registry.gate import Address, Missing
from registry.gate.memory import ScoresEvidence

REAL_CATALOGUE = True


def scores(values, languages=None) -> Scores:
    n = len(values)
    slices = {} if languages is None else {"lang": languages}
    return Scores([str(i) for i in range(n)], np.array(values, float), np.ones(n), np.ones(n), None, [None] * n, slices)


@pytest.fixture
def evidence():
    own = {"t/exact_match": scores([1, 1, 1, 0], ["de", "de", "en", "en"])}
    return ScoresEvidence({"exact_match": ExactMatch()}, own, {1: {"t/exact_match": scores([1, 0, 0, 0])}}, "h100")


def test_estimates_differences_slices_and_hardware(kit, evidence):
    address, champion = Address("t", "exact_match"), kit.version(1)
    assert evidence.estimate(address, confidence=0.9).value == 0.75
    assert evidence.estimate(replace(address, slice="lang=en"), confidence=0.9).value == 0.5
    assert evidence.other(address, champion, confidence=0.9).value == 0.25
    difference = evidence.difference(address, champion, confidence=0.9)
    assert (difference.value, difference.confidence) == (0.5, 0.9)
    assert difference.method.startswith("paired")
    assert (evidence.slices("t", "lang"), evidence.slices("t", "x")) == (["de", "en"], [])
    assert evidence.hardware("t") == "h100"


def test_what_is_not_there_is_missing(kit, evidence):
    address = Address("t", "exact_match")
    for found in (
        evidence.estimate(Address("u", "exact_match"), confidence=0.9),
        evidence.estimate(replace(address, slice="lang=fr"), confidence=0.9),
        evidence.estimate(replace(address, key="p95"), confidence=0.9),
        evidence.other(address, kit.version(2), confidence=0.9),
        evidence.difference(address, kit.version(2), confidence=0.9),
    ):
        assert isinstance(found, Missing)
        assert found.reason
