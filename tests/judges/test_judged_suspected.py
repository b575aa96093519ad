"""The share of suspected outputs beside a probed judge's mean."""

from __future__ import annotations

import pytest

from judges.base import SUSPECTED_INJECTION
from judges.judged import Judging, get_metric, judged_metric, spec_of
from metrics.base import Batch, Estimate, Score
from metrics.errors import InputError


def _estimates(probed: bool) -> dict[str, Estimate]:
    metric = judged_metric(Judging("helpful", "helpfulness", 1.0, 5.0, threshold=4.0, probed=probed))
    scores = [Score(str(place), 5.0, None, None) for place in range(6)]
    scores += [Score(f"s{place}", None, SUSPECTED_INJECTION, None) for place in range(2)]
    scores += [Score(f"n{place}", None, "no reply", None) for place in range(2)]
    batch = Batch([score.sample_id for score in scores], {metric.judging.column: scores})
    return metric.compute(metric.update(metric.init(), batch))


def test_suspected_outputs_are_counted_among_those_that_were_decided() -> None:
    found = _estimates(probed=True)
    assert found["suspected"].value == pytest.approx(2 / 8)
    assert found["suspected"].n == 8
    assert found["suspected"].coverage == pytest.approx(0.8)
    assert found["value"].value == 5.0
    assert found["value"].coverage == pytest.approx(0.6)


def test_a_judge_that_is_not_probed_has_no_such_share() -> None:
    assert "suspected" not in _estimates(probed=False)


def test_the_settings_bring_it_back() -> None:
    judging = Judging("helpful", "helpfulness", probed=True)
    assert "suspected" in get_metric("helpful", **judging.settings()).spec.keys
    assert spec_of("helpful", judging.settings()).key_directions == {"suspected": "lower"}
    assert "probed" not in Judging("helpful", "helpfulness").settings()["judged"]
    with pytest.raises(InputError, match="no field"):
        Judging.from_settings({"judged": {"name": "a", "measures": "b", "probd": True}})
