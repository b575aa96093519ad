"""Labelling in the browser: the right sample gets the label, none is lost, and nobody is led."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from evalkit.judging.assignments import Key, assign
from judges.labels import read_labels

from .conftest import Pages

HERE = "/evalkit/label/bot/1/golden"
QUERY = "?metric=helpful&seed=0&n=30"


@pytest.fixture
def pages(judged_pages: Pages) -> Pages:
    return judged_pages


def fields(seen: Any) -> dict[str, str]:
    """The hidden fields of the label form."""
    names = {"form_token", "metric", "seed", "n", "draw", "population", "replaces"}
    found = {str(given.get("name")): str(given.get("value")) for tag, given in seen.tags if tag == "input"}
    return {name: value for name, value in found.items() if name in names}


def sample_on(seen: Any) -> str:
    found = re.search(r"Sample (q\d+)", seen.text)
    assert found is not None
    return found[1]


def answer(pages: Pages, with_: str, who: str | None = None, at: str = HERE + QUERY) -> Any:
    return pages.post(HERE, {**fields(pages.get(at, who)), "answer": with_}, who)


def stored(pages: Pages) -> list[Any]:
    home = pages.project.settings.home
    return [label for file in sorted(home.glob("labels/*/*.jsonl")) for label in read_labels(file)]


def test_list_has_judged_scores_and_texts_without_a_judge(pages: Pages):
    seen = pages.get("/evalkit/label")
    assert any(link.startswith(f"{HERE}?metric=helpful") for link in seen.links)
    assert any(link.startswith("/evalkit/label/bot/1/plain?") for link in seen.links)
    assert "no judge" in seen.text


def test_draws_are_those_of_the_command_line(pages: Pages):
    session = pages.project.session
    found = assign(session, session.version("models:/bot/1"), "golden", "helpful", 0)
    assert found.useful is not None
    assert found.useful[0] == 1.0  # unscored: a label is worth most
    asked = []
    while "All draws have a label" not in (seen := pages.get(HERE + QUERY)).text:
        asked.append(sample_on(seen))
        assert pages.post(HERE, {**fields(seen), "answer": "p"}).status_code == 303
    drawn = found.draws(30)
    assert asked == list(dict.fromkeys(draw.sample_id for draw in drawn))
    assert [(one.sample_id, one.draw, one.probability) for one in sorted(stored(pages), key=lambda one: one.draw)] == [
        (draw.sample_id, draw.draw, draw.probability) for draw in drawn
    ]


def test_what_the_judge_said_is_not_shown_and_nothing_hostile_runs(pages: Pages):
    seen = pages.get(HERE + QUERY)
    assert "secret rationale" not in seen.html
    assert "Context" in seen.text and "Accepted answers" in seen.text
    assert "<script>document" not in seen.html and not [tag for tag, given in seen.tags if "onerror" in given]
    for _, given in seen.tags:
        assert "style" not in given


def test_second_click_and_stale_tab_label_nothing_else(pages: Pages):
    first = pages.get(HERE + QUERY)
    form = {**fields(first), "answer": "p"}
    for _ in range(2):
        assert pages.post(HERE, form).headers["location"].endswith(QUERY)
    assert {one.sample_id for one in stored(pages)} == {sample_on(first)}
    stale = pages.post(HERE, {**form, "answer": "f"})
    assert "changed=true" in stale.headers["location"]
    assert {one.value for one in stored(pages)} == {1.0}
    again = pages.get(stale.headers["location"])
    assert "another tab" in again.text and sample_on(again) == sample_on(first)
    assert pages.post(HERE, {**fields(again), "answer": "f"}).status_code == 303
    assert {one.value for one in stored(pages)} == {0.0}


def test_undo_leads_to_the_sample_before(pages: Pages):
    first = pages.get(HERE + QUERY)
    assert not [link for link in first.links if "draw=" in link]
    pages.post(HERE, {**fields(first), "answer": "s"})
    second = pages.get(HERE + QUERY)
    (back,) = [link for link in second.links if "draw=" in link]
    undone = pages.get(back)
    assert sample_on(undone) == sample_on(first) != sample_on(second)
    pages.post(HERE, {**fields(undone), "answer": "f"})
    assert {(one.sample_id, one.value) for one in stored(pages)} == {(sample_on(first), 0.0)}
    assert sample_on(pages.get(HERE + QUERY)) == sample_on(second)


def test_each_labeller_has_a_file_and_roles_are_kept(pages: Pages):
    for who in ("ann:labeler", "../../ann:labeler", "eve:evaluator"):
        assert answer(pages, "p", who).status_code == 303
    files = list(pages.project.settings.home.glob("labels/*/*.jsonl"))
    assert len(files) == 3
    assert pages.get(HERE + QUERY, "vic:viewer").status == 403
    token = fields(pages.get(HERE + QUERY, "ann:labeler"))
    assert pages.post(HERE, {**token, "answer": "p"}, "vic:viewer").status_code == 403
    assert pages.post(HERE, {**token, "form_token": "", "answer": "p"}, "ann:labeler").status_code == 403
    assert pages.post(f"{HERE}/calibrate", {**token, "metric": "helpful"}, "ann:labeler").status_code == 403
    assert len(list(pages.project.settings.home.glob("labels/*/*.jsonl"))) == 3


@pytest.mark.parametrize(
    "changes",
    [{"answer": "x"}, {"answer": "a"}, {"draw": "30"}, {"draw": "-1"}, {"n": "9999"}, {"population": "0" * 32}],
)
def test_forged_forms_change_nothing(pages: Pages, changes: dict[str, str]):
    seen = pages.get(HERE + QUERY)
    assert pages.post(HERE, {**fields(seen), "answer": "p", **changes}).status_code in {409, 422}
    assert stored(pages) == []


def test_labels_calibrate_as_the_command_does(pages: Pages):
    from evalkit.judging.calibrations import Calibrations
    from registry.digests import file_digest

    for i in range(12):
        answer(pages, "pf"[i % 2])
    seen = pages.get(f"{HERE}/labels{QUERY}")
    assert "Calibrate now" in seen.text
    assert "Calibrate now" not in pages.get(f"{HERE}/labels{QUERY}", "ann:labeler").text
    file = pages.project.settings.home / "downloaded.jsonl"
    file.write_bytes(pages.client.get(f"{HERE}/labels.jsonl{QUERY}").content)
    assert read_labels(file) == stored(pages)
    done = pages.submit(f"{HERE}/labels{QUERY}", f"{HERE}/calibrate", {"metric": "helpful", "seed": "0"})
    assert done.headers["location"] == "/evalkit/judges/helpful"
    kept = Calibrations.of(pages.project.settings)
    calibration = kept.newest()["helpful"][0]
    kept.close()
    assert calibration.labels == file_digest(file)
    assert calibration.report.judge_version == "sha256:" + (calibration.report.judge_version or "").removeprefix(
        "sha256:"
    )
    assert "12 labelled" in (text := pages.get("/evalkit/judges/helpful").text) or "labelled samples beside" in text


def test_other_samples_are_refused_and_labels_stay(pages: Pages):
    answer(pages, "p")
    key = Key(pages.project.session.version("models:/bot/1").id, "golden", "helpful", 0)
    (file,) = key.files(pages.project.settings.home)
    head, *rest = file.read_text().splitlines()
    file.write_text("\n".join([head.replace('"samples": 40', '"samples": 41'), *rest]) + "\n")
    before = file.read_bytes()
    seen = pages.get(HERE + QUERY)
    assert seen.status == 422 and "another seed" in seen.text
    assert file.read_bytes() == before


@pytest.mark.parametrize("address", ["/evalkit/label/bot/1/none", "/evalkit/label/none/1/golden", HERE + "?metric=x"])
def test_what_is_not_there_is_told(pages: Pages, address: str):
    assert pages.get(address).status in {404, 422}
    assert not (pages.project.settings.home / "labels").exists()


def test_tabs_at_once_store_one_label_each_line_whole(pages: Pages):
    from concurrent.futures import ThreadPoolExecutor

    form = {**fields(pages.get(HERE + QUERY)), "answer": "p"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: pages.post(HERE, form).status_code, range(4)))
    assert answers == [303] * 4
    (file,) = pages.project.settings.home.glob("labels/*/*.jsonl")
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 2  # its head, and one label


def test_without_a_judge_all_samples_are_drawn_alike(pages: Pages):
    here = "/evalkit/label/bot/1/plain"
    form = fields(pages.get(here))
    assert pages.post(here, {**form, "answer": "p"}).status_code == 303
    assert [one.probability for one in stored(pages)] == [1 / 40]
    assert "Calibrate now" not in pages.get(f"{here}/labels").text
