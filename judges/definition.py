"""What a judge is, written down: prompt, inputs, verdict, examples, model and sampling. Its digest is its version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from judges.digests import digest
from judges.yaml_source import Path
from metrics.errors import did_you_mean

Kind = Literal["scale", "labels", "pass_fail", "pairwise", "listwise", "groundedness", "self_consistency"]

Probe = Annotated[
    Literal["off", "suspicious", "always"],
    BeforeValidator(lambda given: "off" if given is False else given),  # what YAML 1.1 makes of a bare `off`
]
"""When a good verdict is asked for once more with the prompt of another sample."""

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")
"""An input in a prompt, such as ``{{ output }}`` or ``{{ row.language }}``."""

INPUTS: Mapping[str, tuple[str, ...]] = {
    "scale": ("prompt", "output", "expected", "context"),
    "labels": ("prompt", "output", "expected", "context"),
    "pass_fail": ("prompt", "output", "expected", "context"),
    "pairwise": ("prompt", "answers", "expected", "context"),
    "listwise": ("prompt", "answers", "expected", "context"),
    "groundedness": ("prompt", "claims", "context"),
    "self_consistency": ("prompt", "claims", "other"),
}
"""Inputs that a prompt of each kind may name, beside ``row.<column>`` and ``rubric``."""

NOT_SWAPPABLE = (
    "only a judge of kind scale, labels or pass_fail whose prompt needs both {{ prompt }} and {{ output }}, or of kind "
    "pairwise that needs {{ prompt }} and {{ answers }}, can be probed with another question"
)
"""Why `probe: always` is refused."""

_JUDGED: Mapping[str, tuple[str, ...]] = {
    "pairwise": ("answers",),
    "listwise": ("answers",),
    "groundedness": ("claims", "context"),
    "self_consistency": ("claims", "other"),
}
_GRADED = ("scale", "labels", "pass_fail")
_RESERVED = ("rationale", "score", "verdict")

Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(_Strict):
    """How the model is asked.

    Attributes:
        temperature: 0 is greedy.
        max_tokens: of a reply.
        seed: of the first repeat; further repeats count up from it. None leaves it to the server.
        top_logprobs: alternatives per token to ask for; above 0 the score is the expectation over the
            scale's tokens (G-Eval) where the server gives their log-probabilities.
    """

    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(1024, ge=16, le=32_768)
    seed: int | None = Field(None, ge=0, lt=2**31)
    top_logprobs: int = Field(0, ge=0, le=20)


class Passes(_Strict):
    """Scores that pass on a numeric scale: at least `min`, at most `max`."""

    min: float | None = None
    max: float | None = None


class Example(_Strict):
    """A worked example for the prompt: its inputs and the verdict that a careful judge gives."""

    prompt: str | None = None
    output: str
    expected: list[str] = []
    context: list[str] = []
    verdict: int | str
    rationale: str = ""


class Calibrated(_Strict):
    """What agreement with people a gate demands before it trusts the judge.

    Attributes:
        kappa: least Cohen's kappa.
        max_age: oldest calibration, such as ``90d``.
    """

    kappa: float = Field(ge=-1, le=1)
    max_age: str | None = Field(None, pattern=r"^[1-9][0-9]{0,4}d$")


class Definition(_Strict):
    """A judge as it is written down.

    Attributes:
        name: in suites, reports and ledgers.
        kind: what it gives: a score on a `scale`, one of `labels`, pass or fail, the better of two answers
            (`pairwise`), an order of several (`listwise`), the share of supported claims (`groundedness`), agreement
            with further draws (`self_consistency`).
        prompt: instructions with the inputs in double braces; see `INPUTS`.
        description: one line for people.
        rubric: what each verdict means; stands where the prompt says ``{{ rubric }}``, else after it.
        scale: lowest and highest whole number.
        labels: label to value, for `labels`.
        passes: which scores (``{min: 4}``) or labels (a list) pass.
        fields: further parts of the verdict, kept in its details: name to ``text``, ``number`` or a list of choices.
        optional: inputs that a sample may lack; without any other input of the prompt it is unscored.
        examples: worked examples.
        model: the model by name; None leaves it to the suite.
        sampling: how the model is asked.
        repeats: times that every sample is judged; the value is the mean, and the spread is reported.
        masked: names to hide in answers beside those of known models.
        max_chars: characters of one input above which its middle is left out.
        calibrated: what a gate demands; None demands nothing.
        probe: which outputs with a good verdict are shown once more as the answer to another question: those that a
            filter marks (`suspicious`), all (`always`) or none (`off`, for judges whose verdict does not depend on
            what was asked). Without effect where `swappable` is False, and for recorded replies.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    kind: Kind
    prompt: str = Field(min_length=1, max_length=100_000)
    description: str = ""
    rubric: str | None = None
    scale: tuple[int, int] | None = None
    labels: dict[Word, float] | None = None
    passes: Passes | list[str] | None = None
    fields: dict[str, Literal["text", "number"] | list[Word]] = {}
    optional: list[str] = []
    examples: list[Example] = Field([], max_length=50)
    model: str | None = None
    sampling: Sampling = Sampling()
    repeats: int = Field(1, ge=1, le=50)
    masked: list[Annotated[str, Field(min_length=2, max_length=80)]] = Field([], max_length=100)
    max_chars: int = Field(20_000, ge=200, le=1_000_000)
    calibrated: Calibrated | None = None
    probe: Probe = "suspicious"

    @property
    def swappable(self) -> bool:
        """Whether verdicts are on outputs as answers to the prompt: both are shown, and neither is optional."""
        if self.kind not in (*_GRADED, "pairwise"):
            return False
        needed = {"prompt", "answers" if self.kind == "pairwise" else "output"}
        return needed <= set(self.inputs) and not needed & set(self.optional)

    @cached_property
    def values(self) -> dict[str, float]:
        """Every verdict as it is written, and its value; empty for kinds that do not grade one output."""
        if self.kind == "pass_fail":
            return {"pass": 1.0, "fail": 0.0}
        if self.kind == "labels":
            return dict(self.labels or {})
        if self.kind == "scale" and self.scale is not None:
            return {str(number): float(number) for number in range(self.scale[0], self.scale[1] + 1)}
        return {}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Inputs that the prompt names, in order of appearance."""
        return tuple(dict.fromkeys(name for name in PLACEHOLDER.findall(self.prompt) if name != "rubric"))

    def passed(self, value: float, label: str | None) -> bool | None:
        """Whether a verdict passes; None where the definition does not say what does."""
        if isinstance(self.passes, list):
            return None if label is None else label in self.passes
        if self.passes is not None:
            low, high = self.passes.min, self.passes.max
            return (low is None or value >= low) and (high is None or value <= high)
        return value >= 0.5 if self.kind == "pass_fail" else None

    def good(self, value: float, label: str | None) -> bool:
        """Whether a verdict passes; where nothing says what does, whether it is not in the lower half of the values."""
        passed = self.passed(value, label)
        return 2 * value >= min(self.values.values()) + max(self.values.values()) if passed is None else passed

    @cached_property
    def request_digest(self) -> str:
        """Digest of what its requests depend on: what the ledger keys replies by.

        What passes, the number of repeats, the probe and the demanded calibration are not in it: changing them buys
        no verdict again.
        """
        return digest(self._content(exclude={"passes", "repeats"}))

    @cached_property
    def version(self) -> str:
        """Digest of everything that its verdicts depend on, apart from the model's name."""
        # A judge that is not probed has the version that it had before there was a probe
        probe = {"probe": self.probe} if self.swappable and self.probe != "off" else {}
        return digest(self._content(exclude=set()) | probe)

    def _content(self, exclude: set[str]) -> dict[str, Any]:
        left_out = {"description", "calibrated", "model", "probe"} | exclude
        return self.model_dump(mode="json", exclude_defaults=True, exclude=left_out)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for path, message, offset in self._problems():
            raise PydanticCustomError("judge", "{message}", {"message": message, "path": path, "offset": offset})
        return self

    def _problems(self) -> Iterator[tuple[Path, str, int]]:
        """Place, message and the number of lines into the text at that place."""
        if self.probe == "always" and not self.swappable:
            yield ("probe",), NOT_SWAPPABLE, 0
        for path, message in [*self._grading_problems(), *self._field_problems()]:
            yield path, message, 0
        known = (*INPUTS[self.kind], "rubric")
        for match in PLACEHOLDER.finditer(self.prompt):
            name = match[1]
            if name not in known and not re.fullmatch(r"row\.\w+", name):
                yield (
                    ("prompt",),
                    f"a {self.kind} judge has no input '{name}'{did_you_mean(name, known)}; it has {', '.join(known)} "
                    "and row.<column>",
                    self.prompt[: match.start()].count("\n"),
                )
        for name in _JUDGED.get(self.kind, ()):
            if name not in self.inputs:
                yield ("prompt",), f"the prompt of a {self.kind} judge must say where {{{{ {name} }}}} goes", 0
        if self.kind in _GRADED and not self.inputs:
            yield ("prompt",), "the prompt names no input; say where {{ output }} goes", 0
        for place, name in enumerate(self.optional):
            if name not in self.inputs:
                yield ("optional", place), f"'{name}' is not an input of the prompt{did_you_mean(name, self.inputs)}", 0

    def _grading_problems(self) -> Iterator[tuple[Path, str]]:
        if (self.scale is not None) != (self.kind == "scale"):
            yield ("scale",), "`scale` belongs to a judge of kind scale, and that one needs it: scale: [1, 5]"
        if self.scale is not None and not 1 <= self.scale[1] - self.scale[0] <= 100:
            yield ("scale",), f"a scale has 2 to 101 whole numbers, lowest first; got {list(self.scale)}"
        if (self.labels is not None) != (self.kind == "labels"):
            yield ("labels",), "`labels` belong to a judge of kind labels, and that one needs them: {good: 1, bad: 0}"
        if self.labels is not None and not 2 <= len(self.labels) <= 20:
            yield ("labels",), f"2 to 20 labels are needed, got {len(self.labels)}"
        if self.passes is not None:
            yield from self._passes_problems(self.passes)
        for place, example in enumerate(self.examples):
            if not self.values:
                yield ("examples", place), f"a {self.kind} judge takes no examples; describe the task in the prompt"
            elif str(example.verdict) not in self.values:
                allowed = ", ".join(self.values)
                yield ("examples", place, "verdict"), f"'{example.verdict}' is not a verdict of this judge: {allowed}"

    def _passes_problems(self, passes: Passes | list[str]) -> Iterator[tuple[Path, str]]:
        if isinstance(passes, list):
            if self.kind != "labels":
                yield ("passes",), "a list of passing labels belongs to a judge of kind labels"
            for place, label in enumerate(passes):
                if label not in self.values:
                    yield ("passes", place), f"'{label}' is not a label{did_you_mean(label, self.values)}"
        elif self.kind in {"labels", "pass_fail"}:
            yield ("passes",), "say which labels pass as a list; for kind pass_fail that is settled"
        elif passes.min is None and passes.max is None:
            yield ("passes",), "say what passes: {min: 4} or {max: 2}"

    def _field_problems(self) -> Iterator[tuple[Path, str]]:
        for name, kind in self.fields.items():
            if self.kind not in _GRADED:
                yield ("fields", name), f"a {self.kind} judge takes no further fields"
            elif not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in _RESERVED:
                yield ("fields", name), f"'{name}' cannot be a field: a lower-case word, not {', '.join(_RESERVED)}"
            elif isinstance(kind, list) and len(kind) < 2:
                yield ("fields", name), "a field with choices needs at least two"
