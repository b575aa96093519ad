"""Monitors that clients send: applied, explained, pruned and removed, and what a server takes from nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Generation
from evalkit.jobs.launching import shut_down
from evalkit.monitoring import api
from registry import audit

DAY = 86_400_000
START = 1_777_593_600_000  # 2026-05-01T00:00Z
MONITOR = """\
monitor: talk
source: {stream: bot}
retention: {raw: 9000d}
contract: rules/contract.yaml
checks:
  - {hallucination: {judge: mine.md, sample: 1/day}}
"""
CONTRACT = "contract: talk\nvolume: {min: 10}\n"
JUDGE = """\
---
name: mine
kind: groundedness
model: openai:/some-model
---
Are {{ claims }} supported by {{ context }}?
"""


@pytest.fixture
def there(served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that was told of two days of generations, and a client's folder."""
    buffer = Buffer.of(served.project.settings)
    for day in range(2):
        times = [START + day * DAY + i for i in range(40)]
        buffer.append("bot", [Generation(id=str(at), prompt="q", output="x" * (at % 40), time=at) for at in times])
    buffer.close()
    folder = tmp_path / "client"
    (folder / "rules").mkdir(parents=True)
    (folder / "monitor.yaml").write_text(MONITOR)
    (folder / "rules" / "contract.yaml").write_text(CONTRACT)
    (folder / "mine.md").write_text(JUDGE)
    monkeypatch.chdir(folder)
    yield served
    shut_down()


def _sent(served: Any, text: str, files: dict[str, str] | None = None, role: str = "evaluator") -> Any:
    return served.request("PUT", "/monitors/talk", role, json={"text": text, "files": files or {}})


def test_from_the_file_to_the_removal(there: Any, remotely: Any, tmp_path: Path):
    settings = there.project.settings
    status, out, err = remotely("monitor", "apply", "monitor.yaml")
    assert (status, out) == (0, "new: talk checks hallucination, operational\n"), err
    assert "stored in http://server.example.org" in err and "workers run it at '0 1 * * *' UTC" in err
    status, out, _ = remotely("monitor", "apply", "monitor.yaml", "--json")
    here = api.definition("talk", settings=settings)
    kept = settings.home / "monitors" / "sent" / "talk"
    told = json.loads(out)
    assert (status, told["change"], told["digest"]) == (0, "unchanged", here.digest)
    assert told["schedule"] == {"cron": "0 1 * * *", "timezone": "UTC", "catch_up": "latest"}
    assert here.folder.parent == kept and (here.folder / "rules" / "contract.yaml").read_text() == CONTRACT
    assert [folder.name for folder in kept.iterdir()] == [here.folder.name], "the same files are kept once"

    (tmp_path / "client" / "rules" / "contract.yaml").write_text(CONTRACT + "freshness: 900h\n")
    assert remotely("monitor", "apply", "monitor.yaml")[1].startswith("changed: talk"), "another contract"

    api.run("talk", now=START + 2 * DAY + 7_200_000, settings=settings)
    status, out, _ = remotely("monitor", "explain", "talk", "2026-05-01", "--json", by="viewer")
    (there_is,) = json.loads(out)
    (here_is,) = api.explain("talk", "2026-05-01", settings=settings)
    assert (status, there_is["revisions"][0]["id"]) == (0, here_is.revisions[0].id)
    assert there_is["revisions"][0]["status"] == "ok"
    assert [(one["check"], one["key"], one["estimate"]) for one in there_is["signals"]] == [
        (one.check, one.signal.key, one.signal.estimate.to_json()) for one in here_is.signals
    ]
    status, _, err = remotely("monitor", "explain", "talk", "2030-01-01")
    assert status == 2 and "no window of 'talk'" in err

    asked = ("monitor", "history", "talk", "--check", "operational", "--key", "rows", "--level", "week", "--json")
    status, out, _ = remotely(*asked, by="viewer")
    (rolled,) = api.roll("talk", "week", settings=settings)
    rows = next(signal for signal in rolled.signals if signal.key == "rows")
    assert [(one["start"], one["estimate"]) for one in json.loads(out)] == [
        ("2026-04-27T00:00Z", rows.estimate.to_json())
    ], "as without a server"
    assert remotely("monitor", "history", "talk", "--level", "hour")[0] == 2

    status, _, err = remotely("monitor", "contract", "talk", "--out", "made.yaml")
    assert status == 0 and "expectations" in err, err
    assert (tmp_path / "client" / "made.yaml").read_text() == api.contract("talk", settings=settings).text()
    status, _, err = remotely("monitor", "contract", "talk", "--out", "other.yaml", by="viewer")
    assert (status, "evaluator" in err, (tmp_path / "client" / "other.yaml").exists()) == (1, True, False)
    (tmp_path / "client" / "rows.jsonl").write_text(
        "".join(json.dumps({"time": START + i, "output": "y" * i}) + "\n" for i in range(60))
    )
    status, _, err = remotely("monitor", "contract", "talk", "--from", "rows.jsonl", "--out", "own.yaml")
    assert status == 0 and "output" in (tmp_path / "client" / "own.yaml").read_text(), err

    (tmp_path / "client" / "monitor.yaml").write_text(MONITOR.replace("9000d", "1d"))
    assert remotely("monitor", "apply", "monitor.yaml")[1].startswith("changed: talk")
    status, out, _ = remotely("monitor", "prune", "--dry-run", "--json")
    assert (status, json.loads(out)[0]["days"]) == (0, ["2026-05-01", "2026-05-02"])
    assert len(api.prune("talk", dry_run=True, settings=settings)[0].days) == 2, "a dry run drops nothing"
    status, out, _ = remotely("monitor", "prune", "talk")
    assert status == 0 and "dropped raw rows of 2 days (2026-05-01 to 2026-05-02)" in out
    assert not api.prune("talk", dry_run=True, settings=settings)[0].days

    assert remotely("monitor", "remove", "talk", "--yes")[0] == 1
    assert remotely("monitor", "remove", "talk", "--yes", by="admin")[:2] == (0, "removed: talk\n")
    assert not kept.exists() and not api.list_monitors(settings=settings)
    assert remotely("monitor", "remove", "talk", "--yes", by="admin")[0] == 2
    told = [e for e in audit.export(there.project.engine) if e["kind"].startswith("monitor.")]
    assert [(e["kind"], e["actor"], e["facts"].get("change")) for e in told] == [
        ("monitor.applied", "eva", "new"), ("monitor.applied", "eva", "changed"), ("monitor.applied", "eva", "changed"),
        ("monitor.removed", "eva", None),
    ]  # fmt: skip
    assert there.request("GET", "/audit/verify", "viewer").json()["intact"] is True


def test_other_schedulers_are_told_who_runs_it(there: Any, remotely: Any):
    status, _, err = remotely("run-due")
    assert status == 2 and "workers run its monitors" in err


PLAIN = "monitor: talk\nsource: {stream: bot}\n"
WATCHED = "model: models:/bot@champion\n"
NOBODY = [
    ("monitor: talk\nsource: {files: /etc, columns: {time: t}}\n", "absolute"),
    ("monitor: talk\nsource: {files: rows.jsonl, columns: {time: t}}\n", "no client names any"),
    ("monitor: talk\nsource: {sql: {url: EVALKIT_DATABASE_URL, table: x}, columns: {time: t}}\n", "EVALKIT_SOURCE_"),
    (PLAIN + "redact: ['os:system']\n", "Python function"),
    (PLAIN + "notify: [{webhook: HOOK, allow_private: true}]\n", "own network"),
    (PLAIN + "checks: [{perplexity: ../../models}]\n", "cannot be sent"),
    (PLAIN + "checks: [{hallucination: {judge: groundedness, model: 'replay:/etc/passwd'}}]\n", "server's machine"),
    (PLAIN + "checks: [{hallucination: {judge: groundedness, model: 'huggingface:/etc'}}]\n", "server's machine"),
    (PLAIN + WATCHED + "checks: [{probes: {generate: {env: [SECRET_KEY]}}}]\n", "variable SECRET_KEY"),
    (PLAIN + WATCHED + "checks: [{probes: {generate: {env: 7}}}]\n", "variable 7"),
    (PLAIN + WATCHED + "checks: [{stereotypes: pairs.parquet}]\n", "was not sent"),
    (PLAIN + "contract: contract.yaml\n", "was not sent"),
    (PLAIN + "contract: ../contract.yaml\n", "leads out"),
    (PLAIN.replace("talk", "other"), "calls itself 'other'"),
    (PLAIN + "checks: [{images: {extractor: clip}}]\nno: 1\n", "no"),
    ("- talk\n", "a monitor is a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), NOBODY)
def test_what_is_taken_from_nobody(there: Any, text: str, why: str):
    answer = _sent(there, text, role="admin")
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid"), answer.text
    assert why in answer.json()["message"]
    assert there.request("GET", "/monitors/talk", "viewer").status_code == 404


ADMINS = [
    WATCHED + "checks: [{probes: gender}]\n",
    WATCHED + "checks: [{suite: answers}]\n",
    WATCHED + "checks: [{hallucination: {judge: suite}}]\n",
    WATCHED + "checks: [{toxicity: {}, alert: {max: 0.1, demote: true}}]\n",
    "checks: [{hallucination: {judge: groundedness, model: 'openai:/m@http://10.0.0.1/v1'}}]\n",
    "checks: [{perplexity: 'hf:owner/name'}]\n",
]


@pytest.mark.parametrize("text", ADMINS)
def test_what_is_taken_from_an_admin_alone(there: Any, text: str):
    refused = _sent(there, PLAIN + text)
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden"), refused.text
    assert there.request("GET", "/monitors/talk", "viewer").status_code == 404
    made = _sent(there, PLAIN + text, role="admin")
    assert (made.status_code, made.json()["change"]) == (201, "new"), made.text


def test_a_judge_in_a_file_names_no_address_either(there: Any):
    text = PLAIN + "checks: [{hallucination: {judge: mine.md}}]\n"
    for model, status in (("openai:/m", 201), ("openai:/m@http://10.0.0.1/v1", 403), ("replay:/etc/passwd", 422)):
        answer = _sent(there, text, {"mine.md": JUDGE.replace("openai:/some-model", f'"{model}"')})
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("text", "files", "why"),
    [
        (PLAIN, {"../../evil.yaml": "x"}, "names no file"),
        (PLAIN + "contract: c.yaml\n", {"c.yaml": CONTRACT, "more.yaml": "x"}, "names no file 'more.yaml'"),
        (PLAIN + "contract: c.yaml\n", {"c.yaml": "x" * 1_000_001}, "1000 kB"),
        (PLAIN + "contract: c.yaml\n", {"c.yaml": "volume: 7"}, "c.yaml:1"),
        (PLAIN + f"contract: {'c' * 300}\n", {"c" * 300: CONTRACT}, "cannot be kept"),
        (PLAIN + "contract: a\nchecks: [{hallucination: {judge: a/b.md}}]\n", {"a": CONTRACT, "a/b.md": JUDGE},
         "cannot be kept"),
    ],
)  # fmt: skip
def test_files_are_those_that_the_monitor_names(there: Any, text: str, files: dict[str, str], why: str):
    answer = _sent(there, text, files)
    assert (answer.status_code, why in answer.json()["message"]) == (422, True), answer.text
    sent = there.project.settings.home / "monitors" / "sent" / "talk"
    assert not sent.is_dir() or not list(sent.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        'monitor: "\\uD800"\n', PLAIN + 'contract: "\\uD800.yaml"\n', PLAIN + f"baseline: {'9' * 4000}d\n",
        PLAIN + f"lateness: {'9' * 30}w\n", PLAIN + "start: '0001-01-01T00:00+23:59'\n",
        PLAIN + "start: '9999-12-31T23:59:59-23:59'\n", PLAIN + "every: '0 0 30 2 *'\n",
        PLAIN + WATCHED + f"checks: [{{probes: {{groups: {{a: [{{x: y}}], b: [{{x: y}}]}}, templates: {['{x}'] * 900},"
        " repeats: 1000}}]\n",
    ],
)  # fmt: skip
def test_odd_texts_are_answered_in_one_line(there: Any, text: str):
    answer = _sent(there, text, role="admin")
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("time", ["0001-01-01", "9999-12-31", "soon", "\u0661"])
def test_odd_moments_are_answered_in_one_line(there: Any, time: str):
    assert _sent(there, PLAIN).status_code == 201
    answer = there.request("GET", "/monitors/talk/explanation", "viewer", params={"time": time})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid"), answer.text
