"""How an alert reaches people: the log, a signed webhook, Slack-shaped JSON, e-mail.

Addresses and secrets are looked up in the environment when a message is sent; they are never stored, and nothing that
went wrong is told with them. Texts that come from data are escaped for the place where they appear.
"""

from __future__ import annotations

import base64
import html
import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from evalkit.worker.addresses import resolve
from evalkit.worker.sending import TIMEOUT, Answer, encode, post, post_signed
from metrics.errors import InputError
from registry.webhooks import check_url

Chart = Callable[[], bytes | None]
Say = Callable[[str], None]

_SENT = 200
_FORM = "smtps://user:password@host:port/?from=address&to=address (smtp:// for STARTTLS)"


def deliver(
    destination: Mapping[str, Any], message_id: str, message: Mapping[str, Any], chart: Chart,
    *, environment: Mapping[str, str], say: Say,
) -> Answer:  # fmt: skip
    """Send one message to one destination.

    Args:
        destination: as a monitor's file names it: one of ``log``, ``webhook``, ``slack``, ``email`` with the name of an
            environment variable, and ``allow_private``.
        message_id: the same on every repetition; receivers know one by it.
        message: ``type``, ``timestamp`` and ``data``, as `evalkit.monitoring.announcing.facts` writes them.
        chart: draws the picture, where the channel takes one.
        environment: where addresses and secrets are looked up.
        say: the log.
    """
    kind = next(name for name in ("log", "webhook", "slack", "email") if name in destination)
    if kind == "log":
        say(headline(message["data"]))
        return Answer(_SENT, "logged")
    private = bool(destination.get("allow_private"))
    try:
        address = _variable(environment, destination[kind])
        if kind == "email":
            return _mail(address, message_id, message["data"], chart, allow_private=private)
        check_url(address, private)
        if kind == "slack":
            body = json.dumps(slack_message(message["data"], environment.get("EVALKIT_PUBLIC_URL"))).encode("ascii")
            return post(address, body, {}, allow_private=private)
        secret = _variable(environment, destination.get("secret") or f"{destination[kind]}_SECRET")
    except InputError as error:
        return Answer(None, str(error))
    drawn = chart()
    data = dict(message["data"])
    if drawn is not None:
        data["chart"] = {"media_type": "image/png", "base64": base64.b64encode(drawn).decode("ascii")}
    return post_signed(address, message_id, encode({**message, "data": data}), secret, allow_private=private)


def headline(data: Mapping[str, Any]) -> str:
    """An alert in one line."""
    slice_ = f" [{data['slice']}]" if data["slice"] else ""
    what = "ALERT" if data["event"] == "opened" else "ended"
    told = f"{what}: {data['monitor']} {data['check']}/{data['key']}{slice_}, {data['rule']}: {data['reason']}"
    return " ".join(told.split())


def slack_message(data: Mapping[str, Any], public_url: str | None) -> dict[str, Any]:
    """An incoming webhook's JSON: `text` for notifications, `blocks` for the channel.

    Texts of data are plain text, in which nothing is a mention, a link or a format; `text` is escaped as Slack says.
    """
    fields = [_plain(f"{name}\n{text}", 1900) for name, text in _details(data)]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(headline(data), 150)},
        *({"type": "section", "fields": fields[at : at + 10]} for at in range(0, len(fields), 10)),
    ]
    if (link := _link(data, public_url)) is not None:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": f"<{link}|the model in MLflow>"}})
    return {"text": _escaped(headline(data))[:3000], "blocks": blocks}


def email_message(data: Mapping[str, Any], sender: str, receivers: str, png: bytes | None) -> EmailMessage:
    """An e-mail in text and HTML, the chart attached and shown."""
    message = EmailMessage()
    message["From"], message["To"] = sender, receivers
    message["Subject"] = f"[evalkit] {headline(data)}"[:200]
    details = _details(data)
    message.set_content("\n".join([headline(data), "", *(f"{name}: {text}" for name, text in details)]) + "\n")
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in details)
    picture = '<p><img src="cid:chart@evalkit" alt="the statistic and the number over time"></p>' if png else ""
    page = f"<h3>{html.escape(headline(data))}</h3><table>{rows}</table>{picture}"
    message.add_alternative(page, subtype="html")
    if png is not None:
        part = message.get_payload()[1]  # type: ignore[index]
        part.add_related(png, "image", "png", cid="<chart@evalkit>", filename="alert.png")  # type: ignore[union-attr]
    return message


def _details(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    window = data["window"]
    found = [
        ("monitor", str(data["monitor"])),
        ("model", str(data["model"] or "")),
        ("window", f"{window['start']} to {window['end']}"),
        ("value", _number(data["value"])),
        ("statistic", f"{_number(data['statistic'])}, alerts at {_number(data['threshold'])}"),
        ("samples", ", ".join(data["samples"])),
        ("look into it", f"evalkit alerts show {data['alert']}"),
        ("its rows", f"evalkit alerts samples {data['alert']}" if data["samples"] else ""),
        ("the window", f"evalkit monitor explain {data['monitor']} {window['start']}"),
    ]
    if data["closed"] is not None:
        found.insert(3, ("ended", str(data["closed"])))
    if data["statistic"] is None:
        found = [(name, text) for name, text in found if name not in {"statistic", "value"}]
    return [(name, text) for name, text in found if text]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _plain(text: str, most: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": text if len(text) <= most else text[: most - 1] + "…", "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(data: Mapping[str, Any], public_url: str | None) -> str | None:
    """The model's page in MLflow, where the environment says at which address people see it."""
    from urllib.parse import quote

    model = str(data["model"] or "")
    if public_url is None or not model.startswith("models:/"):
        return None
    parts = urlsplit(public_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(c in public_url for c in "<>| \n"):
        return None
    name = model.removeprefix("models:/").split("@")[0].split("/")[0]
    return f"{public_url.rstrip('/')}/#/models/{quote(name, safe='')}"


def _variable(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise InputError(f"the worker's environment has no {name}")
    return value


@dataclass(frozen=True, slots=True)
class _Server:
    """An SMTP server and who writes to whom."""

    host: str
    port: int
    secure: bool
    user: str | None
    password: str | None
    sender: str
    receivers: str


def _mail(address: str, message_id: str, data: Mapping[str, Any], chart: Chart, *, allow_private: bool) -> Answer:
    server = _server(address)
    message = email_message(data, server.sender, server.receivers, chart())
    message["Message-ID"] = f"<{message_id}@evalkit>"
    try:
        with _connected(server, resolve(server.host, server.port, allow_private=allow_private)) as client:
            if not server.secure:
                _start_tls(client, server, allow_private=allow_private)
            if server.user is not None:
                client.login(server.user, server.password or "")
            client.send_message(message)
    except InputError:
        raise
    except smtplib.SMTPResponseException as error:
        # Its text is the server's, which may repeat what we sent
        return Answer(None, f"the mail server {server.host} refused with {error.smtp_code}")
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return Answer(None, f"the mail server {server.host}: {type(error).__name__}")
    return Answer(_SENT, "accepted by the mail server")


def _server(address: str) -> _Server:
    try:
        parts = urlsplit(address)
        query = parse_qs(parts.query)
        secure, host = parts.scheme == "smtps", parts.hostname
        port = parts.port or (465 if secure else 587)
        sender, receivers = query["from"][0], ", ".join(query["to"])
    except (ValueError, KeyError):
        raise InputError(f"the e-mail's variable cannot be read; expected {_FORM}") from None
    if parts.scheme not in {"smtp", "smtps"} or not host or any(c in sender + receivers for c in "\r\n"):
        raise InputError(f"the e-mail's variable cannot be read; expected {_FORM}")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return _Server(host, port, secure, user, password, sender, receivers)


def _start_tls(client: smtplib.SMTP, server: _Server, *, allow_private: bool) -> None:
    client.ehlo()
    if client.has_extn("starttls"):
        client.starttls(context=ssl.create_default_context())
        client.ehlo()
    elif server.user is not None or not allow_private:
        raise InputError(f"the mail server {server.host} offers no STARTTLS; a password is not sent in the clear")


def _connected(server: _Server, address: str) -> smtplib.SMTP:
    """A client on the address that was checked, under the host's own name in TLS."""
    if server.secure:
        return _PinnedTls(server.host, server.port, address)
    return _Pinned(server.host, server.port, address)


class _Pinned(smtplib.SMTP):
    def __init__(self, host: str, port: int, address: str) -> None:
        self._address = address
        super().__init__(host, port, timeout=TIMEOUT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._address, port), timeout)


class _PinnedTls(smtplib.SMTP_SSL):
    def __init__(self, host: str, port: int, address: str) -> None:
        self._address = address
        super().__init__(host, port, timeout=TIMEOUT, context=ssl.create_default_context())

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((self._address, port), timeout)
        return self.context.wrap_socket(plain, server_hostname=host)
