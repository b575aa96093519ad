"""The endpoint adapter against a small server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evalkit.generators.base import Request
from evalkit.generators.catalogue import create
from evalkit.generators.process import GeneratorProcess
from evalkit.models import describe_model
from evalkit.outputs import read_shard
from metrics.errors import InputError


class Handler(BaseHTTPRequestHandler):
    seen: list[dict[str, Any]]
    refused: int
    likelihood = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = type(self)
        kind.seen.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        if kind.refused > 0:
            kind.refused -= 1
            return self.answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
        if self.headers.get("Authorization") == "Bearer wrong":
            return self.answer(401, {"error": {"message": "bad key sk-1234567890abcdef"}})
        if body.get("messages", [{}])[-1].get("content") == "fail":
            return self.answer(400, {"error": {"message": "content filter for sk-1234567890abcdef"}})
        if "messages" in body:
            message = {"role": "assistant", "content": body["messages"][-1]["content"].upper()}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            return self.answer(200, {"id": "1", "choices": [{"index": 0, "message": message}], "usage": usage})
        logprobs = {"token_logprobs": [None, -1.5, -0.25], "tokens": ["a", "b", "c"]} if kind.likelihood else None
        return self.answer(200, {"id": "1", "choices": [{"index": 0, "text": body["prompt"], "logprobs": logprobs}]})

    def answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("OneServer", (Handler,), {"seen": [], "refused": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/v1", handler
        running.shutdown()
        thread.join()


def test_chat_through_the_child_with_its_key(
    server: tuple[str, type[Handler]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    monkeypatch.setenv("OPENAI_API_KEY", "right-key")
    asked = [Request(str(i), i, 2**40 + i, f"q{i}") for i in range(5)] + [Request("5", 5, 5, "fail")]
    with GeneratorProcess(describe_model(f"openai:/tiny@{url}"), env=["OPENAI_API_KEY"]) as process:
        info = process.write_shard(asked, {"temperature": 0, "system": "Be brief."}, tmp_path / "s.parquet")
    rows = read_shard(tmp_path / "s.parquet")[0].to_pylist()
    assert [row["text"] for row in rows[:5]] == ["Q0", "Q1", "Q2", "Q3", "Q4"]
    assert (rows[0]["prompt_tokens"], rows[0]["output_tokens"]) == (3, 2)
    assert 0 < rows[0]["latency"] <= info.seconds
    assert info.errors == 1 and "content filter for [redacted]" in rows[5]["error"]
    sent = next(body for body in handler.seen if body["messages"][-1]["content"] == "q1")
    assert sent["key"] == "Bearer right-key" and sent["seed"] == 1 and sent["temperature"] == 0
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."} and sent["model"] == "tiny"


def test_busy_server_is_asked_again(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    handler.refused = 2
    made = create(describe_model(f"openai:/tiny@{url}")).generate([Request("0", 0, 0, "q")], {})
    assert made[0].text == "Q" and len(handler.seen) == 3


def test_wrong_key_stops_the_run(server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(InputError, match=r"refuses the key.*HTTP 401"):
        create(describe_model(f"openai:/tiny@{server[0]}")).generate([Request("0", 0, 0, "q")], {})


def test_unreachable_server_is_an_error_of_the_sample() -> None:
    description = describe_model("openai:/tiny@http://127.0.0.1:9/v1", generator={"settings": {"retries": 0}})
    assert "Connection" in str(create(description).generate([Request("0", 0, 0, "q")], {})[0].error)


def test_likelihood_from_echoed_log_probabilities(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    generator: Any = create(describe_model(f"openai:/tiny@{url}"))
    found = generator.log_likelihoods(["abc"], {})
    assert (found[0].nll, found[0].tokens) == (1.75, 2)
    handler.likelihood = False
    with pytest.raises(InputError, match="does not tell log-likelihoods"):
        generator.log_likelihoods(["abc"], {})


def test_endpoint_addresses() -> None:
    assert describe_model("openai:/org/model")["model"] == "org/model"
    for bad in ("openai:/m@ftp://x/v1", "openai:/m@http://user:pass@x/v1", "openai:"):
        with pytest.raises(InputError):
            describe_model(bad)
