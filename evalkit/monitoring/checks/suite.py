"""The model's suite run again on its golden data: answer quality between releases."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from evalkit.monitoring.checks.base import Beside, Check, Measured, Needs, Signal, Tools
from evalkit.monitoring.rows import WindowRows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, Strict
from evalkit.monitoring.states import States
from metrics.errors import InputError


class _Settings(Strict):
    """Settings; a text is `name`.

    Attributes:
        name: name of the model's suite, or its file below the monitor's folder.
        anew: whether the model is asked again for each window, as an endpoint may answer differently by then.
    """

    name: str = Field(min_length=1, max_length=500)
    anew: bool = False


class GoldenSuite(Check):
    """Every estimate of the watched model's suite, as a signal."""

    kind = "suite"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        given = {"name": spec.settings} if isinstance(spec.settings, str) else spec.settings
        self._given = _Settings.model_validate(given or {})
        if monitor.model is None:
            raise InputError("a suite judges a registered model; give the monitor a `model: models:/name@champion`")

    @property
    def needs(self) -> Needs:
        """The model that is evaluated; its suite by another name than its own is a file."""
        return Needs(watched=True)

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Evaluate the model that the monitor watches; what is stored of its outputs is generated again if asked."""
        if self._given.anew and (late := tools.too_late(self, rows.end)):
            return Measured(notes=[f"{self.address}: {late}"])
        stored = tools.evaluate(self._given.name, anew=self._given.anew)
        return Measured(signals=[Signal(item.name, item.slice, item.estimate) for item in stored])

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """None: a suite's estimates follow from no state of a window."""
        return []
