"""The commands against a real server: registered, evaluated here, decided there, promoted, shown, taken back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.app import run

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def _entry_points(folder: Path) -> Path:
    """A folder that shows an app of the tests, and the project's stores, to whoever has it on the path."""
    import tomllib

    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    points["mlflow.app"] = {"evalkit": "serving_app:create_app"}
    info = folder / "points" / "evalkit-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evalkit\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return info.parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a server."""
    folder = tmp_path_factory.mktemp("remote")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--host", "127.0.0.1",
        "--port", str(port), "--workers", "1", "--artifacts-destination", str(folder / "store"),
        "--registry-store-uri", f"evalkit+{database}", "--app-name", "evalkit",
    ]  # fmt: skip
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("EVALKIT_SERVER", "EVALKIT_TOKEN"))},
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONPATH": os.pathsep.join([str(_entry_points(folder)), str(Path(__file__).parent), str(ROOT)]),
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("ab"),
        start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
        yield url, folder
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def command(
    server: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    project_files: Callable[..., None],
) -> Any:
    """Run a command in a fresh project on this machine, as somebody; returns status and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALKIT_SERVER", server[0])
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    project_files(tmp_path)
    (tmp_path / "evalkit.toml").write_text("")

    def call(*arguments: str, who: str = "ada-evaluator") -> tuple[int, Any, str]:
        monkeypatch.setenv("EVALKIT_TOKEN", who)
        capsys.readouterr()
        status = run(list(arguments))
        told = capsys.readouterr()
        return status, json.loads(told.out) if "--json" in arguments else told.out, told.err

    return call


def test_from_registration_to_demotion(command: Any, server: tuple[str, Path], tmp_path: Path):
    name = "whole"
    status, made, _ = command("policy", "set", name, "--approvals", "1", "--json", who="root-admin")
    assert (status, made["aliases"]) == (0, ["champion"])
    status, out, err = command("register", name, "--model", "outputs.jsonl", "--suite", "suite.yaml")
    assert status == 0, err
    assert f"models:/{name}/1" in out
    assert f"stored in {server[0]}" in err
    reference = f"models:/{name}/1"
    status, again, _ = command("register", name, "--model", "outputs.jsonl", "--suite", "suite.yaml", "--json")
    assert (status, again["existing"], again["version"]) == (0, True, 1)

    status, _, err = command("promote", reference)
    assert (status, "no decision" in err) == (1, True)
    status, _, err = command("gate", reference)
    assert (status, "evalkit evaluate" in err) == (2, True)
    status, out, err = command("check", reference)
    assert status == 0, err
    assert f"PASS  {name} version 1" in out
    assert (server[1] / ".evalkit" / "submitted").is_dir()

    status, again, _ = command("check", reference, "--json")
    assert (status, again["outcome"]) == (0, "pass")
    status, card, _ = command("show", reference, "--json", who="vic-viewer")
    assert (status, card["verdict"]) == (0, "pass")
    assert "golden/exact_match" in {line["name"] for section in card["sections"] for line in section["lines"]}
    status, decided, _ = command("gate", reference, "--json")
    assert (status, decided["outcome"]) == (0, "pass")
    status, out, err = command("results", reference, "--format", "junit", who="vic-viewer")
    assert (status, "golden/exact_match" in out) == (0, True), err
    status, _, err = command("export", reference, "whole.zip", who="vic-viewer")
    assert (status, "needs the role evaluator" in err, (tmp_path / "whole.zip").exists()) == (1, True, False), err
    status, kept, err = command("export", reference, "whole.zip", "--json")
    assert (status, kept["bytes"]) == (0, (tmp_path / "whole.zip").stat().st_size), err
    assert not list((server[1] / ".evalkit" / "submitted").glob(".*"))
    status, _, err = command("gate", reference, who="eve-evaluator")
    assert (status, "submitted by ada" in err) == (1, True)

    status, _, err = command("promote", reference)
    assert (status, "0 of 1 approvals" in err) == (1, True), err
    status, _, err = command("approve", reference)
    assert (status, "needs the role approver" in err) == (1, True)
    status, out, _ = command("approve", reference, "--comment", "fine", who="bea-approver")
    assert (status, "approved" in out) == (0, True)
    status, out, err = command("promote", reference)
    assert (status, out) == (0, f"champion of {name} is now version 1\n"), err
    status, listed, _ = command("list", name, "--json", who="vic-viewer")
    assert [(item["aliases"], item["outcome"]) for item in listed] == [(["champion"], "pass")]

    status, _, err = command("demote", reference)
    assert (status, "approver" in err) == (1, True)
    status, out, _ = command("demote", f"models:/{name}@champion", who="bea-approver")
    assert (status, out) == (0, f"champion of {name} was taken away from version 1\n")
    status, report, _ = command("audit", "verify", "--json", who="vic-viewer")
    assert (status, report["intact"]) == (0, True)
    status, out, _ = command("audit", "export", who="vic-viewer")
    entries = [json.loads(line) for line in out.splitlines()]
    own = [(entry["kind"], entry["actor"]) for entry in entries if entry["name"] == name]
    assert [item for item in own if item[0] in {"evaluation", "approval", "promotion", "demotion"}] == [
        ("evaluation", "ada"), ("approval", "bea"), ("promotion", "ada"), ("demotion", "bea"),
    ]  # fmt: skip


def test_a_worse_version_beside_the_champion(command: Any, project_files: Any, tmp_path: Path):
    name = "compared"
    suite = (tmp_path / "suite.yaml").read_text()
    both = suite + "    - {metric: golden/exact_match, versus: champion, margin: 0.05}\n"
    (tmp_path / "suite.yaml").write_text(both)
    assert command("register", name, "--model", "outputs.jsonl", "--suite", "suite.yaml")[0] == 0
    assert command("check", f"models:/{name}/1")[0] == 0
    assert command("promote", f"models:/{name}/1")[0] == 0

    project_files(tmp_path, correct=0.3)
    (tmp_path / "suite.yaml").write_text(both)
    assert command("register", name, "--model", "outputs.jsonl", "--suite", "suite.yaml", "--json")[0] == 0
    status, decided, _ = command("check", f"models:/{name}/2", "--suite", "suite.yaml", "--json")
    assert (status, decided["outcome"], decided["champion"]) == (1, "fail", 1)
    status, _, err = command("promote", f"models:/{name}/2")
    assert (status, "may not be promoted" in err) == (1, True)
    status, moved, _ = command("promote", f"models:/{name}/2", "--override", "it must", "--json", who="bea-approver")
    assert (status, moved["override"], moved["actor"]) == (0, "it must", "bea")


def test_the_run_says_what_was_decided(command: Any, server: tuple[str, Path]):
    from mlflow import MlflowClient

    reference = "models:/told/1"
    command("register", "told", "--model", "outputs.jsonl", "--suite", "suite.yaml")
    assert command("check", reference)[0] == 0
    version = MlflowClient(server[0], server[0]).get_model_version("told", "1")
    assert version.tags["evalkit.verdict"] == "pass"
    run_ = MlflowClient(server[0], server[0]).get_run(version.tags["evalkit.run"])
    assert run_.data.tags["evalkit.verdict"] == "pass"
    assert run_.data.tags["evalkit.evaluation"] == version.tags["evalkit.evaluation"]


def test_on_the_server(command: Any, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch):
    """The worker is played by marking the row done: what it decided is then told."""
    from sqlalchemy import create_engine, text

    from evalkit.remote import work

    reference = "models:/queued/1"
    command("register", "queued", "--model", "outputs.jsonl", "--suite", "suite.yaml")
    engine = create_engine(f"sqlite:///{server[1] / 'mlflow.db'}")

    def worked(_: float) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE evalkit_outbox SET taken_at = 1, done_at = 2 WHERE done_at IS NULL"))

    monkeypatch.setattr(work.time, "sleep", worked)
    status, _, err = command("check", reference, "--on-server")
    assert (status, "came to no decision" in err) == (2, True), err
    status, _, err = command("check", reference, "--on-server", "--preset", "quick")
    assert (status, "full size" in err) == (2, True)
    engine.dispose()


def test_errors_are_one_line(command: Any, monkeypatch: pytest.MonkeyPatch, server: tuple[str, Path]):
    status, _, err = command("list", who="")
    assert (status, err.count("\n"), "EVALKIT_TOKEN" in err) == (1, 1, True)
    status, _, err = command("register", "x", "--model", "call:app:answer", "--suite", "suite.yaml")
    assert (status, err.count("\n")) == (2, 1)
    status, _, err = command("show", "models:/nobodys/1")
    assert (status, err.count("\n")) == (2, 1)
    monkeypatch.setenv("EVALKIT_SERVER", f"{server[0]}/somewhere")
    status, _, err = command("list")
    assert (status, "not older than this evalkit" in err) == (2, True), err
    monkeypatch.setenv("EVALKIT_SERVER", "http://127.0.0.1:9")
    status, _, err = command("list")
    assert (status, "cannot be reached" in err, err.count("\n")) == (2, True, 1), err
    for wrong in ("ftp://x", "http://me:secret@host", "host:5000"):
        monkeypatch.setenv("EVALKIT_SERVER", wrong)
        status, _, err = command("list")
        assert (status, "EVALKIT_SERVER" in err, "secret" not in err) == (2, True, True), err
    monkeypatch.delenv("EVALKIT_SERVER")
    status, _, err = command("check", "models:/x/1", "--on-server")
    assert (status, "--on-server needs a server" in err) == (2, True)


def test_an_endpoint_is_logged_by_the_server(command: Any, server: tuple[str, Path]):
    suite = "suite: asked\ntasks:\n  t: {data: golden.jsonl, columns: {id: id, prompt: question}, score: [empty]}\n"
    Path("asked.yaml").write_text(suite)
    model = "openai:/small@http://127.0.0.1:9/v1"
    status, made, err = command("register", "asked", "--model", model, "--suite", "asked.yaml", "--json")
    assert status == 0, err
    assert (made["generator"]["adapter"], made["kind"]) == ("openai", "llm")
    assert list((server[1] / "store").rglob("evalkit/suite-*.yaml"))
    assert not (server[1] / "mlruns").exists()


def test_functions_that_somebody_else_has_named_do_not_run_here(command: Any, tmp_path: Path):
    """A suite from the server names a Python function; so may a file that is one's own."""
    (tmp_path / "bot.py").write_text(
        "from pathlib import Path\n\ndef answer(prompt):\n    Path('ran').touch()\n    return prompt\n"
    )
    called = (tmp_path / "suite.yaml").read_text().replace("    outputs: outputs.jsonl\n", "")
    called = called.replace("    score:", '    generate: {call: "bot:answer"}\n    score:')
    (tmp_path / "called.yaml").write_text(called)
    status, _, err = command("register", "called", "--model", "outputs.jsonl", "--suite", "called.yaml")
    assert status == 0, err
    shutil.rmtree(tmp_path / ".evalkit")  # as on the machine of somebody else
    status, _, err = command("check", "models:/called/1")
    assert (status, "runs the Python function 'bot:answer'" in err) == (2, True), err
    assert not (tmp_path / "ran").exists()
    status, card, err = command("evaluate", "models:/called/1", "--suite", "called.yaml", "--json")
    assert (status, (tmp_path / "ran").exists()) == (0, True), err
    assert "golden/exact_match" in {line["name"] for section in card["sections"] for line in section["lines"]}
