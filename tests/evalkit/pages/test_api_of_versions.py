"""The API says of versions what their pages show: overview, trends, comparisons, samples, slices, rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from evalkit.views import attention, comparing, inventory, rules, side_by_side
from metrics.base import Estimate

TWO = "bot/2,bot/1"
HOSTILE = ["../../etc/passwd", "a\x00b", "%00", "' OR 1=1 --", "<script>alert(1)</script>", "\u202ex", "x" * 90, "="]


@pytest.fixture
def evaluation(pages: Any) -> str:
    """Key of the evaluation of version 2."""
    return str(pages.every("/models/bot/versions/2/evaluations")[0]["id"])


def test_overview_counts_and_says_what_needs_a_person(pages: Any, project: Any):
    told = pages.api("/overview").json()
    lines = inventory.models(project)
    assert (told["models"], told["versions"], told["monitors"]) == (1, 2, 0)
    assert [one["kind"] for one in told["matters"]] == [one.kind for one in attention.matters(project, lines)]
    (model,) = pages.every("/models")
    assert (model["name"], model["versions"], model["newest"], model["champion"]) == ("bot", 2, 2, 1)
    assert (model["outcome"], pages.every("/models", outcome="fail")[0]["name"]) == ("fail", "bot")
    assert pages.every("/models", outcome="pass") == pages.every("/models", name="cat") == []


def test_trends_have_intervals_and_limits(pages: Any):
    first, *others = pages.every("/models/bot/trends", limit=2)
    assert (first["name"], first["ruled"]) == ("golden/exact_match", True)
    assert [point["version"] for point in first["points"]] == [1, 2]
    assert first["points"][1]["limits"] == [{"rule": "at least", "value": 0.5}]
    assert [point["outcome"] for point in first["points"]] == ["pass", "fail"]
    assert {one["name"] for one in others} >= {"golden/token_f1"}
    (sliced,) = pages.every("/models/bot/trends", estimate="golden/token_f1", slice="language=en")
    assert sliced["slice"] == "language=en" and len(sliced["points"]) == 2
    for query in ({"estimate": "golden/none"}, {"estimate": "none"}, {"estimate": "golden/token_f1", "slice": "x=y"}):
        assert pages.api("/models/bot/trends", **query).status_code == 404
    assert pages.api("/models/cat/trends").status_code == 404


def test_comparison_is_that_of_the_page(pages: Any, project: Any):
    sides = [comparing.side(project, project.registry.version(f"models:/bot/{number}")) for number in (2, 1)]
    wanted = comparing.differences(project, *sides)
    found = pages.every("/comparisons", versions=TWO, limit=3)
    assert [one["name"] for one in found] == [one.name for one in wanted]
    for told, one in zip(found, wanted, strict=True):
        assert (told["standing"], told["paired"], told["against"]) == (one.standing, one.paired, "models:/bot/1")
        assert told["left"] == one.left.to_json()
        assert told["change"] == (None if one.change is None else one.change.to_json())
        assert (told["wins"] is None) == (one.wins is None)
    exact = next(one for one in found if one["name"] == "golden/exact_match")
    assert (exact["standing"], exact["wins"]["better"]) == ("worse", 0)
    assert 0 <= Estimate.from_json(exact["wins"]["rate"]).value < 0.5
    told = pages.api("/comparisons", versions=["bot/2", "bot@champion"], slice="language=en").json()
    assert [one["reference"] for one in told["versions"]] == ["models:/bot/2", "models:/bot/1"]
    assert {one["slice"] for one in told["items"]} == {"language=en"}
    assert told["slices"] == ["language=de", "language=en"] and told["tasks"][0]["name"] == "golden"


def test_samples_side_by_side_are_those_of_the_page(pages: Any, project: Any):
    sides = [comparing.side(project, project.registry.version(f"models:/bot/{number}")) for number in (2, 1)]
    wanted = side_by_side.rows(sides, "golden", "exact_match", only=True, size=100)
    found = pages.every("/comparisons/samples", versions=TWO, metric="exact_match", only="true", limit=7)
    assert [one["sample_id"] for one in found] == [row.sample_id for row in wanted.rows]
    assert [one["gap"] for one in found] == [row.gap for row in wanted.rows]
    first = found[0]["answers"]
    assert {run["mark"] for answer in first for run in answer["words"]} & {"new", "gone"}
    assert [answer["reference"] for answer in first] == ["models:/bot/2", "models:/bot/1"]
    whole = pages.api("/comparisons/samples", versions=TWO).json()
    assert (whole["total"], whole["shared"], whole["metric"]) == (40, 40, "exact_match")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"versions": "bot/1"}, 422), ({"versions": "what"}, 422), ({"versions": "bot/2,bot/9"}, 404),
        ({"versions": "bot/2,cat/1"}, 404), ({"versions": ["bot/1"] * 5}, 422), ({}, 422),
        ({"versions": "bot/1,bot/2,bot/3,bot/4,bot/5"}, 422), ({"versions": TWO, "slice": "language=fr"}, 422),
    ],
)  # fmt: skip
def test_comparisons_of_what_is_not_there(pages: Any, query: dict[str, Any], status: int):
    assert pages.api("/comparisons", **query).status_code == status


def test_samples_come_worst_first_with_scores_and_what_was_expected(pages: Any, evaluation: str):
    found = pages.every(f"/evaluations/{evaluation}/samples", limit=15)
    scores = [next(one["value"] for one in item["scores"] if one["metric"] == "exact_match") for item in found]
    assert scores == sorted(scores) and len(found) == 40
    sample = next(item for item in found if item["sample_id"] == "q3")
    assert (sample["prompt"], sample["expected"], sample["image"]) == ("number 3", ["3"], None)
    made = pages.every(f"/evaluations/{evaluation}/samples", order="made", limit=100)
    assert [item["place"] for item in made] == list(range(40))
    english = pages.api(f"/evaluations/{evaluation}/samples", slice="language=en", metric="token_f1").json()
    assert (english["total"], english["metric"]) == (20, "token_f1")
    assert english["slices"] == ["language=de", "language=en"]
    assert pages.api(f"/evaluations/{evaluation}/samples", unscored="true").json()["total"] == 0


def test_what_a_judge_said_is_told(judged_pages: Any):
    (evaluation,) = judged_pages.every("/models/bot/versions/1/evaluations")
    found = judged_pages.every(f"/evaluations/{evaluation['id']}/samples", task="golden", metric="helpful", limit=100)
    assert found[0]["scores"][0]["value"] is None and found[0]["scores"][0]["reason"]
    assert {said["rationale"] for item in found for said in item["said"]} == {"the secret rationale"}
    assert [item["sample_id"] for item in found if item["suspected"]] == ["q0"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"task": "none"}, 404), ({"metric": "none"}, 422), ({"slice": "none=x"}, 422), ({"limit": 101}, 422),
        ({"cursor": "x"}, 422), ({"order": "sideways"}, 422),
    ],
)  # fmt: skip
def test_samples_of_what_is_not_there(pages: Any, evaluation: str, query: dict[str, Any], status: int):
    assert pages.api(f"/evaluations/{evaluation}/samples", **query).status_code == status


def test_slices_are_listed_and_ordered(pages: Any, evaluation: str):
    names = [one["slice"] for one in pages.every(f"/evaluations/{evaluation}/slices")]
    assert names == ["language=de", "language=en"]
    worst = pages.every(f"/evaluations/{evaluation}/slices", estimate="golden/exact_match", limit=1)
    values = [one["estimate"]["value"] for one in worst]
    assert values == sorted(values) and {one["slice"] for one in worst} == set(names)
    assert pages.api(f"/evaluations/{evaluation}/slices", estimate="golden/none").status_code == 404
    assert pages.api(f"/evaluations/{evaluation}/modes").status_code == 404


def test_what_would_change_the_verdict(pages: Any, project: Any):
    (decision,) = project.registry.decisions(project.registry.version("models:/bot/2"))
    (line,) = pages.every(f"/decisions/{decision.id}/rules")
    evaluation = project.registry.evaluation_by_id(decision.evaluation_id)
    (wanted,) = rules.rule_lines(decision, rules.measured_specs(evaluation))
    assert (line["outcome"], line["number"], line["name"]) == ("fail", 1, wanted.name)
    assert line["would_change"] == list(wanted.changes) and line["would_change"]
    assert line["rule"]["limit"] == 0.5


def test_audit_is_filtered_and_turned_round(pages: Any):
    every = pages.every("/audit")
    newest = pages.every("/audit", newest="true", limit=2)
    assert [one["seq"] for one in newest] == [one["seq"] for one in reversed(every)]
    kind = every[0]["kind"]
    assert {one["kind"] for one in pages.every("/audit", kind=kind)} == {kind}
    assert pages.every("/audit", actor="nobody") == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_end_in_no_error_of_the_server(pages: Any, evaluation: str, text: str):
    key = evaluation
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/comparisons", {"versions": text}), ("/comparisons/samples", {"versions": TWO, "task": text}),
        ("/comparisons", {"versions": TWO, "slice": text}), ("/models/bot/trends", {"estimate": text, "slice": text}),
        (f"/evaluations/{key}/samples", {"metric": text}), (f"/evaluations/{key}/samples", {"slice": text}),
        (f"/evaluations/{key}/image", {"task": text, "sample": text}),
        (f"/evaluations/{key}/image", {"task": "golden", "sample": text}),
        (f"/evaluations/{key}/slices", {"estimate": f"golden/{text}"}), (f"/evaluations/{key}/modes", {"task": text}),
    ]  # fmt: skip
    for path, query in asked:
        answer = pages.api(path, **query)
        assert answer.status_code in {404, 422}, (path, query, answer.text)
        assert set(answer.json()) == {"error", "message"}
    assert pages.api("/evaluations/..%2f..%2fx/samples").status_code in {404, 422}


def test_erased_outputs_are_told(pages: Any, project: Any, evaluation: str):
    for file in (project.settings.home / "outputs").rglob("*.parquet"):
        file.unlink()
    answer = pages.api(f"/evaluations/{evaluation}/samples")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found"), answer.text
    assert pages.api("/comparisons/samples", versions=TWO).status_code in {404, 422}


def test_texts_have_no_image(pages: Any, evaluation: str):
    answer = pages.api(f"/evaluations/{evaluation}/image", task="golden", sample="q1")
    assert answer.status_code == 404 and "image" in answer.json()["message"]


def test_the_examples_of_the_documentation_run(
    pages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.setenv("EVALKIT_SERVER", "http://testserver")
    monkeypatch.setenv("EVALKIT_TOKEN", "of nobody")
    monkeypatch.setattr(requests, "Session", lambda: pages.client)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.replace('"n": 50', '"n": 4'), "docs/api.md", "exec"), names)
    said = capsys.readouterr().out
    assert "golden/exact_match" in said and "fail" in said and "More samples do not mend it" in said
    assert pages.api("/labelling/bot/2/golden/labels").json()["total"] == 4


def test_estimates_are_filtered(pages: Any, evaluation: str):
    path = f"/evaluations/{evaluation}/estimates"
    every = pages.every(path, limit=4)
    assert {one["slice"] for one in every} == {"", "language=de", "language=en"}
    (one,) = pages.every(path, task="golden", metric="exact_match", slice="language=en")
    assert one in every
    assert {item["slice"] for item in pages.every(path, slice="")} == {""}
    assert pages.every(path, task="none") == []
