"""`probe` beside a judge in a suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from metrics.errors import InputError
from registry.judged import Judged
from registry.scorers import build_metric, judge_definition
from registry.spec import ScoreSpec

HERE = Path(__file__).parent


def test_the_suite_overrides_the_judge() -> None:
    own = judge_definition(Judged(judge="helpfulness"), HERE)
    always = judge_definition(Judged(judge="helpfulness", probe="always"), HERE)
    assert (own.probe, always.probe) == ("suspicious", "always")
    assert own.version != always.version
    assert own.request_digest == always.request_digest
    assert judge_definition(Judged(judge="refusal"), HERE).probe == "off"


def test_yaml_that_reads_off_as_false_means_off() -> None:
    assert Judged.model_validate({"judge": "helpfulness", "probe": False}).probe == "off"


@pytest.mark.parametrize("judge", ["listwise", "toxicity", "context_recall"])
def test_a_judge_that_cannot_be_probed_is_refused(judge: str) -> None:
    with pytest.raises(InputError, match=f"`probe: always` for the judge '{judge}'"):
        judge_definition(Judged(judge=judge, probe="always"), HERE)


@pytest.mark.parametrize(
    "given", [{"classifier": "a/b", "label": "c"}, {"replay": ["v.jsonl"]}, {"judge": "mlflow:1/name/2"}]
)
def test_other_scores_have_no_probe(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="`probe`"):
        Judged.model_validate({**given, "probe": "always"})


@pytest.mark.parametrize(
    ("judge", "probe", "counted"),
    [
        ("helpfulness", None, True),
        ("helpfulness", "off", False),
        ("pairwise", None, True),
        ("listwise", None, False),
        ("refusal", None, False),
        ("toxicity", None, False),
    ],
)
def test_what_is_probed_has_a_share_of_suspected(judge: str, probe: str | None, counted: bool) -> None:
    score = ScoreSpec.model_validate({"judge": judge} | ({} if probe is None else {"probe": probe}))
    assert ("suspected" in build_metric(score, HERE).spec.keys) is counted
