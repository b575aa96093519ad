"""What an admin does on a server's machine without being there: anchors, checks, webhooks, what workers did."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from evalkit.cli.app import run
from evalkit.server.api import PREFIX, machine
from registry.database import writing
from registry.outbox import DELIVERY, put
from registry.webhooks import add_webhook

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
def command(served: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command against the server, in a role, or here; gives exit code, what it printed, and its error."""

    def call(*arguments: str, by: str | None = "admin") -> tuple[int, str, str]:
        def answer(method: str, url: str, **more: Any) -> requests.Response:
            sent = {name: more[name] for name in ("params", "json") if more.get(name) is not None}
            seen = served.request(method, url.removeprefix(f"http://server{PREFIX}"), by, **sent)
            told = requests.Response()
            told.status_code, told._content, told.url = seen.status_code, seen.content, url
            return told

        monkeypatch.setattr(requests, "request", answer)
        if by is None:
            monkeypatch.delenv("EVALKIT_SERVER", raising=False)
        else:
            monkeypatch.setenv("EVALKIT_SERVER", "http://server")
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def here(served: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's own folder, where commands without a server find the same project."""
    folder: Path = served.project.settings.home.parent
    (folder / "evalkit.toml").touch()
    monkeypatch.chdir(folder)
    return folder


def test_a_server_anchors_its_own_chain(served: Any, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("audit", "anchor", "--json")
    made = json.loads(out)
    kept = (served.project.settings.home / "anchors.jsonl").read_text()
    assert (code, json.loads(kept)) == (0, made)
    assert not (tmp_path / ".evalkit").exists(), "nothing is written here"
    report = json.loads(command("audit", "verify", "--json", by="viewer")[1])
    assert (report["intact"], report["anchors"], report["head"]) == (True, 2, made["hash"])
    assert command("audit", "anchor")[1] == f"entry {made['seq']}: {made['hash']}\n"
    for arguments, by, status in ((("audit", "anchor"), "approver", 1), (("audit", "anchor", "--to", "x"), "admin", 2)):
        assert command(*arguments, by=by)[0] == status
    (served.project.settings.home / "anchors.jsonl").write_text(kept.replace(made["hash"], "sha256:" + "0" * 64))
    assert command("audit", "verify", by="viewer")[0] == 1


def test_an_anchor_goes_nowhere_that_a_client_names(served: Any, tmp_path: Path):
    target = tmp_path / "elsewhere.jsonl"
    for more in ({"json": {"to": str(target)}}, {"params": {"to": str(target)}}):
        served.request("POST", "/audit/anchors", "admin", **more)
    assert not target.exists()


def test_the_database_is_checked_there_as_here(served: Any, command: Any, here: Path):
    for arguments in (("db", "check"), ("db", "check", "--json"), ("db", "check", "--tables-only", "--json")):
        assert command(*arguments) == command(*arguments, by=None), arguments
    assert command("db", "check")[:2] == (0, "tables and triggers are as needed; rows and audit are whole\n")
    with closing(sqlite3.connect(here / ".evalkit" / "mlflow.db")) as database:
        database.execute("DROP TRIGGER evalkit_gate_alias_insert")
        guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'evalkit_audit'"
        for (name,) in database.execute(guards).fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE evalkit_audit SET hash = 'x' WHERE seq = 1")
        database.commit()
    for arguments in (("db", "check"), ("db", "check", "--json")):
        assert command(*arguments) == command(*arguments, by=None), arguments
    found = json.loads(command("db", "check", "--json")[1])
    assert (found["good"], "alias_insert" in found["missing_triggers"], bool(found["audit"])) == (False, True, True)
    code, _, error = command("db", "check", by="approver")
    assert (code, "role admin" in error) == (1, True)


def test_one_check_at_a_time(served: Any):
    assert served.request("GET", "/database?tables_only=true", "admin").status_code == 200
    with machine._looking:
        assert served.request("GET", "/database?tables_only=true", "admin").status_code == 409
    assert served.request("GET", "/database?tables_only=true", "admin").status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [("upgrade",), ("downgrade", "--to", "base", "--yes"), ("backup", "b"), ("restore", "."), ("move", "--to", "x")],
    ids=lambda given: given[0],
)
def test_no_command_changes_another_database_than_is_meant(command: Any, here: Path, arguments: tuple[str, ...]):
    before = (here / ".evalkit" / "mlflow.db").read_bytes()
    code, out, error = command("db", *arguments)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "unset EVALKIT_SERVER" in error
    assert (here / ".evalkit" / "mlflow.db").read_bytes() == before


def test_the_servers_installation_is_looked_at(served: Any, command: Any, here: Path):
    code, out, said = command("doctor", "--json")
    assert (code, "http://server" in said) == (0, True)
    checks = {one["check"]: one for one in json.loads(out)}
    assert checks["state"]["detail"] == str(served.project.settings.home)
    assert set(checks) == {one["check"] for one in json.loads(command("doctor", "--json", by=None)[1])}
    assert command("doctor", by="evaluator")[0] == 1


# Webhooks and work


def test_webhooks_of_the_server_by_the_commands(command: Any):
    code, out, said = command(
        "webhook", "add", "https://h.example.org/x", "--secret-env", "NO_SUCH", "--event", "promotion", "--json"
    )
    made = json.loads(out)
    assert (code, made["events"], said) == (0, ["promotion"], "")
    assert json.loads(command("webhook", "list", "--json")[1]) == [made]
    assert command("webhook", "add", "https://i.example.org/", "--secret-env", "S")[1].count("decision") == 1
    assert command("webhook", "remove", made["id"])[:2] == (0, "removed: https://h.example.org/x\n")
    assert command("webhook", "remove", made["id"])[0] == 2
    for arguments in (
        ("add", "https://h.example.org/", "--secret-env", "S", "--allow-private"), ("remove", "nothing"),
        ("add", "http://h.example.org/", "--secret-env", "S"), ("remove", "../users"), ("test", ".."),
        ("add", "https://h.example.org/", "--secret-env", "S", "--event", "promoted"),
    ):  # fmt: skip
        code, _, error = command("webhook", *arguments)
        assert (code, error.count("\n")) == (2, 1), arguments
    for arguments in (("list",), ("remove", made["id"]), ("test", made["id"]), ("deliveries",)):
        assert command("webhook", *arguments, by="approver")[0] == 1, arguments


def test_a_server_sends_a_test_event(served: Any, command: Any, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    own = add_webhook(served.project.engine, url, secret_env="HOOK_SECRET", allow_private=True)
    private = add_webhook(served.project.engine, "https://127.0.0.1/x", secret_env="HOOK_SECRET")
    code, out, _ = command("webhook", "test", own.id)
    assert (code, "has no HOOK_SECRET" in out) == (1, True)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    told = json.loads(command("webhook", "test", own.id, "--json")[1])
    assert (told["accepted"], told["status"], "ConnectionRefused" in told["detail"]) == (False, None, True)
    assert "which is private" in command("webhook", "test", private.id)[1]
    assert SECRET not in json.dumps(told)
    sent: list[Any] = []
    from evalkit.worker import sending

    monkeypatch.setattr(sending, "_post", lambda *args, **more: sent.append(args) or 204)
    assert command("webhook", "test", own.id)[:2] == (0, "accepted: HTTP 204\n")
    assert (sent[0][0], json.loads(sent[0][1])["data"]) == (url, {"webhook": own.id})


@pytest.fixture
def worked(served: Any) -> list[str]:
    """Two versions in the outbox, one of which is being evaluated, and three deliveries to two webhooks."""
    engine = served.project.engine
    hooks = [add_webhook(engine, f"https://h{n}.example.org/", secret_env="S").id for n in range(2)]
    with writing(engine) as session:
        for number in (1, 2):
            put(session, "version.created", {"name": "bot", "version": number, "author": "ada"})
        for hook in (*hooks, hooks[0]):
            put(session, DELIVERY, {"webhook": hook, "message": {"type": "evalkit.promotion", "data": {"to": "ann"}}})
    from registry.outbox import Outbox

    Outbox(engine).claim("version.created")
    return hooks


def test_what_workers_did_is_told_there_as_here(command: Any, here: Path, worked: list[str]):
    for arguments in (
        ("worker", "items"), ("worker", "items", "--json"), ("worker", "items", "--kind", "demotions"),
        ("worker", "items", "--kind", "deliveries", "--limit", "2", "--json"), ("webhook", "deliveries"),
        ("webhook", "deliveries", "--json"), ("webhook", "deliveries", "--webhook", worked[0], "--limit", "1"),
        ("webhook", "deliveries", "--webhook", worked[1], "--json"),
    ):  # fmt: skip
        assert command(*arguments) == command(*arguments, by=None), arguments
    assert "models:/bot/1  running" in command("worker", "items")[1]
    assert len(json.loads(command("webhook", "deliveries", "--webhook", worked[0], "--json")[1])) == 2


def test_what_work_is_about_is_told_to_admins_alone(served: Any, command: Any, worked: list[str]):
    assert command("worker", "items", by="viewer")[:2] == command("worker", "items")[:2]
    for who in ("viewer", "labeler", "evaluator", "approver"):
        items = served.request("GET", "/work/items?bodies=true", who).json()["items"]
        assert len(items) == 5 and {one["body"] for one in items} == {None}
        assert "ann" not in json.dumps([one["about"] for one in items])
        assert "token" not in items[0]
    bodies = [one["body"] for one in served.request("GET", "/work/items?bodies=true", "admin").json()["items"]]
    assert all(bodies) and "ann" in json.dumps(bodies)
