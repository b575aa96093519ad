"""What a source is: rows in the order in which they came in, from a watermark on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from evalkit.monitoring.fields import Read

Watermark = Mapping[str, Any]
"""How far a source was read, JSON-ready; empty before the first read."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one step.

    Attributes:
        rows: as the source has them.
        watermark: where reading goes on after them.
    """

    rows: Read
    watermark: Watermark


class Source(Protocol):
    """Anything that generations are read from."""

    def read(self, watermark: Watermark) -> Iterator[Chunk]:
        """Yield what came in after the watermark, oldest first, in pieces that fit in memory.

        Raises:
            InputError: the source is not there or cannot be read.
        """
        ...
