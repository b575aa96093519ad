"""``evalkit alerts`` as people type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.app import run

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: shop
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, slices: [language]}
every: day
baseline: 3d
minimum: 20
retention: {raw: 9000d}
checks:
  - {operational: [empty], alert: {key: empty, max: 0.3, detector: threshold}}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day_rows: Any) -> Path:
    """Five days of a monitor, the last two with too many empty answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "generations").mkdir()
    for day in range(5):
        rows = [{**row, "answer": ""} if day > 2 and k % 2 else row for k, row in enumerate(day_rows(day))]
        (tmp_path / "generations" / f"{day}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    assert run(["monitor", "apply", "monitor.yaml"]) == 0
    assert run(["monitor", "backfill", "shop", "--from", "2026-05-01", "--to", "2026-05-06"]) == 0
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_from_a_list_to_a_silence(shop: Path, capsys: pytest.CaptureFixture[str]):
    found = _json(capsys, "alerts", "list", "--monitor", "shop")
    (alert,) = (one for one in found if not one["slice"])
    assert (alert["state"], alert["opened_at"], alert["value"]) == ("open", "2026-05-04T00:00Z", 0.5)
    shown = _json(capsys, "alerts", "show", alert["id"])
    assert [one["alerting"] for one in shown["readings"]] == [False, False, False, True, True]
    assert run(["alerts", "show", alert["id"], "--chart", "alert.png"]) == 0
    assert (shop / "alert.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr()
    assert "operational/empty" in said.out and "evalkit monitor explain shop 2026-05-04T00:00Z" in said.err
    acknowledged = _json(capsys, "alerts", "ack", alert["id"], "--reason", "on it", "--by", "ann")
    assert (acknowledged["state"], acknowledged["comment"]) == ("acknowledged", "ann: on it")
    silenced = _json(capsys, "alerts", "silence", alert["id"], "--reason", "known", "--for", "2d")
    assert silenced["state"] == "silenced"
    assert run(["alerts", "list"]) == 0
    listed = capsys.readouterr().out
    assert alert["id"] in listed and "silenced" in listed
    assert _json(capsys, "alerts", "unsilence", alert["id"], "--reason", "over")["state"] == "acknowledged"


def test_what_cannot_be_done_is_one_line_and_changes_nothing(shop: Path, capsys: pytest.CaptureFixture[str]):
    (alert,) = (one for one in _json(capsys, "alerts", "list") if not one["slice"])
    for arguments in (
        ["show", "nothing"],
        ["ack", alert["id"], "--reason", " "],
        ["ack", alert["id"]],
        ["silence", alert["id"], "--reason", "why", "--for", "soon"],
        ["unsilence", alert["id"], "--reason", "why"],
    ):
        capsys.readouterr()
        assert run(["alerts", *arguments]) == 2, arguments
        assert len(capsys.readouterr().err.strip().splitlines()) <= 4
    (after,) = (one for one in _json(capsys, "alerts", "list") if not one["slice"])
    assert after == alert


def test_what_workers_do_for_alerts_is_listed(shop: Path, capsys: pytest.CaptureFixture[str]):
    from evalkit.cli import worker
    from registry import outbox

    kinds = {outbox.CREATED, outbox.DELIVERY, outbox.ALERT, outbox.ALERT_TAGS, outbox.DEMOTION, outbox.BACKFILL}
    assert set(worker._KINDS.values()) == kinds
    assert _json(capsys, "worker", "items", "--kind", "tags") == []
    monitor = MONITOR.replace("source:", "model: models:/bot@champion\nsource:", 1)
    (shop / "monitor.yaml").write_text(monitor)
    assert run(["monitor", "apply", "monitor.yaml"]) == 0
    (first,) = {item["body"]["model"] for item in _json(capsys, "worker", "items", "--kind", "tags")}
    assert first == "bot"
    assert run(["worker", "items", "--kind", "tags"]) == 0
    assert "shop bot  waiting" in capsys.readouterr().out
