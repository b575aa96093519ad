"""Deliveries over real sockets: signed, pinned to a checked address, never redirected, tried again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from evalkit.worker import addresses, sending
from evalkit.worker.addresses import AddressRefusedError, refusal, resolve
from evalkit.worker.deliveries import Deliveries
from evalkit.worker.loop import Worker
from evalkit.worker.sending import send
from registry.database import connect, upgrade, writing
from registry.outbox import DELIVERY, DONE, DROPPED, FAILED, Outbox
from registry.webhooks import Webhook, add_webhook, announce, remove_webhook

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
MESSAGE = {"type": "evalkit.decision", "timestamp": 1_700_000_000_123, "data": {"model": "bot", "outcome": "pass"}}


@dataclass
class Receiver:
    """A receiver of webhooks on this machine; answers with the next of `statuses`, the last one for ever."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    location: str = ""
    delay: float = 0.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(state.delay)
            self.send_response(state.statuses.pop(0) if len(state.statuses) > 1 else state.statuses[0])
            if state.location:
                self.send_header("Location", state.location)
            self.end_headers()

        def do_GET(self) -> None:
            state.got.append(("GET " + self.path, {}, b""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/hook?team=a"
    yield state
    server.shutdown()
    server.server_close()


def hook(url: str, *, allow_private: bool = True, secret_env: str = "SECRET") -> Webhook:
    return Webhook("id", url, ("decision",), "*", secret_env, allow_private, "ann", 0)


def verify(headers: dict[str, str], body: bytes, secret: bytes = b"k" * 32) -> bool:
    """As a receiver does, by the specification, without our code."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(part, f"v1,{expected}") for part in headers["webhook-signature"].split())


# One request


def test_a_receiver_can_verify_what_it_gets(receiver):
    answer = send(hook(receiver.url), "msg-1", MESSAGE, {"SECRET": SECRET})
    assert (answer.accepted, answer.status) == (True, 204)
    ((path, headers, body),) = receiver.got
    assert path == "/hook?team=a"
    assert headers["webhook-id"] == "msg-1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert verify(headers, body)
    assert not verify(headers, body.replace(b"pass", b"fail"))
    assert not verify(headers, body, b"x" * 32)
    assert not verify({**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body)
    assert json.loads(body) == {**MESSAGE, "timestamp": "2023-11-14T22:13:20.123Z"}
    assert SECRET not in str(headers) + body.decode()


def test_without_its_secret_nothing_is_sent(receiver):
    answer = send(hook(receiver.url), "id", MESSAGE, {})
    assert (answer.status, answer.detail) == (None, "the worker's environment has no SECRET")
    answer = send(hook(receiver.url), "id", MESSAGE, {"SECRET": "short"})
    assert "at least 24" in answer.detail
    assert receiver.got == []


def test_redirects_are_not_followed(receiver):
    receiver.statuses, receiver.location = [302], receiver.url.replace("/hook", "/elsewhere")
    answer = send(hook(receiver.url), "id", MESSAGE, {"SECRET": SECRET})
    assert not answer.accepted
    assert "redirects are not followed" in answer.detail
    assert len(receiver.got) == 1


def test_private_addresses_are_refused_unless_allowed(receiver):
    with pytest.raises(AddressRefusedError, match=r"127\.0\.0\.1, which is private"):
        resolve("127.0.0.1", 80, allow_private=False)
    secure = receiver.url.replace("http://", "https://")
    answer = send(hook(secure, allow_private=False), "id", MESSAGE, {"SECRET": SECRET})
    assert "private" in answer.detail
    answer = send(hook(receiver.url, allow_private=False), "id", MESSAGE, {"SECRET": SECRET})
    assert "http://" in answer.detail
    assert receiver.got == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "169.254.169.254",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "224.0.0.1", "ff02::1",
        "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_lead_inside(address):
    assert refusal(address, allow_private=False) is not None


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "0.0.0.0"],
)
def test_where_clouds_hand_out_credentials_is_never_called(address):
    assert refusal(address, allow_private=True) is not None


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"])
def test_addresses_of_the_world(address):
    assert refusal(address, allow_private=False) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fd12::1", "::1"])
def test_addresses_of_ones_own_network_where_allowed(address):
    assert refusal(address, allow_private=True) is None


def answers(*texts):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 80)) for text in texts]


def test_one_private_address_among_several_is_enough(monkeypatch):
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *a, **k: answers("93.184.215.14", "10.0.0.1"))
    with pytest.raises(AddressRefusedError, match=r"10\.0\.0\.1"):
        resolve("hooks.example.org", 443, allow_private=False)


def test_the_name_is_looked_up_once_so_it_cannot_change_its_mind(receiver, monkeypatch):
    """DNS rebinding: checked as one address, connected to as another."""
    asked = []
    real = socket.getaddrinfo

    def rebinding(host, port, *more, **named):
        if host != "rebind.example.org":
            return real(host, port, *more, **named)
        asked.append(host)
        return answers("127.0.0.1" if len(asked) == 1 else "127.0.0.2")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = receiver.url.replace("127.0.0.1", "rebind.example.org")
    assert send(hook(url), "id", MESSAGE, {"SECRET": SECRET}).accepted
    assert asked == ["rebind.example.org"]
    ((_, headers, _),) = receiver.got
    assert headers["host"].startswith("rebind.example.org:")


def test_proxies_of_the_environment_are_not_used(receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert send(hook(receiver.url), "id", MESSAGE, {"SECRET": SECRET}).accepted


def test_a_receiver_that_is_silent_or_drips_holds_nobody(receiver, monkeypatch):
    monkeypatch.setattr(sending, "TIMEOUT", 0.3)
    receiver.delay = 1.0
    started = time.monotonic()
    assert send(hook(receiver.url), "id", MESSAGE, {"SECRET": SECRET}).status is None
    assert time.monotonic() - started < 0.9
    monkeypatch.setattr(sending, "TIMEOUT", 5.0)
    monkeypatch.setattr(sending, "DEADLINE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    while True:
                        connection.sendall(b"X: y\r\n")
                        time.sleep(0.1)
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        send(hook(url), "id", MESSAGE, {"SECRET": SECRET})
        assert time.monotonic() - started < 3


def test_nobody_there_is_an_answer_too():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answer = send(hook(f"http://127.0.0.1:{port}/"), "id", MESSAGE, {"SECRET": SECRET})
    assert "ConnectionRefusedError" in answer.detail


def test_a_certificate_that_is_not_the_hosts_is_refused(receiver):
    answer = send(hook(receiver.url.replace("http://", "https://")), "id", MESSAGE, {"SECRET": SECRET})
    assert "SSLError" in answer.detail


# Deliveries


@pytest.fixture
def engine(tmp_path):
    made = connect(f"sqlite:///{tmp_path / 'evalkit.db'}")
    upgrade(made)
    yield made
    made.dispose()


def tell(engine, name="bot"):
    with writing(engine) as session:
        announce(session, "decision", name, {"outcome": "pass"}, actor="ann")


def deliver(engine, schedule=(0.0, 0.0), **environment):
    said: list[str] = []
    work = Deliveries(engine, environment=environment or {"SECRET": SECRET}, schedule=schedule, say=said.append)
    Worker([work], say=said.append).run(once=True)
    return said


def items(engine):
    return Outbox(engine).items(DELIVERY)


def test_a_delivery_is_done_once_and_logged(engine, receiver):
    add_webhook(engine, receiver.url, secret_env="SECRET", allow_private=True)
    tell(engine)
    deliver(engine)
    deliver(engine)
    (item,) = items(engine)
    assert (item.outcome, item.attempts, item.log[0]["detail"]) == (DONE, 1, "HTTP 204")
    ((_, headers, body),) = receiver.got
    assert headers["webhook-id"] == item.id
    assert json.loads(body)["data"] == {"workspace": "default", "model": "bot", "actor": "ann", "outcome": "pass"}


def test_it_is_tried_again_under_the_same_id_until_accepted(engine, receiver):
    receiver.statuses = [500, 429, 200]
    add_webhook(engine, receiver.url, secret_env="SECRET", allow_private=True)
    tell(engine)
    for _ in range(3):
        deliver(engine)
    (item,) = items(engine)
    assert (item.outcome, item.attempts) == (DONE, 3)
    assert [entry["detail"] for entry in item.log] == ["HTTP 500", "HTTP 429", "HTTP 200"]
    assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {item.id}
    assert all(verify(headers, body) for _, headers, body in receiver.got)


def test_after_its_last_attempt_it_is_a_recorded_failure(engine, receiver):
    receiver.statuses = [500]
    add_webhook(engine, receiver.url, secret_env="SECRET", allow_private=True)
    tell(engine)
    said = [line for _ in range(4) for line in deliver(engine)]
    (item,) = items(engine)
    assert (item.outcome, item.attempts, len(receiver.got)) == (FAILED, 3, 3)
    assert any("failed for good: HTTP 500" in line for line in said)


def test_gone_means_gone(engine, receiver):
    receiver.statuses = [410]
    add_webhook(engine, receiver.url, secret_env="SECRET", allow_private=True)
    tell(engine)
    deliver(engine)
    assert items(engine)[0].outcome == FAILED


def test_a_webhook_that_was_removed_is_told_nothing(engine, receiver):
    made = add_webhook(engine, receiver.url, secret_env="SECRET", allow_private=True)
    tell(engine)
    remove_webhook(engine, made.id)
    Outbox(engine).reopen(items(engine)[0].id)
    deliver(engine)
    assert (items(engine)[0].outcome, receiver.got) == (DROPPED, [])


def test_one_that_fails_does_not_hold_up_the_others(engine, receiver):
    add_webhook(engine, "http://127.0.0.1:1/", secret_env="SECRET", allow_private=True)
    add_webhook(engine, receiver.url, secret_env="SECRET", allow_private=True)
    tell(engine)
    deliver(engine, schedule=(3600.0,))
    assert sorted(str(item.outcome) for item in items(engine)) == ["None", DONE]
