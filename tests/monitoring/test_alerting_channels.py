"""Alerts on their way: signed, escaped, with their chart, without secrets, to checked addresses, tried again."""

from __future__ import annotations

import base64
import datetime
import email
import email.policy
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evalkit.monitoring import channels
from evalkit.monitoring.announcing import facts
from evalkit.monitoring.channels import deliver, email_message, slack_message
from evalkit.monitoring.chart import chart_png, rows_of
from evalkit.worker.alerts import AlertDeliveries
from evalkit.worker.loop import Worker
from registry.alerts import Alerts, Reading
from registry.database import connect, upgrade, writing
from registry.outbox import ALERT, DONE, Outbox, put
from registry.tables_monitoring import AlertRow, MonitorRow, ReadingRow, WindowRow
from registry.webhooks import sign

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40
HOSTILE = "<!channel> <script>alert(1)</script> *bold* <https://evil.example|click>\r\nBcc: all@example.org"
DATA: dict[str, Any] = {
    "alert": "0190", "event": "opened", "monitor": "prod", "model": "models:/bot@champion", "check": "toxicity",
    "key": "toxicity", "slice": "tenant=" + HOSTILE, "rule": "max", "closed": None, "value": 0.12, "statistic": 1.0,
    "threshold": 1.0, "reason": "0.12 at n = 200: " + HOSTILE, "samples": ["row-1", HOSTILE],
    "window": {"start": "2026-05-07T00:00Z", "end": "2026-05-08T00:00Z"},
}  # fmt: skip
MESSAGE = {"type": "evalkit.alert.opened", "timestamp": 1_700_000_000_123, "data": DATA}


@dataclass
class Receiver:
    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(state.statuses.pop(0) if len(state.statuses) > 1 else state.statuses[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/services/T0/very-secret-path"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


class MailServer:
    """Takes one e-mail on a port of this machine; with a context it offers STARTTLS."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.said: list[str] = []
        self.body = b""
        self.encrypted = False
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(2)

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
            connection.settimeout(5)
            self._talk(connection)
        except OSError:
            return

    def _talk(self, connection: socket.socket) -> None:
        connection.sendall(b"220 here\r\n")
        stream = connection.makefile("rb")
        while line := stream.readline():
            said = line.decode("ascii", "replace").strip()
            self.said.append(said)
            word = said.split(" ")[0].upper()
            if word == "EHLO":
                offers = b"250-STARTTLS\r\n" if self._context and not self.encrypted else b""
                connection.sendall(b"250-here\r\n" + offers + b"250 AUTH PLAIN\r\n")
            elif word == "STARTTLS" and self._context:
                connection.sendall(b"220 go on\r\n")
                connection = self._context.wrap_socket(connection, server_side=True)
                stream, self.encrypted = connection.makefile("rb"), True
            elif word == "AUTH":
                connection.sendall(b"235 welcome\r\n")
            elif word == "DATA":
                connection.sendall(b"354 go on\r\n")
                while (part := stream.readline()) != b".\r\n":
                    self.body += part
                connection.sendall(b"250 taken\r\n")
            elif word == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 fine\r\n")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def sent(destination: dict[str, Any], environment: dict[str, str], png: bytes | None = PNG) -> tuple[Any, list[str]]:
    said: list[str] = []
    answer = deliver(
        {"allow_private": True, **destination}, "id-1", MESSAGE, lambda: png, environment=environment, say=said.append
    )
    return answer, said


def test_a_webhook_is_signed_and_has_the_chart(receiver: Receiver):
    answer, _ = sent({"webhook": "HOOK"}, {"HOOK": receiver.url, "HOOK_SECRET": SECRET})
    assert answer.accepted
    ((_, headers, body),) = receiver.got
    stamp = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == sign(SECRET, "id-1", stamp, body)
    told = json.loads(body)
    assert told["type"] == "evalkit.alert.opened"
    assert base64.b64decode(told["data"]["chart"]["base64"]) == PNG
    assert told["data"]["samples"][0] == "row-1"


def test_slack_text_of_data_is_no_markup(receiver: Receiver):
    answer, _ = sent({"slack": "SLACK"}, {"SLACK": receiver.url, "EVALKIT_PUBLIC_URL": "https://ml.example.org"})
    assert answer.accepted
    told = json.loads(receiver.got[0][2])
    assert "<!channel>" not in told["text"] and "&lt;!channel&gt;" in told["text"]
    texts = [block["text"] for block in told["blocks"] if "text" in block]
    texts += [one for block in told["blocks"] for one in block.get("fields", ())]
    marked = [text["text"] for text in texts if text["type"] == "mrkdwn"]
    assert marked == ["<https://ml.example.org/#/models/bot|the model in MLflow>"], "only our own link is markup"
    assert all(len(text["text"]) <= 2000 for text in texts)
    assert len(told["blocks"][0]["text"]["text"]) <= 150


def test_a_public_address_that_is_no_address_is_not_linked():
    for given in ("javascript:alert(1)", "https://a.example|b>", None):
        told = slack_message(DATA, given)
        assert "mrkdwn" not in json.dumps(told)


def test_an_email_is_escaped_and_has_the_chart():
    message = email_message(DATA, "evalkit@example.org", "team@example.org", PNG)
    parsed = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    assert parsed["Bcc"] is None and "\n" not in parsed["Subject"] and len(parsed["Subject"]) <= 200
    page = parsed.get_body(("html",))
    assert page is not None
    text = page.get_content()
    assert "<script>" not in text and "&lt;script&gt;" in text and "cid:chart@evalkit" in text
    images = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
    assert [image.get_payload(decode=True) for image in images] == [PNG]
    assert "evalkit alerts show 0190" in parsed.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    plain = email_message(DATA, "a@example.org", "b@example.org", None)
    assert not [part for part in plain.walk() if part.get_content_type() == "image/png"]


def test_an_email_with_a_password_goes_over_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = MailServer(context)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(channels.ssl, "create_default_context", lambda: trusting)
    address = (
        f"smtp://ann:p%40ss@127.0.0.1:{server.port}/?from=evalkit@example.org&to=team@example.org&to=b@example.org"
    )
    answer, _ = sent({"email": "MAIL"}, {"MAIL": address})
    server.close()
    assert answer.accepted, answer.detail
    assert server.encrypted
    login = next(line for line in server.said if line.startswith("AUTH"))
    assert server.said.index("STARTTLS") < server.said.index(login)
    assert base64.b64decode(login.split()[-1]) == b"\0ann\0p@ss"
    assert [line for line in server.said if line.lower().startswith("rcpt")][1].endswith("<b@example.org>")
    assert email.message_from_bytes(server.body)["Message-ID"] == "<id-1@evalkit>"


def test_a_password_is_not_sent_in_the_clear():
    server = MailServer()
    answer, said = sent({"email": "MAIL"}, {"MAIL": f"smtp://ann:hunter2@127.0.0.1:{server.port}/?from=a@b.c&to=d@e.f"})
    server.close()
    assert not answer.accepted and "STARTTLS" in answer.detail
    assert not [line for line in server.said if line.startswith("AUTH")]
    assert "hunter2" not in answer.detail + "".join(said)


def test_a_certificate_that_nobody_signed_is_refused(certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = MailServer(context)
    answer, _ = sent({"email": "MAIL"}, {"MAIL": f"smtp://ann:hunter2@127.0.0.1:{server.port}/?from=a@b.c&to=d@e.f"})
    server.close()
    assert not answer.accepted and "SSLCertVerificationError" in answer.detail


@pytest.mark.parametrize(
    ("destination", "environment", "says"),
    [
        ({"slack": "SLACK"}, {}, "no SLACK"),
        ({"webhook": "HOOK"}, {"HOOK": "http://127.0.0.1:9/a-secret"}, "no HOOK_SECRET"),
        ({"webhook": "HOOK"}, {"HOOK": "http://127.0.0.1:9/a-secret", "HOOK_SECRET": "a-secret"}, "at least 24"),
        ({"slack": "SLACK"}, {"SLACK": "ftp://127.0.0.1/a-secret"}, "https://host/path"),
        ({"slack": "SLACK"}, {"SLACK": "http://127.0.0.1:1/a-secret"}, "refused"),
        ({"slack": "SLACK", "allow_private": False}, {"SLACK": "https://127.0.0.1:9/a-secret"}, "private"),
        ({"email": "MAIL"}, {"MAIL": "smtp://user:a-secret@127.0.0.1/"}, "cannot be read"),
        ({"email": "MAIL"}, {"MAIL": "smtp://user:a-secret@127.0.0.1:1/?from=a@b.c&to=d@e.f"}, "127.0.0.1"),
        (
            {"email": "MAIL", "allow_private": False},
            {"MAIL": "smtps://user:a-secret@127.0.0.1:1/?from=a@b.c&to=d@e.f"},
            "private",
        ),
    ],
)
def test_what_goes_wrong_is_said_without_secrets(destination: dict[str, Any], environment: dict[str, str], says: str):
    answer, said = sent(destination, environment)
    assert not answer.accepted
    assert says in answer.detail
    assert "a-secret" not in answer.detail + "".join(said)


def _stored(database_url: str) -> tuple[Any, str]:
    """A database with one alert and the readings behind it."""
    engine = connect(database_url)
    upgrade(engine)
    common = {"workspace": "default", "created_at": 0}
    with writing(engine) as session:
        monitor = MonitorRow(
            id="m", **common, name="prod", status="active", model=None, digest="", source_digest="", watermark={},
            reads=0, first_event=None, last_event=None, refused={},
        )  # fmt: skip
        session.add(monitor)
        session.flush()
        for day in range(5):
            window = WindowRow(
                id=f"w{day}", **common, monitor_id="m", version_digest="", cadence="day", start=day, end=day + 1,
                revision=1, newest=True, status="ok", rows=1, late=0, watermark={}, contract=None, notes=[], usage={},
                finished_at=0,
            )  # fmt: skip
            session.add(window)
            session.flush()
            session.add(
                ReadingRow(
                    id=f"r{day}", **common, monitor_id="m", window_id=window.id, start=day * 86_400_000,
                    check="toxicity", key="toxicity", slice="", rule="max", status="ok", alerting=day == 4,
                    statistic=None if day == 2 else day / 4, threshold=1.0, warning=0.1, level=0.05, value=0.01 * day,
                    low=0.0, high=0.1, n=50, reason="",
                )
            )  # fmt: skip
        row = AlertRow(
            id="a", **common, monitor_id="m", window_id="w4", cadence="day", check="toxicity", key="toxicity",
            slice="", rule="max", opened_at=4 * 86_400_000, opened_until=5 * 86_400_000, closed_at=None, statistic=1.0,
            threshold=1.0, value=0.04, reason="why", samples=["x" * 500, "a\nb"], announced_at=1, acknowledged_at=None,
            acknowledged_by=None, silenced_until=None, comment="", action="",
        )  # fmt: skip
        session.add(row)
        session.flush()
        body = {
            "alert": "a", "destination": {"webhook": "HOOK", "allow_private": True},
            "message": {"type": "evalkit.alert.opened", "timestamp": 1, "data": facts(row, monitor, "opened")},
        }  # fmt: skip
        return engine, put(session, ALERT, body)


def test_a_worker_delivers_with_retries_and_stores_no_secret(database_url: str, receiver: Receiver):
    engine, item = _stored(database_url)
    receiver.statuses = [503, 204]
    said: list[str] = []
    environment = {"HOOK": receiver.url, "HOOK_SECRET": SECRET}
    work = AlertDeliveries(engine, environment=environment, schedule=(0.0,), say=said.append)
    Worker([work], poll=0.02, say=said.append).run(once=True)
    (found,) = Outbox(engine).items(ALERT)
    assert (found.id, found.outcome, found.attempts) == (item, DONE, 2)
    assert [headers["webhook-id"] for _, headers, _ in receiver.got] == [item, item]
    told = json.loads(receiver.got[-1][2])["data"]
    assert len(told["samples"][0]) == 200 and told["samples"][1] == "a b", "texts of data are cut and in one line"
    assert base64.b64decode(told["chart"]["base64"]).startswith(b"\x89PNG")
    everything = json.dumps([found.body, found.log]) + "".join(said)
    assert "very-secret-path" not in everything and SECRET not in everything
    engine.dispose()


def test_the_chart_draws_what_was_compared(tmp_path: Path):
    engine, _ = _stored(f"sqlite:///{tmp_path / 'evalkit.db'}")
    readings = Alerts(engine).readings(Alerts(engine).get("a"))
    assert [row["statistic"] for row in rows_of(readings)] == [0.0, 0.25, None, 0.75, 1.0]
    assert [row["value"] for row in rows_of(readings)] == [0.01 * day for day in range(5)]
    drawn = chart_png(readings, title="prod")
    assert drawn is not None and drawn.startswith(b"\x89PNG")
    empty = [Reading("w", 0, "no data", False, None, None, None, None, None, None, None, 0, "")]
    assert chart_png(empty, title="prod") is None
    engine.dispose()


def test_the_log_gets_one_line():
    _, said = sent({"log": True}, {})
    (line,) = said
    assert line.startswith("ALERT: prod toxicity/toxicity") and "\n" not in line and "\r" not in line
