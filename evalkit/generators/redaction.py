"""Keeps secrets out of messages that are shown and stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SHAPES = re.compile(
    r"(?P<key>\b(?:sk|pk|hf|ghp|gho|xox[abpr])[-_][A-Za-z0-9_-]{8,})"
    r"|(?P<bearer>(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,})"
    r"|(?P<url>(?<=://)[^/\s:@]+:[^/\s@]+(?=@))"
)
_SHORTEST = 4


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


def one_line(error: BaseException, limit: int = 300) -> str:
    """``ValueError: first line of the message``, at most `limit` characters."""
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
