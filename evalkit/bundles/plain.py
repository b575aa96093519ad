"""JSON that every part of us can keep: what digests refuse, and what databases cannot store, is refused at the door."""

from __future__ import annotations

import math
from typing import Any

from metrics.errors import InputError

_DEEPEST = 50
_LARGEST = 2**53


def check_plain(value: Any, what: str, depth: int = 0) -> None:
    """Refuse numbers that JSON has not, integers that lose digits, zero bytes, half characters, and deep nesting.

    Raises:
        InputError: one line; `what` names the document.
    """
    if depth > _DEEPEST:
        raise InputError(f"{what} is nested more than {_DEEPEST} levels deep")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise InputError(f"{what} holds a text with a zero byte, or with half a character")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_plain(key, what, depth)
            check_plain(item, what, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_plain(item, what, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{what} holds a number that is not finite")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise InputError(f"{what} holds a whole number beyond 2^53")
