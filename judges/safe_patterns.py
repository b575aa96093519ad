"""Regular expressions whose matching time is bounded."""

from __future__ import annotations

import math
import re
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from metrics.errors import InputError

MOST_WAYS = 100_000
"""Ways to match from one position. Python's engine tries them one after the other, so this bounds its time."""

_SINGLE = {ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN, ops.AT}


def compile_safe(name: str, pattern: str, length: int) -> re.Pattern[str]:
    """Compile a pattern for texts of at most `length` characters, without regard to case.

    Raises:
        InputError: it is not a regular expression, or there are more than `MOST_WAYS` ways in which it could
            match from one position, as in ``(a+)+``; `name` is the judge's.
    """
    if not isinstance(pattern, str) or not pattern or len(pattern) > 1000:
        raise InputError(f"judge '{name}': a pattern is a text of 1 to 1000 characters, got {str(pattern)[:40]!r}")
    try:
        ways = _ways(_parser.parse(pattern, re.IGNORECASE), length)
        compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"judge '{name}': {pattern[:60]!r} is not a regular expression ({error})") from None
    if ways > MOST_WAYS:
        raise InputError(
            f"judge '{name}': {pattern[:60]!r} can match in too many ways to be safe on hostile text; use bounded "
            "repetition, without repetition inside repetition, and no look-around or back-reference"
        )
    return compiled


def _ways(tree: Any, length: int) -> float:
    """Upper bound of the ways in which a parsed pattern matches from one position."""
    total = 1.0
    for operation, argument in tree:
        if operation in _SINGLE:
            continue
        if operation is ops.SUBPATTERN:
            total *= _ways(argument[3], length)
        elif operation is ops.BRANCH:
            total *= sum(_ways(branch, length) for branch in argument[1])
        elif operation in {ops.MAX_REPEAT, ops.MIN_REPEAT}:
            total *= _repeated(argument, length)
        else:
            return math.inf
        if total > MOST_WAYS:
            return math.inf
    return total


def _repeated(argument: Any, length: int) -> float:
    fewest, most, body = int(argument[0]), min(int(argument[1]), length), argument[2]
    inner = _ways(body, length)
    if inner == 1:
        return max(1, most - fewest + 1)
    if most * math.log(inner) > math.log(MOST_WAYS):
        return math.inf
    return sum(inner**count for count in range(fewest, most + 1))
