"""Secrets are planted, everything is run, and everything that was written is searched for them."""

from __future__ import annotations

import http.server
import importlib.util
import io
import json
import logging
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests

from evalkit.cli.app import run
from evalkit.cli.failures import explain
from evalkit.config import without_password
from evalkit.generators.redaction import Redactor, redact_logs, redacted, secrets_of

ROOT = Path(__file__).parents[2]
KEY = "planted-api-key-1f7a"
PASSWORDS = {"database": "planted-db-word-2c9b", "http": "planted-http-word-3d8c", "admin": "planted-admin-word-4e7d"}
HOOK, SLACK, SHARED = "planted-hook-secret-5f6e", "planted/slack/6a5f", "planted-token-7b4a"
SECRETS = (KEY, *PASSWORDS.values(), HOOK, SLACK, SHARED)
POSTGRES = f"postgresql://eva:{PASSWORDS['database']}@127.0.0.1:1/evalkit"
HTTP = f"http://eva:{PASSWORDS['http']}@127.0.0.1:1"


class Endpoint(http.server.BaseHTTPRequestHandler):
    """A model that answers, an API that repeats the key in its errors, and a receiver that never accepts."""

    seen: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(str(self.headers.get("Authorization")))
        asked = body.get("messages", [{"content": "fail"}])[-1]["content"]
        if "fail" in asked:
            self._answer(400, {"error": {"message": f"the key {KEY} ({self.seen[-1]}) may not ask this"}})
            return
        message = {"role": "assistant", "content": asked.upper()}
        self._answer(200, {"id": "1", "choices": [{"index": 0, "message": message}], "usage": {"prompt_tokens": 1}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    handler = type("OneEndpoint", (Endpoint,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.seen
    server.shutdown()
    server.server_close()


SUITE = """suite: planted
tasks:
  asked:
    data: rows.jsonl
    columns: {prompt: question, expected: answers}
    generate: {env: [OPENAI_API_KEY], retries: 0}
    score: [exact_match]
gate: {coverage: 0.1, rules: [{metric: asked/exact_match, min: 0.01}]}
"""
MONITOR = """monitor: planted
source: {sql: {url: READER_URL, table: said}, columns: {time: time, output: output}}
checks: [{refusal: {}, alert: {max: 0.5}}]
notify: [{slack: SLACK_URL}, {webhook: HOOK_URL, secret: HOOK_SECRET, allow_private: true}]
"""


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """What every file says, with what is packed unpacked."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        yield str(file), file.read_bytes()
        if file.suffix == ".parquet":
            yield f"{file} (rows)", repr(pq.read_table(file).to_pylist()).encode()
        elif zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield from ((f"{file}:{name}", archive.read(name)) for name in archive.namelist())


def leaks(written: Iterator[tuple[str, bytes]] | list[tuple[str, bytes]]) -> list[str]:
    return [f"{place}: {secret}" for place, data in written for secret in SECRETS if secret.encode() in data]


def _serving() -> Any:
    spec = importlib.util.spec_from_file_location("fixtures_of_server", ROOT / "tests" / "server" / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_nothing_that_is_written_holds_a_planted_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], endpoint: tuple[str, list[str]]
) -> None:
    url, seen = endpoint
    (tmp_path / "evalkit.toml").touch()
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    questions = [f"q{n}" if n % 4 else f"fail {n}" for n in range(12)]
    rows = [{"id": str(n), "question": text, "answers": [text.upper()]} for n, text in enumerate(questions)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    planted = {
        "OPENAI_API_KEY": KEY, "READER_URL": POSTGRES, "HOOK_SECRET": HOOK, "HOOK_URL": f"{url}/hook",
        "SLACK_URL": f"https://127.0.0.1:1/services/{SLACK}", "EVALKIT_TOKEN": SHARED,
    }  # fmt: skip
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name, value in planted.items():
        monkeypatch.setenv(name, value)

    assert run(["register", "bot", "--model", f"openai:/tiny@{url}/v1", "--suite", "suite.yaml"]) == 0
    assert run(["evaluate", "models:/bot/1"]) == 0
    assert f"Bearer {KEY}" in seen  # it was used, and repeated to us
    run(["gate", "models:/bot/1"])
    assert run(["webhook", "add", f"{url}/hook", "--secret-env", "HOOK_SECRET", "--allow-private"]) == 0
    assert run(["monitor", "apply", "monitor.yaml"]) == 0
    assert run(["monitor", "run", "planted"]) != 0
    run(["worker", "--once"])
    for name, address in (("EVALKIT_DATABASE_URL", POSTGRES), ("MLFLOW_TRACKING_URI", HTTP)):
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv(name, address)
            for command in (["doctor"], ["list"], ["db", "check"], ["audit", "verify"], ["monitor", "list"]):
                run(command)

    said = capfd.readouterr()
    assert "may not ask this" in "".join(str(data) for _, data in contents(tmp_path / ".evalkit"))
    serving = _serving()
    pages = []
    more = {**planted, "EVALKIT_ADMIN_PASSWORD": PASSWORDS["admin"]}
    served = serving.start(tmp_path, "--auth", **more)
    try:
        for auth in (("admin", PASSWORDS["admin"]), ("admin", KEY)):
            for path in ("/evalkit", "/evalkit/models/bot/versions/1", "/evalkit/monitors/planted", "/evalkit/audit",
                         "/evalkit/api/v1/models/bot/versions/1", "/evalkit/api/v1/audit"):  # fmt: skip
                answer = requests.get(served.url + path, auth=auth, timeout=60)
                pages.append((path, answer.content))
        shared = requests.get(f"{served.url}/evalkit", headers={"Authorization": f"Bearer {SHARED}"}, timeout=60)
        assert shared.status_code == 401
    finally:
        serving.stop(served)
    assert any(b"bot" in content for _, content in pages)
    assert leaks([("stdout", said.out.encode()), ("stderr", said.err.encode()), *pages]) == []
    assert leaks(contents(tmp_path)) == []


def test_the_search_would_find_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"x {KEY} y")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in", HOOK * 50)
    pq.write_table(__import__("pyarrow").table({"a": [SLACK] * 3}), tmp_path / "c.parquet", compression="zstd")
    assert len(leaks(contents(tmp_path))) >= 3


SHAPES = (
    "sk-proj-abcdefgh12345678", "hf_abcdefghijklmnop", "ek_0123456789_abcdefghijklmnopqrstuvwxyz",
    "AKIAABCDEFGHIJKLMNOP",
    "Bearer abc.def-ghi123", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh",
)  # fmt: skip


@pytest.mark.parametrize("secret", SHAPES)
def test_what_looks_like_a_secret_is_told_by_nobody(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    from evalkit.cli.output import fail_line, note

    note(f"before {secret} after")
    fail_line(f"before {secret} after", as_json=True)
    told = capsys.readouterr()
    assert secret not in told.out + told.err
    assert "before [redacted] after" in told.out


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET https://x.test/a?b=1&api_key=hunter2hunter2&c=2", "&c=2"),
        ("https://hooks.slack.com/services/T0/B0/abcdef", "hooks.slack.com"),
        ("postgresql://eva:hunter2hunter2@db:5432/x", "db:5432/x"),
        ("redis://:hunter2hunter2@db/0", "db/0"),
    ],
)
def test_secrets_in_addresses(text: str, kept: str) -> None:
    told = Redactor()(text)
    assert "hunter2" not in told and "abcdef" not in told and kept in told


def test_what_is_no_secret_stays() -> None:
    plain = "models:/bot@champion task-1/token_f1 0.5 https://evalkit.test/a?page=2 sha256:0123456789 ek_0123456789"
    assert Redactor()(plain) == plain


def test_values_of_variables_that_name_secrets(tmp_path: Path) -> None:
    environment = {
        "OPENAI_API_KEY": "abcdefgh1", "X_PASSWORD": "abcdefgh2", "KEYBOARD": "abcdefgh3", "SHORT_KEY": "yes",
        "CREDENTIALS": str(tmp_path), "STORE": "postgresql://a:abcdefgh4@h/d",
    }  # fmt: skip
    assert set(secrets_of(environment)) == {"abcdefgh1", "abcdefgh2", "abcdefgh4"}


def test_logs_of_every_library_are_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ANY_TOKEN", KEY)
    before = logging.getLogRecordFactory()
    try:
        redact_logs()
        logger = logging.getLogger("somebody.elses")
        logger.warning("asked with %s at %s", KEY, POSTGRES)
        try:
            raise RuntimeError(f"refused {KEY}")
        except RuntimeError:
            logger.exception("failed")
        logger.warning("%d", "no number")
    finally:
        logging.setLogRecordFactory(before)
    assert KEY not in caplog.text and PASSWORDS["database"] not in caplog.text
    assert "RuntimeError: refused [redacted]" in caplog.text and "no number" in caplog.text
    assert redacted(KEY) == "[redacted]"


def test_a_line_of_access_is_without_secrets_and_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn's formatter reads the arguments of a record; without them each request would leave a traceback."""
    from uvicorn.logging import AccessFormatter

    monkeypatch.setenv("ANY_TOKEN", KEY)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False))
    logger = logging.Logger("uvicorn.access")
    logger.addHandler(handler)
    before = logging.getLogRecordFactory()
    try:
        redact_logs()
        for path in ("/plain", f"/evalkit?key={KEY}"):
            logger.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", path, "1.1", 200)
    finally:
        logging.setLogRecordFactory(before)
    assert written.getvalue().splitlines() == [
        '127.0.0.1:5 "GET /plain HTTP/1.1" 200 OK',
        '127.0.0.1:5 "GET /evalkit?key=[redacted] HTTP/1.1" 200 OK',
    ]


@pytest.mark.parametrize(
    "uri", [HTTP, POSTGRES, f"postgresql://h/d?password={PASSWORDS['database']}", f"https://{SHARED}@h/x"]
)
def test_addresses_of_stores_are_shown_without_passwords(uri: str) -> None:
    shown = without_password(uri)
    assert ("***" in shown or "hidden" in shown) and not leaks([("shown", shown.encode())])


def test_a_database_error_tells_no_statement() -> None:
    from sqlalchemy.exc import OperationalError

    error = OperationalError("SELECT :key", {"key": KEY}, Exception("connection refused"))
    assert KEY not in str(explain(error))
