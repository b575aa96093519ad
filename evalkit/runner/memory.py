"""Memory that was freed but is kept by allocators, given back to the system between steps."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import pyarrow as pa


def give_back() -> None:
    """Return what Arrow and the C library hold free; a few milliseconds.

    Shards of different sizes come and go in several threads: without this the holes that they leave add up with the
    number of shards. It does nothing where the C library has no ``malloc_trim``.
    """
    pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return found
