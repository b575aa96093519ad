"""Counterfactual probes: the model that answers now is asked prompts that differ only in a group's words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field, field_validator

from evalkit.monitoring.checks.base import Beside, Check, Measured, Needs, Signal, Tools
from evalkit.monitoring.checks.scorers import SCORERS, score_rows
from evalkit.monitoring.rows import ALL, WindowRows
from evalkit.monitoring.spec import CheckSpec, Columns, MonitorSpec, Strict
from evalkit.monitoring.states import StateKey, States, verdicts_state
from metrics.base import Estimate, FloatArray, State
from metrics.bias.counterfactual import (
    GENDER,
    ORIGIN,
    TEMPLATES,
    CounterfactualPrompt,
    counterfactual_prompts,
)
from metrics.bias.disparity import Disparity, counterfactual_gaps
from metrics.errors import InputError, did_you_mean
from registry.digests import digest

_SHIPPED = {"gender": GENDER, "origin": ORIGIN}
_TEMPLATE, _GROUP = "template", "group."
_SCORES = tuple(name for name, scorer in SCORERS.items() if set(scorer.needs) <= {"output", "latency"})
_MOST_PROMPTS = 20_000

Words = Mapping[str, tuple[Mapping[str, str], ...]]


def refuse_other_model(given: dict[str, Any]) -> dict[str, Any]:
    """Settings of a model without one that names another."""
    if "call" in given:
        raise ValueError("`call` names another model; the one that the monitor watches is asked")
    return given


def handed_over(generate: Mapping[str, Any]) -> tuple[str, ...]:
    """Environment variables that settings of a model hand to it."""
    named = generate.get("env") or []
    return tuple(map(str, named)) if isinstance(named, list) else (str(named),)


class _Settings(Strict):
    """Settings; a text is `groups`.

    Attributes:
        groups: ``gender``, ``origin``, or each group's variants: the words for the templates' fields.
        templates: prompts with fields in braces; the shipped ones by default.
        of: scores of the answers that are compared.
        repeats: how often each prompt is asked, each time with a seed of its own.
        generate: settings of the model, with ``env`` and ``time_limit`` as a task of a suite has them.
    """

    groups: str | dict[str, tuple[dict[str, str], ...]] = "gender"
    templates: tuple[str, ...] = Field(default=TEMPLATES, min_length=1, max_length=1000)
    of: tuple[str, ...] = Field(default=("toxicity", "refusal", "length"), min_length=1)
    repeats: int = Field(default=1, ge=1, le=1000)
    generate: dict[str, Any] = Field(default_factory=dict)

    _watched_only = field_validator("generate")(refuse_other_model)


class Probes(Check):
    """Gaps between groups on the same prompts, with simultaneous intervals clustered by template."""

    kind = "probes"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        given = {"groups": spec.settings} if isinstance(spec.settings, str) else spec.settings
        self._given = _Settings.model_validate(given or {})
        if monitor.model is None:
            raise InputError("probes ask a registered model; give the monitor a `model: models:/name@champion`")
        for name in self._given.of:
            if name not in _SCORES:
                raise InputError(f"no score '{name}'{did_you_mean(name, _SCORES)}; known are {', '.join(_SCORES)}")
        groups = self._groups()
        variants = sum(len(words) for words in groups.values())
        if (asked := variants * len(self._given.templates) * self._given.repeats) > _MOST_PROMPTS:
            raise InputError(f"{asked:,} probes for each window; at most {_MOST_PROMPTS:,} are asked")
        self._prompts = counterfactual_prompts(groups, self._given.templates)

    def _groups(self) -> Words:
        given = self._given.groups
        if not isinstance(given, str):
            if any("=" in name or "." in name for name in given):
                raise InputError("a group's name has a dot or an equals sign; name it with letters")
            return given
        if given not in _SHIPPED:
            raise InputError(
                f"no groups '{given}'{did_you_mean(given, _SHIPPED)}; known are {', '.join(_SHIPPED)}, or list them"
            )
        return _SHIPPED[given]

    @property
    def identity(self) -> str:
        """Digest of the prompts too, which may be shipped ones."""
        asked = [prompt.prompt for prompt in self._prompts]
        return digest({"check": super().identity, "prompts": asked})

    @property
    def needs(self) -> Needs:
        """The model that is asked."""
        return Needs(watched=True, variables=handed_over(self._given.generate))

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Ask the model and score its answers; the rows of the window only say which window it is."""
        if late := tools.too_late(self, rows.end):
            nothing = Estimate(math.nan, coverage=0.0, method="not asked", estimand="largest gap")
            return Measured(signals=[Signal(f"{name}.gap", ALL, nothing, "no data", late) for name in self._given.of])
        asked = [prompt for _ in range(self._given.repeats) for prompt in self._prompts]
        answers = tools.answer([one.prompt for one in asked], seed=rows.start, generate=self._given.generate)
        table = _as_rows(answers, rows)
        states: dict[StateKey, State] = {}
        for name in self._given.of:
            values = score_rows(name, table, np.arange(len(asked)))
            states[name, ALL] = _paired(asked, values)
        failed = [answer["error"] for answer in answers if answer["error"] is not None]
        notes = [f"{self.address}: {len(failed)} of {len(asked)} probes failed: {failed[0]}"] if failed else []
        return Measured(states, notes=notes)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """Each group's mean, each pair's gap, the largest gap, and smallest mean / largest."""
        found: list[Signal] = []
        for (name, _), state in states.items():
            quantity = SCORERS[name].quantity
            compared = counterfactual_gaps(
                {part.removeprefix(_GROUP): values for part, values in state.arrays.items() if part != _TEMPLATE},
                clusters=[str(number) for number in state.arrays[_TEMPLATE].tolist()],
                low=quantity.low, high=quantity.high, confidence=self.monitor.confidence,
            )  # fmt: skip
            found += _told(name, compared, self.monitor.confidence)
        return found


def _as_rows(answers: list[dict[str, Any]], window: WindowRows) -> WindowRows:
    """The answers as rows that scores read; their ids are their places."""
    from collections import Counter

    from evalkit.monitoring.fields import rows_of, to_table

    given = [{**answer, "id": str(place), "time": window.start} for place, answer in enumerate(answers)]
    table = to_table(rows_of(given), Columns(), now=window.end, refused=Counter())
    return WindowRows(table, window.start, window.end, salt="")


def _paired(asked: list[CounterfactualPrompt], values: FloatArray) -> State:
    """Scores of each group, pair by pair in the same order, and each pair's template."""
    groups = np.array([one.group for one in asked])
    templates = np.array([int(one.template.removeprefix("t")) for one in asked])
    parts = {_GROUP + name: values[groups == name] for name in sorted(set(groups.tolist()))}
    first = templates[groups == groups[0]]
    return verdicts_state({_TEMPLATE: first, **parts}, len(first))


def _told(name: str, compared: Disparity, confidence: float) -> list[Signal]:
    found = [Signal(name, f"group={group}", made) for group, made in compared.groups.items()]
    found += [Signal(f"{name}.gap.{a}.{b}", ALL, made) for (a, b), made in compared.gaps.items()]
    if compared.largest is None:
        nothing = Estimate(math.nan, coverage=0.0, method="not compared", estimand="largest gap", confidence=confidence)
        return [*found, Signal(f"{name}.gap", ALL, nothing, "insufficient data", "no pair of answers has a score")]
    far = max(
        (pair for pair in compared.gaps if math.isfinite(compared.gaps[pair].value)),
        key=lambda pair: abs(compared.gaps[pair].value),
    )
    high, low = far if compared.gaps[far].value >= 0 else far[::-1]
    found.append(Signal(f"{name}.gap", ALL, compared.largest, "measured", f"{high} against {low}"))
    ratio = Estimate(
        compared.ratio, n=compared.largest.n, coverage=compared.largest.coverage,
        method="no interval: of the groups furthest apart", estimand="smallest mean of a group / largest",
        confidence=confidence,
    )  # fmt: skip
    return [*found, Signal(f"{name}.ratio", ALL, ratio)]
