"""``evalkit judge`` against a server: the store's part is there, files and keys stay here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from evalkit.cli.app import run
from evalkit.judging.calibrations import Calibrations
from evalkit.judging.ledger import open_ledger
from judges.clients.base import Reply
from judges.ledger import Entry
from registry import audit

from .conftest import HOSTILE, Pages

DAY = 86_400_000


@pytest.fixture
def pages(judged_pages: Pages) -> Pages:
    return judged_pages


@pytest.fixture
def judge(pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `evalkit judge …` against the server from an empty folder, or in the server's own one without it."""
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "evalkit.toml").touch()
    (pages.project.settings.home.parent / "evalkit.toml").touch()

    def call(*arguments: str, by: str | None = "eva:evaluator") -> tuple[int, str, str]:
        def answer(method: str, url: str, **more: Any) -> requests.Response:
            sent = {name: more[name] for name in ("params", "json") if more.get(name) is not None}
            seen = pages.client.request(method, url, headers={"x-actor": str(by)}, **sent)
            told = requests.Response()
            told.status_code, told._content, told.url = seen.status_code, seen.content, url
            return told

        monkeypatch.setattr(requests, "request", answer)
        if by is None:
            monkeypatch.delenv("EVALKIT_SERVER", raising=False)
            monkeypatch.chdir(pages.project.settings.home.parent)
        else:
            monkeypatch.setenv("EVALKIT_SERVER", "http://testserver")
            monkeypatch.chdir(tmp_path / "client")
        capsys.readouterr()
        code = run(["judge", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def labels(tmp_path: Path) -> str:
    file = tmp_path / "labels.jsonl"
    rows = [{"id": f"q{i}", "value": (i + (i == 7)) % 2, "probability": 0.5} for i in range(4, 34)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return str(file)


def kept(pages: Pages) -> list[Any]:
    store = Calibrations.of(pages.project.settings)
    try:
        return store.list()
    finally:
        store.close()


def test_a_version_is_calibrated_by_the_servers_verdicts(pages: Pages, judge: Any, labels: str, tmp_path: Path):
    asked = ("calibrate", "models:/bot/1", "--metric", "golden/helpful", "--labels", labels, "--json")
    code, out, err = judge(*asked, "--no-save")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(judge(*asked, "--no-save", by=None)[1])
    assert kept(pages) == []
    code, out, _ = judge(*asked)
    told = json.loads(out)
    (stored,) = kept(pages)
    assert (code, stored.id, stored.report.to_json()) == (0, told.pop("calibration"), told)
    (entry,) = [one for one in audit.export(pages.project.engine) if one["kind"] == "calibration.submitted"]
    assert (entry["actor"], entry["facts"]["judge"], entry["facts"]["labels"]) == ("eva", "helpful", stored.labels)
    assert audit.verify(pages.project.engine).intact
    assert not (tmp_path / "client" / ".evalkit").exists(), "nothing is stored here"
    # And it counts: the suite demands it of exactly this version of the judge
    full = pages.api("/judges/helpful").json()
    assert full["uses_of"][0]["judge_version"] == stored.report.judge_version
    assert "never calibrated" not in full["uses_of"][0]["short"]
    assert judge(*asked, by="vic:viewer")[0] == 1
    assert judge(*asked, by="lars:labeler")[0] == 1
    assert len(kept(pages)) == 1


def test_verdicts_in_files_are_calibrated_here_and_kept_there(pages: Pages, judge: Any, labels: str, tmp_path: Path):
    verdicts = tmp_path / "verdicts.jsonl"
    verdicts.write_text("\n".join(json.dumps({"id": f"q{i}", "value": i % 2, "judge": "mine"}) for i in range(40)))
    code, out, err = judge("calibrate", str(verdicts), "--labels", labels, "--judge-version", "v1")
    assert (code, "cohen_kappa" in out) == (0, True), err
    (stored,) = kept(pages)
    assert f"stored as calibration {stored.id}" in err
    assert (stored.report.judge, stored.report.judge_version, stored.report.labels) == ("mine", "v1", 30)
    for local in (("rate", str(verdicts), "--labels", labels, "--json"), ("plan", "0.02", "--json"), ("list",)):
        assert judge(*local) == judge(*local, by=None), local


@pytest.mark.parametrize("metric", ["golden/none", "none/helpful", "helpful", "plain/exact_match"])
def test_what_no_judge_has_scored(judge: Any, labels: str, metric: str):
    code, _, err = judge("calibrate", "models:/bot/1", "--metric", metric, "--labels", labels)
    assert (code, err.count("\n"), "no verdicts of a judge" in err) == (2, 1, True)
    code, _, err = judge("calibrate", "models:/bot/9", "--metric", metric, "--labels", labels)
    assert (code, err.count("\n")) == (2, 1)


def report(**change: Any) -> dict[str, Any]:
    made = {"judge": "j", "judge_version": "v", "labels": 30, "verdicts": 30,
            "estimates": {"cohen_kappa": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 30}}}  # fmt: skip
    return made | change


@pytest.mark.parametrize(
    "body",
    [
        {}, {"report": report()}, {"report": report(), "labels_digest": "x"},
        {"report": report(judge=""), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(judge="a\nb"), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(labels=0), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(estimates={"trust_me": {"value": 1.0}}), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(estimates={"accuracy": {"value": 1.0, "low": 1.0}}), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(estimates={"accuracy": {"value": 1, "low": 1, "high": 0}}),
         "labels_digest": "sha256:" + "0" * 64},
        {"report": report(estimates={"accuracy": "high"}), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(slices={"a": {"b": {"nothing": {"value": 1.0}}}}), "labels_digest": "sha256:" + "0" * 64},
        {"report": report(more=1), "labels_digest": "sha256:" + "0" * 64},
    ],
)  # fmt: skip
def test_what_is_no_report_is_not_kept(pages: Pages, body: dict[str, Any]):
    answer = pages.api("/calibrations", "eva:evaluator", body)
    assert (answer.status_code, set(answer.json())) == (422, {"error", "message"})
    assert kept(pages) == []


def test_a_report_is_kept_as_it_was_sent(pages: Pages):
    sent = {"report": report(), "labels_digest": "sha256:" + "1" * 64}
    made = pages.api("/calibrations", "eva:evaluator", sent)
    assert (made.status_code, made.json()["labels_digest"]) == (201, sent["labels_digest"]), made.text
    (stored,) = kept(pages)
    assert stored.report.estimates["cohen_kappa"].low == 0.8


def test_verdicts_by_page(pages: Pages):
    path = "/models/bot/versions/1/verdicts"
    found = pages.every(path, metric="golden/helpful", limit=7)
    assert [one["sample_id"] for one in found] == [f"q{i}" for i in range(40)]
    assert [one["value"] for one in found[:6]] == [None, None, None, None, 0.0, 1.0]
    assert found[0]["reason"] and found[4]["reason"] is None
    assert "secret rationale" not in json.dumps(found)


def pay(pages: Pages) -> None:
    ledger = open_ledger(pages.project.settings)
    ledger.record([
        Entry(f"{judge}{day}", judge, "v", HOSTILE, "q1", "verdict", 0, Reply("pass", "gpt", 100, 20, 0.5), price,
              day * DAY)
        for judge, price in (("helpful", 0.25), ("other", None)) for day in (20_000, 20_001)
    ])  # fmt: skip
    ledger.close()


def test_costs_are_those_of_the_server(pages: Pages, judge: Any):
    assert judge("cost")[1] == "nothing was bought yet\n"
    pay(pages)
    for arguments in (
        ("cost", "--json"), ("cost",), ("cost", "--by", "judge", "--since", "2024-10-05", "--json"),
        ("cost", "--by", "day,judge_version", "--json"), ("cost", "--by", "", "--json"),
    ):  # fmt: skip
        assert judge(*arguments, by="vic:viewer") == judge(*arguments, by=None), arguments
    assert json.loads(judge("cost", "--by", "judge", "--since", "2024-10-05", "--json")[1])[0]["replies"] == 1
    assert len(pages.every("/costs", limit=1)) == 4
    code, _, err = judge("cost", "--by", "day,modle")
    assert (code, "did you mean 'model'" in err) == (2, True)
    assert pages.api("/costs", by="modle").status_code == 422


@pytest.fixture
def two(pages: Pages) -> tuple[str, str]:
    """A second version, some of whose outputs are right, and one of which is not there."""
    from evalkit.session import Session
    from registry.store import Registry
    from registry.suite import Suite

    settings = pages.project.settings
    folder = settings.home.parent
    rows = [json.loads(line) for line in (folder / "outputs.jsonl").read_text().splitlines()]
    rows = [row | ({"output": row["id"]} if place % 3 else {}) for place, row in enumerate(rows)]
    rows[5] = {"id": rows[5]["id"], "output": None, "error": "timeout"}
    (folder / "outputs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
    version = registry.register("bot", model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"))
    Session(settings, registry).evaluate(version)
    registry.close()
    return "models:/bot/1", "models:/bot/2"


def test_versions_are_ranked_by_the_servers_scores(pages: Pages, judge: Any, two: tuple[str, str]):
    asked = ("rank", *two, "--metric", "plain/exact_match", "--tie-margin", "0.1")
    for form in ((), ("--json",)):
        assert judge(*asked, *form, by="vic:viewer") == judge(*asked, *form, by=None)
    ranking = json.loads(judge(*asked, "--json")[1])["ranking"]
    assert (ranking["models"], ranking["comparisons"]) == ([*two[::-1]], 39)
    found = pages.every("/comparisons/scores", versions="bot/1,bot/2", metric="plain/exact_match", limit=7)
    assert len(found) == 40 and found[1]["scores"] == {"bot/1": 0.0, "bot/2": 1.0}
    for wrong in ("golden/none", "exact_match", "plain/distinct_n"):
        code, _, err = judge("rank", *two, "--metric", wrong)
        assert (code, err.count("\n")) == (2, 1), wrong
    for versions in ("", "bot", "bot/9", ",".join(f"bot/{n}" for n in range(60))):
        answer = pages.api("/comparisons/scores", versions=versions, metric="plain/exact_match")
        assert answer.status_code in {404, 422}, versions
