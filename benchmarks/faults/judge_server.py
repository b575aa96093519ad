"""A judge's server on 127.0.0.1 that misbehaves as it is told: ``python judge_server.py PORT KEY``.

It speaks OpenAI's chat completions. The verdict follows from a mark in the prompt, ``item-17-good`` or
``item-17-bad``. ``PUT /mode`` with one of `MODES` says how it behaves from then on.
"""

from __future__ import annotations

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODES = ("well", "slow", "garbage", "429", "500", "revoked")
MARK = re.compile(rb"item-\d+-(good|bad)")
DELAY, SLOW = 0.004, 2.0


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    mode = "well"
    key = ""

    def do_PUT(self) -> None:
        """Change how the server behaves."""
        Handler.mode = self._body().decode()
        self._answer(200, b"{}")

    def do_POST(self) -> None:
        """Give a verdict, or what the mode says."""
        body, mode = self._body(), Handler.mode
        time.sleep(SLOW if mode == "slow" else DELAY)
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if mode == "revoked" or given != Handler.key:
            self._answer(401, json.dumps({"error": {"message": f"Incorrect API key provided: {given}"}}).encode())
        elif mode in {"429", "500"}:
            self._answer(int(mode), b'{"error": {"message": "not now"}}')
        elif mode == "garbage":
            self._answer(200, b"<html>\x00 an upstream's page")
        else:
            found = MARK.search(body)
            verdict = "pass" if found and found[1] == b"good" else "fail"
            text = json.dumps({"rationale": "so", "verdict": verdict})
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
            reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]}
            self._answer(200, json.dumps(reply | {"usage": usage}).encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Any number of connections at a time; those that end early are no news."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    Handler.key = sys.argv[2]
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
