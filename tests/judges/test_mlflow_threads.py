"""A judge that asks a server, called by MLflow from many threads: every row is answered, many on their way at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import judges
from evalkit.judging.open import open_desk
from judges.ledger import MemoryLedger
from registry.judged import JudgeDefaults

THREADS = 12


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    lock = threading.Lock()
    now = most = 0


class _Model(BaseHTTPRequestHandler):
    """Scores an answer by the number in it, after a while."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(0.1)
        with self.server.lock:
            self.server.now -= 1
        place = next(place for place in range(1, 6) if f"number {place}." in asked)
        content = json.dumps({"rationale": f"it says {place}", "score": place})
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        told = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        body = json.dumps({**told, "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Model)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_threads_share_one_judge(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = f"openai:/m@http://127.0.0.1:{server.server_port}/v1"
    desk = open_desk(model, MemoryLedger(), JudgeDefaults(budget="1000 requests", concurrency=16), tmp_path)
    # The server answers by the output alone, whatever was asked: what a probe with another question would suspect
    definition = judges.load("helpfulness").definition.model_copy(update={"probe": "off"})
    scorer = judges.as_mlflow(judges.Judge.of(definition, desk), timeout=30)

    def ask(place: int) -> Any:
        text = f"answer {place} with the number {place % 5 + 1}."
        return scorer.run(inputs={"question": f"question {place}"}, outputs=text)

    with ThreadPoolExecutor(THREADS) as pool:
        given = list(pool.map(ask, range(3 * THREADS)))
    assert [one.value for one in given] == [place % 5 + 1 for place in range(3 * THREADS)]
    assert given[0].rationale == "it says 1"
    assert given[0].source.source_type == "LLM_JUDGE"
    assert server.most > 2
