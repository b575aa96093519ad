"""What a check is: it measures the rows of a window into mergeable states, and turns states into signals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.rows import ALL, WindowRows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec
from evalkit.monitoring.states import StateKey, States
from judges.base import Usage, VerdictJudge
from metrics.base import Estimate
from registry.digests import digest

if TYPE_CHECKING:
    from evalkit.extractors.base import Extractor
    from evalkit.monitoring.pictures import Pictures

Verdict = Literal[
    "measured",
    "drift",
    "negligible",
    "no drift",
    "insufficient data",
    "learning",
    "no previous window",
    "budget spent",
    "failed",
    "no data",
]
"""What became of a signal: a number only, a verdict of a test, or why there is none."""
NO_DATA: Verdict = "no data"
SHOWN_SAMPLES = 20
"""Rows that a signal points to at most."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One estimate of one window.

    Attributes:
        key: which number of the check, such as ``latency.p95``.
        slice: ``language=de``; empty for all rows.
        estimate: the number.
        verdict: what became of it.
        reason: in words, where there is more to say.
        samples: ids of rows that show it best.
        p_value: of a test that compared the window with others; None where there was none.
    """

    key: str
    slice: str
    estimate: Estimate
    verdict: Verdict = "measured"
    reason: str = ""
    samples: Sequence[str] = ()
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a check found in the rows of a window.

    Attributes:
        states: mergeable states.
        samples: ids of rows that show a number best.
        notes: what somebody who reads the window should know.
        usage: what judges cost.
        limits: number to a verdict that is not its usual one, with the reason: a spent budget.
        signals: signals that follow from no state.
    """

    states: States = field(default_factory=dict)
    samples: Mapping[StateKey, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    usage: Usage = field(default_factory=Usage)
    limits: Mapping[str, tuple[Verdict, str]] = field(default_factory=dict)
    signals: Sequence[Signal] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What a window's states are compared with.

    Attributes:
        baseline: states of the windows that the monitor learnt from; None while it still learns.
        previous: states of the last window before it that had rows; None where there is none.
        trailing: states of the windows that began within the check's `trailing` before it, merged; None without any.
    """

    baseline: States | None = None
    previous: States | None = None
    trailing: States | None = None


class Tools(Protocol):
    """What a check is lent to measure with."""

    def judge(self, name: str, model: str | None) -> VerdictJudge:
        """A judge by file, shipped name, or ``suite`` for the groundedness judge of the model's suite."""
        ...

    def evaluate(self, suite: str | None, *, anew: bool = False) -> Sequence[Any]:
        """Estimates of the watched model on its suite, or the suite file of that name; `anew` asks the model again."""
        ...

    def answer(self, prompts: Sequence[str], *, seed: int, generate: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the watched model says now: ``output``, ``latency`` (seconds) and ``error`` of each prompt, in order."""
        ...

    def log_likelihoods(
        self, model: str | None, texts: Sequence[str], settings: Mapping[str, Any]
    ) -> Sequence[tuple[float, int]]:
        """Negative log-likelihood in nats and scored tokens of each text under a language model; None: the watched."""
        ...

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Rows of a table file below the monitor's folder."""
        ...

    def pictures(self, root: str) -> Pictures:
        """Reads images below a folder that lies in the monitor's."""
        ...

    def extractor(self, name: str) -> Extractor:
        """A feature extractor by name, or the ``.pt2`` file of that name below the monitor's folder."""
        ...

    def reference_features(self, dataset: str, column: str | None, extractor: str) -> NDArray[np.float32]:
        """Features ``[m, d]`` of a dataset's images, extracted once and kept."""
        ...

    def too_late(self, check: Check, end: int) -> str:
        """Why the model that answers now says nothing of a window that ended at `end`; empty where it does."""
        ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What a check needs beside a window's rows, so that a server can tell whether it takes it from a client.

    Attributes:
        judges: files of judges below the monitor's folder.
        tables: table files below it.
        folders: what else lies below it, in words: images, weights.
        models: models that are asked or loaded, by name.
        watched: whether the watched model is asked, or whatever its suite names.
        variables: environment variables that a model is handed.
    """

    judges: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    watched: bool = False
    variables: tuple[str, ...] = ()


class Check(ABC):
    """A check of a monitor. Subclasses write `measure` and `signals`, and a pydantic model of their settings.

    Args:
        spec: the check as it is written.
        monitor: the monitor that it belongs to.

    Raises:
        pydantic.ValidationError, InputError: settings that cannot be used.
    """

    kind: ClassVar[str]
    uses_others: ClassVar[bool] = False
    """Whether its signals compare a window with the baseline or the previous window."""
    Settings: ClassVar[type[BaseModel]]

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        self.spec, self.monitor = spec, monitor

    @property
    def trailing(self) -> int:
        """Milliseconds before a window whose states its signals are pooled with; 0 for a window by itself."""
        return 0

    @property
    def address(self) -> str:
        """Name in signals."""
        return self.spec.address

    @property
    def cadence(self) -> Cadence:
        """The windows that it looks at."""
        return Cadence.parse(self.spec.every or self.monitor.every)

    @property
    def against(self) -> tuple[str, ...]:
        """What it compares a window with."""
        return self.spec.against if self.uses_others else ()

    @property
    def identity(self) -> str:
        """Digest of what its states depend on: states of another identity are not compared or merged."""
        settings = self.spec.settings
        columns = self.monitor.source.columns.model_dump(mode="json", exclude_defaults=True)
        return digest({"kind": self.kind, "settings": settings, "columns": columns, "version": self.version})

    version: ClassVar[int] = 1
    """Raised when its states change their meaning."""

    @property
    def needs(self) -> Needs:
        """What it needs beside the rows."""
        return Needs()

    @abstractmethod
    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Return what the rows of a window, at least one, amount to."""

    @abstractmethod
    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """Return the signals of states, of one window or of several merged ones."""

    def enough(self, estimate: Estimate, slice_: str) -> tuple[Verdict, str]:
        """The verdict on a plain number: a slice needs the monitor's minimum of rows."""
        if slice_ != ALL and estimate.n < self.monitor.minimum:
            return "insufficient data", f"{estimate.n} rows; a verdict needs {self.monitor.minimum}"
        return "measured", ""
