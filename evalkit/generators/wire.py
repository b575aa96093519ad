"""What parent and worker say to each other: one JSON object a line."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evalkit.generators.base import GenerationFailed, Request
from metrics.errors import InputError


def encode(message: Mapping[str, Any]) -> bytes:
    """Return the message as one line."""
    try:
        return json.dumps(message, default=_plain).encode("utf-8", "surrogatepass") + b"\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"a value cannot be handed to the generator's process: {error}") from None


def decode(line: bytes) -> dict[str, Any]:
    """Read one line; anything but a JSON object raises `ValueError`."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"expected an object, got {type(message).__name__}")
    return message


def request_to_wire(request: Request) -> dict[str, Any]:
    """The request as a JSON-ready dictionary."""
    return asdict(request) | {"row": dict(request.row)}


def request_from_wire(data: Mapping[str, Any]) -> Request:
    """Rebuild a request."""
    return Request(**data)


def error_to_wire(message: str, *, failed: bool) -> dict[str, Any]:
    """A reply that says what went wrong; `failed` tells a failing model from input that cannot be used."""
    return {"error": message, "failed": failed}


def error_from_wire(reply: Mapping[str, Any]) -> InputError:
    """The exception that a reply stands for."""
    return GenerationFailed(str(reply["error"])) if reply.get("failed") else InputError(str(reply["error"]))


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if hasattr(value, "tolist") and not isinstance(value, (bytes, bytearray)):
        return value.tolist()
    raise TypeError(f"values of type {type(value).__name__} are not JSON; leave that column out of the rows")
