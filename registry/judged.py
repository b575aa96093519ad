"""Scores that a judge gives, as suites write them: ``{judge: …}``, ``{classifier: …}`` or ``{replay: …}``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from judges.budget import Budget
from judges.definition import Probe
from judges.prices import parse_price
from metrics.base import Direction

KINDS = ("judge", "classifier", "replay")
"""The keys that make a score a judged one."""
JUDGE_FILES = (".md", ".yaml", ".yml")
"""How the name of a judge's own file ends."""
_NOT_A_NAME = re.compile(r"[^a-z0-9_]+")
REGISTERED = "mlflow:"
"""How the name of a judge that is registered in MLflow starts."""
_REGISTERED = re.compile(r"^mlflow:(?P<experiment>.+)/(?P<name>[^/]+)/(?P<version>[1-9]\d*)$")
_AGE = re.compile(r"^\s*(\d+)\s*(d|days?|h|hours?|w|weeks?)\s*$")
_HOURS = {"h": 1, "d": 24, "w": 168}


def parse_age(given: object) -> int:
    """Turn ``90d``, ``12 h`` or ``2 weeks`` into hours."""
    match = _AGE.match(str(given))
    if match is None:
        raise ValueError(f"expected an age such as 90d, 12h or 2w, got {given!r}")
    return int(match[1]) * _HOURS[match[2][0]]


def _budget(given: str) -> str:
    Budget.parse(given)
    return given


def _price(given: dict[str, float | str]) -> dict[str, float | str]:
    parse_price(given)
    return given


Age = Annotated[
    int, BeforeValidator(parse_age), WithJsonSchema({"type": "string", "pattern": _AGE.pattern}, mode="validation")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Demand(_Strict):
    """What a judge must have shown against people's labels before a gate takes its word.

    Attributes:
        kappa, accuracy, tpr, tnr: least values; each is compared with the lower end of its interval.
        max_age: how old the calibration may be, in hours.
    """

    kappa: float | None = Field(default=None, ge=-1, le=1)
    accuracy: float | None = Field(default=None, ge=0, le=1)
    tpr: float | None = Field(default=None, ge=0, le=1)
    tnr: float | None = Field(default=None, ge=0, le=1)
    max_age: Age | None = None


class Judged(_Strict):
    """Where a judged score comes from; exactly one of `judge`, `classifier` and `replay` is given.

    Attributes:
        judge: a judge's file below the suite's folder (``judges/helpful.md``), the name of one that is shipped, or
            one of `make_judge` that is registered in MLflow (``mlflow:EXPERIMENT/NAME/VERSION``).
        order: of a judge of MLflow: its categories from worst to best, which become 0 to 1.
        classifier: a classifier of texts or images by Hugging Face name, or its folder below the suite's folder.
        replay: files of recorded verdicts below the suite's folder.
        label: the classifier's label whose probability is the score.
        threshold: from where on a sample counts in ``.rate``; by default the judge's own, 0.5 for classifiers.
        column: the recorded verdict's column.
        scale: lowest and highest recorded verdict; values are then shown from 0 to 1.
        model: instead of the suite's `judge: model`.
        repeats: verdicts per sample.
        probe: instead of the judge's own: which outputs with a good verdict are shown again as the answer to another
            question (``off``, ``suspicious`` or ``always``).
        baseline: for comparing judges: the column of the data with the output to compare with.
        better: which direction is better; by default higher, for classifiers lower.
        complement: score one minus the verdict, so that `.rate` is the share of samples that fall short of a whole one:
            hallucination is the complement of groundedness.
        calibrated: what a gate demands of the judge.
    """

    judge: str | None = Field(default=None, min_length=1, max_length=200)
    classifier: str | None = Field(default=None, min_length=1, max_length=200)
    replay: tuple[str, ...] | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, alias="as", pattern=r"^[a-z0-9_]{1,60}$")
    label: str | None = None
    threshold: float | None = None
    column: str = "verdict"
    scale: tuple[float, float] | None = None
    model: str | None = None
    repeats: int | None = Field(default=None, ge=1, le=100)
    probe: Probe | None = None
    baseline: str | None = None
    order: tuple[str, ...] | None = Field(default=None, min_length=2)
    better: Direction | None = None
    complement: bool = False
    calibrated: Demand | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.classifier is not None and self.label is None:
            raise ValueError(f"classifier '{self.classifier}' needs the `label` whose probability is the score")
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError(f"`scale` is [lowest, highest], got [{self.scale[0]:g}, {self.scale[1]:g}]")
        only: dict[str, tuple[object, Literal["judge", "classifier", "replay"]]] = {
            "label": (self.label, "classifier"),
            "scale": (self.scale, "replay"),
            "model": (self.model, "judge"),
            "repeats": (self.repeats, "judge"),
            "probe": (self.probe, "judge"),
            "baseline": (self.baseline, "judge"),
            "order": (self.order, "judge"),
            "complement": (self.complement or None, "judge"),
        }
        for key, (value, kind) in only.items():
            if value is not None and kind != self.kind:
                raise ValueError(f"`{key}` belongs to a `{kind}`, and this is a `{self.kind}`")
        self._fits_registered()
        return self

    def _fits_registered(self) -> None:
        if self.registered is None:
            if self.order is not None:
                raise ValueError("`order` belongs to a judge of MLflow; other judges say what their labels are worth")
            return
        if not _REGISTERED.match(self.judge or ""):
            raise ValueError(f"a judge of MLflow is written mlflow:EXPERIMENT/NAME/VERSION, got '{self.judge}'")
        for key in ("model", "repeats", "probe", "baseline", "complement"):
            if getattr(self, key) not in (None, False):
                raise ValueError(f"`{key}` cannot be given to a judge of MLflow; register another version of it")

    @property
    def registered(self) -> tuple[str, str, int] | None:
        """Experiment, name and version of a judge of MLflow; None where it is none."""
        if self.judge is None or not self.judge.startswith(REGISTERED):
            return None
        match = _REGISTERED.match(self.judge)
        return (match["experiment"], match["name"], int(match["version"])) if match else ("", "", 0)

    @property
    def kind(self) -> Literal["judge", "classifier", "replay"]:
        """Which of the three it is."""
        if self.judge is not None:
            return "judge"
        return "classifier" if self.classifier is not None else "replay"

    @property
    def direction(self) -> Direction:
        """Which direction is better."""
        return self.better or ("lower" if self.kind == "classifier" or self.complement else "higher")

    @property
    def address(self) -> str:
        """Name in addresses such as ``task/helpful``: the given one, the label, or the file's name."""
        named = self.registered[1] if self.registered else self.judge
        given = self.name or self.label or (named or self.column).rpartition("/")[2].partition(".")[0]
        return _NOT_A_NAME.sub("_", given.lower()).strip("_") or "judged"


class JudgeDefaults(_Strict):
    """What judges of a suite use unless they say otherwise.

    Attributes:
        model: such as ``openai:/pinned-snapshot``; without one, language-model judges cannot run.
        budget: what one evaluation may spend at most: ``5 USD``, ``2000 requests, 1M tokens``. By default 5 USD where
            the model has a price.
        price: US dollars per million tokens, where the list of prices is wrong or silent: ``{input: 1, output: 2}``.
        concurrency: requests at once, at most; the pace adapts below it.
    """

    model: str | None = Field(default=None, min_length=1, max_length=200)
    budget: Annotated[str, AfterValidator(_budget)] | None = None
    price: Annotated[dict[str, float | str], AfterValidator(_price)] | None = None
    concurrency: int = Field(default=16, ge=1, le=1024)
