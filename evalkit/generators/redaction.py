"""Keeps secrets out of messages that are shown, logged and stored."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

_SHAPES = re.compile(
    r"(?P<key>\b(?:sk|pk|hf|ghp|gho|ghs|glpat|github_pat|xox[abpr])[-_][A-Za-z0-9_-]{8,})"
    r"|(?P<ours>\bek_[0-9a-f]{10}_[A-Za-z0-9_-]{20,})"
    r"|(?P<cloud>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[A-Za-z0-9_-]{30,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|(?P<bearer>(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,})"
    r"|(?P<hook>(?<=hooks\.slack\.com/)services/[\w/-]+)"
    r"|(?P<query>(?<=[?&])(?i:[\w-]*(?:api_?key|token|secret|password|signature))=[^&\s'\"]+)"
    r"|(?P<url>(?<=://)[^/\s:@]*:[^/\s@]+(?=@))"
)
_SHORTEST = 4
_SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSW(?:OR)?D|CREDENTIALS?|PASSPHRASE)(?:_|$)", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_SHORTEST_OF_ENVIRONMENT = 8
"""Shorter values of variables are words such as ``none`` too, and would blot out what is no secret."""


class Redactor:
    """Replaces known secrets, and whatever looks like one, with ``[redacted]``."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret that contains another leaves no remainder.
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return _SHAPES.sub("[redacted]", text)


def secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """Values of variables whose names say that they are secret, and passwords inside URLs of any variable."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_OF_ENVIRONMENT and not os.path.exists(value):
            yield value
        yield from _PASSWORD.findall(value)


def redacted(text: str) -> str:
    """The text without secrets of this process's environment, nor what looks like one."""
    return _of_environment(frozenset(os.environ.items()))(text)


@lru_cache(maxsize=4)
def _of_environment(variables: frozenset[tuple[str, str]]) -> Redactor:
    """Kept, since every line of a log asks for it."""
    return Redactor(secrets_of(dict(variables)))


def redact_logs() -> None:
    """Have every log record of this process told without secrets, by whichever library; once is enough."""
    inner = logging.getLogRecordFactory()
    if getattr(inner, "redacts", False):
        return

    def make(*given: object, **named: object) -> logging.LogRecord:
        record = inner(*given, **named)
        _redact(record)
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter takes what it finds here, instead of writing the traceback itself
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return record

    make.redacts = True  # type: ignore[attr-defined]  # a mark on our function
    logging.setLogRecordFactory(make)


def _redact(record: logging.LogRecord) -> None:
    """Take secrets out of a record; its arguments stay what they are where they can, since formatters read them."""
    try:
        told = record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit their message: a mistake, still to be told
        record.msg, record.args = redacted(f"{record.msg} {record.args}"), ()
        return
    clean = redacted(told)
    if clean == told:
        return
    if isinstance(record.args, tuple):
        kept = tuple(redacted(given) if isinstance(given, str) else given for given in record.args)
        if redacted(str(record.msg) % kept) == clean:
            record.args = kept
            return
    record.msg, record.args = clean, ()


def one_line(error: BaseException, limit: int = 300) -> str:
    """``ValueError: first line of the message``, at most `limit` characters."""
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
