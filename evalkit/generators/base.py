"""The contract of generators: requests in, generations out, one class for images and one for text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Modality = Literal["image", "text"]


class GenerationFailed(InputError):  # noqa: N818 - a state of the generator, as TimeoutExpired is
    """A generator that gives nothing usable: it could not be loaded, crashed, ran out of time or only errs."""


FOR_EVALKIT = frozenset({"call", "env", "price", "time_limit"})
"""Settings under a task's ``generate`` that evalkit reads itself and no generator sees."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one sample is made from.

    The result may depend on nothing but this and the generator's settings: not on the batch around it.
    """

    sample_id: str
    position: int
    seed: int
    prompt: str | None = None
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generation:
    """One output: `text`, or `image` as uint8 ``[height, width, 3]`` RGB; or `error` that says why there is none.

    `latency` is in seconds, as the caller waited; None lets evalkit use the batch's wall time, NaN means unknown.
    """

    text: str | None = None
    image: NDArray[np.uint8] | None = None
    latency: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """How likely a model finds a text: negative log-likelihood in nats over `tokens` predicted tokens."""

    nll: float
    tokens: int
    latency: float | None = None
    error: str | None = None


@runtime_checkable
class Generator(Protocol):
    """Anything that makes images or text."""

    modality: Modality

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return one generation per request, in order."""
        ...


@runtime_checkable
class LikelihoodModel(Protocol):
    """A text model that also tells how likely it finds a given text."""

    def log_likelihoods(self, texts: Sequence[str], settings: Mapping[str, Any]) -> list[LogLikelihood]:
        """Return one log-likelihood per text, in order."""
        ...
