"""Labelling and judges by the API: the same samples, files and calibrations as the pages and the commands have."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.judging.assignments import assign
from judges.labels import read_labels

from .conftest import Pages

HERE = "/labelling/bot/1/golden"
WHICH = {"metric": "helpful", "seed": 0, "n": 14}
ANN = "ann:labeler"


@pytest.fixture
def pages(judged_pages: Pages) -> Pages:
    return judged_pages


def ask(pages: Pages, who: str = ANN, **more: Any) -> dict[str, Any]:
    answer = pages.api(HERE, who, **WHICH, **more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def give(pages: Pages, asked: dict[str, Any], answer: str, who: str = ANN, **more: Any) -> Any:
    body = {**WHICH, "draw": asked["draw"], "population": asked["population"], "answer": answer, **more}
    return pages.api(f"{HERE}/labels", who, body)


def test_draws_and_chances_are_those_of_the_page_and_the_command(pages: Pages):
    session = pages.project.session
    drawn = assign(session, session.version("models:/bot/1"), "golden", "helpful", 0).draws(14)
    seen = []
    while (asked := ask(pages))["draw"] is not None:
        seen.append(asked["sample_id"])
        assert asked["labelled"] < asked["n"] == 14
        assert give(pages, asked, "p").status_code == 201
    assert seen == list(dict.fromkeys(draw.sample_id for draw in drawn))
    (file,) = pages.project.settings.home.glob("labels/*/*.jsonl")
    stored = sorted(read_labels(file), key=lambda one: one.draw or 0)
    assert [(one.sample_id, one.probability) for one in stored] == [(one.sample_id, one.probability) for one in drawn]
    listed = pages.every(f"{HERE}/labels", metric="helpful", limit=7)
    assert {(one["draw"], one["probability"]) for one in listed} == {(one.draw, one.probability) for one in drawn}
    assert (asked["labelled"], asked["known"]) == (14, None)
    assert "All draws have a label" in pages.get("/evalkit/label/bot/1/golden?metric=helpful&seed=0&n=14", ANN).text


def test_nobody_is_led(pages: Pages):
    asked = ask(pages)
    assert "secret rationale" not in str(asked)
    assert [part["title"] for part in asked["parts"]] == ["prompt", "context", "accepted answers", "output"]
    assert [choice["key"] for choice in asked["choices"]][-1] == "s"
    assert asked["probability"] > 0 and asked["image"] is None


def test_a_label_is_replaced_only_where_it_is_named(pages: Pages):
    asked = ask(pages)
    first = give(pages, asked, "p").json()
    assert (first["value"], first["labeller"], first["sample_id"]) == (1.0, "ann", asked["sample_id"])
    same = give(pages, asked, "p")
    assert (same.status_code, same.json()) == (200, first)
    stale = give(pages, asked, "f")
    assert (stale.status_code, stale.json()["error"]) == (409, "conflict") and str(first["time"]) in stale.text
    again = ask(pages, draw=asked["draw"])
    assert again["known"] == first
    replaced = give(pages, again, "s", replaces=first["time"])
    assert (replaced.status_code, replaced.json()["value"]) == (201, None) and replaced.json()["reason"]
    assert ask(pages)["before"] == asked["draw"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"answer": "x"}, 422), ({"answer": "a"}, 422), ({"draw": 14}, 422), ({"draw": -1}, 422), ({"n": 9999}, 422),
        ({"population": "0" * 32}, 409), ({"more": 1}, 422), ({"metric": "\ud800"}, 422), ({"seed": -1}, 422),
    ],
)  # fmt: skip
def test_forged_labels_change_nothing(pages: Pages, changes: dict[str, Any], status: int):
    import json

    body = {**WHICH, "draw": 0, "population": ask(pages)["population"], "answer": "p", **changes}
    answer = pages.client.post(
        f"/evalkit/api/v1{HERE}/labels", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert pages.every(f"{HERE}/labels", metric="helpful") == []


@pytest.mark.parametrize("path", ["/labelling/bot/1/none", "/labelling/none/1/golden", "/labelling/bot/9/golden"])
def test_what_cannot_be_labelled(pages: Pages, path: str):
    assert pages.api(path, ANN).status_code in {404, 422}
    body = {"draw": 0, "population": "x", "answer": "p"}
    assert pages.api(f"{path}/labels", ANN, body).status_code in {404, 422}
    assert not (pages.project.settings.home / "labels").exists()


def test_labels_calibrate_the_judge_and_it_is_told(pages: Pages):
    (before,) = [one for one in pages.every("/judges") if one["name"] == "helpful"]
    assert (before["calibration"], before["short"]) == (None, 1)
    assert pages.api(f"{HERE}/calibrations", "eve:evaluator", {"metric": "helpful"}).status_code == 404
    asked = ask(pages)
    while asked["draw"] is not None:
        assert give(pages, asked, "pf"[asked["samples"] % 2]).status_code == 201
        asked = ask(pages)
    assert pages.api(f"{HERE}/calibrations", ANN, {"metric": "helpful"}).status_code == 403
    made = pages.api(f"{HERE}/calibrations", "eve:evaluator", {"metric": "helpful"})
    assert made.status_code == 201, made.text
    judge = pages.api("/judges/helpful").json()
    assert judge["calibration"]["id"] == made.json()["id"]
    assert [one["id"] for one in pages.every("/calibrations", judge="helpful")] == [made.json()["id"]]
    assert pages.every("/calibrations", judge="other") == []
    (use,) = judge["uses_of"]
    assert (use["model"], use["task"], use["demand"]["kappa"]) == ("bot", "golden", 0.6)
    assert (use["doubtful"]["unscored"], use["doubtful"]["listed"]) == (4, ["q0"]) and use["short"]
    assert (judge["beside"][0]["judge"], judge["costs_by_day"]) == ("other", [])
    tasks = pages.every("/labelling", limit=2)
    assert {(one["task"], one["metric"]): one["labels"] for one in tasks}["golden", "helpful"] == 14
    assert pages.every("/labelling", model="none") == []
    for name in ("none", "..%2f..%2fetc", "%00", "a/b"):
        assert pages.api(f"/judges/{name}").status_code == 404
