"""What a judge is: whatever gives a verdict on one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from metrics.base import Score


@dataclass(frozen=True, slots=True)
class Sample:
    """What a judge sees of one sample.

    Attributes:
        id: unique within its task.
        output: what the model wrote; None where there is no usable output, and `error` says why.
        prompt, expected, context: what it was asked, the accepted answers, the texts it was given.
        row: further columns of the data.
    """

    id: str
    output: str | None
    prompt: str | None = None
    expected: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@runtime_checkable
class Judge(Protocol):
    """Anything with a name that scores samples one by one."""

    @property
    def name(self) -> str:
        """Name in reports and ledgers."""
        ...

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """Return one score per sample, in order; a sample that cannot be judged is unscored with a reason."""
        ...
