"""The monitor as people write it (a pydantic model of the YAML); `evalkit.monitoring.definition` reads files."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from evalkit.monitoring.cadence import DAY_MS, Cadence, parse_span
from judges.budget import Budget
from registry.spec import NAME, Quantity

MEASURES = (
    "operational",
    "toxicity",
    "refusal",
    "hallucination",
    "drift",
    "groups",
    "suite",
    "probes",
    "perplexity",
    "images",
    "stereotypes",
)
"""The checks that a monitor may name."""
_COMMON = ("alert", "against", "every", "slices", "as")
_RATE = re.compile(r"^\s*(\d+)\s*(?:/\s*day)?\s*$")
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"


def parse_per_day(given: object) -> int:
    """Turn ``200/day`` or ``200`` into a number of rows a day."""
    match = _RATE.match(str(given)) if not isinstance(given, bool) else None
    if match is None or int(match[1]) < 1:
        raise ValueError(f"expected a number of rows such as 200/day, got {given!r}")
    return int(match[1])


def _cadence(given: str) -> str:
    Cadence.parse(given)
    return given


def _daily_budget(given: str) -> str:
    if not Budget.parse(given).daily:
        raise ValueError(f"a monitor's budget is for each day, such as '{given}/day'")
    return given


def _redaction(given: str) -> str:
    if given not in {"email", "phone"} and ":" not in given:
        raise ValueError(f"expected email, phone or module:function such as app.privacy:scrub, got '{given}'")
    return given


Span = Annotated[
    int,
    BeforeValidator(parse_span),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+\s*(s|min|m|h|d|w)\s*$"}, mode="validation"),
]
PerDay = Annotated[
    int,
    BeforeValidator(parse_per_day),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _RATE.pattern}]}, mode="validation"),
]
Every = Annotated[str, AfterValidator(_cadence)]


class Strict(BaseModel):
    """A part of a monitor; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Columns(Strict):
    """Which field of the source plays which part; dotted paths reach into traces and nested fields.

    Attributes:
        id: identity of a row; by default a digest of its content.
        time: when it was said: a time, or a number of seconds or milliseconds since 1970.
        ingested: when the row came into the source: what reading goes by, where it is not `time`.
        prompt, output, context: texts.
        latency: seconds that the caller waited.
        cost: in US dollars.
        prompt_tokens, output_tokens: as the server counted them.
        user: whose row it is.
        version: the model version that answered.
        label: a person's verdict on the answer: 1 (or true, yes) where it hallucinates, else 0.
        label_probability: chance of the row to be drawn for labelling, above 0 and up to 1, where rows were not drawn
            alike; labels without one then count in no rate.
        logprobs: natural logarithms of the probabilities of the output's tokens, a list, as the server reported them.
        image: where the output's image lies: a path below the `root` of the check `images`, or its ``file:`` URI.
        cluster: rows of one cluster are not independent (a conversation, a user).
        slices: fields whose values split the rows.
        fields: further numbers to watch for drift.
        categories: further categories to watch for drift.
    """

    id: str | None = None
    time: str | None = None
    ingested: str | None = None
    prompt: str | None = None
    output: str | None = None
    context: str | None = None
    latency: str | None = None
    cost: str | None = None
    prompt_tokens: str | None = None
    output_tokens: str | None = None
    user: str | None = None
    version: str | None = None
    label: str | None = None
    label_probability: str | None = None
    logprobs: str | None = None
    image: str | None = None
    cluster: str | None = None
    slices: tuple[str, ...] = Field(default=(), max_length=10)
    fields: tuple[str, ...] = Field(default=(), max_length=50)
    categories: tuple[str, ...] = Field(default=(), max_length=50)


class TraceSource(Strict):
    """Traces of an MLflow experiment."""

    experiment: str = Field(min_length=1, max_length=500)
    filter: str | None = Field(default=None, min_length=1, max_length=5000)


class SqlSource(Strict):
    """A table or query of any database that SQLAlchemy reads.

    Attributes:
        url: name of the environment variable that holds the database's URL.
        table: a table or view, ``schema.table`` too.
        query: a SELECT instead, with ``:name`` for `parameters`.
        parameters: values of the query.
        chunk: rows that are fetched at a time.
    """

    url: str = Field(pattern=_VARIABLE)
    table: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?$", max_length=200)
    query: str | None = Field(default=None, min_length=1, max_length=20_000)
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    chunk: int = Field(default=10_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either `table` or `query`")
        return self


class Source(Strict):
    """Where generations come from: exactly one of `traces`, `sql`, `files` and `stream`.

    Attributes:
        files: a Parquet, CSV or JSONL file, or a folder of them, below the monitor's folder.
        stream: what `evalkit.log_generation` and the ingest endpoint were told under this name.
    """

    traces: TraceSource | None = None
    sql: SqlSource | None = None
    files: str | None = Field(default=None, min_length=1, max_length=1000)
    stream: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")
    columns: Columns = Columns()

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("traces", "sql", "files", "stream") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a source is one of traces, sql, files and stream; got {' and '.join(given) or 'none'}")
        return self


class Retention(Strict):
    """How long raw rows and windows' states are kept after their event time."""

    raw: Span = 30 * DAY_MS
    states: Span = 400 * DAY_MS


class Reports(Strict):
    """What is made of each window beside its signals.

    Attributes:
        evidently: Evidently's drift report against the baseline, as HTML.
        mlflow: a run in MLflow with the signals as metrics over time, and the reports.
    """

    evidently: bool = False
    mlflow: bool = False


class Alert(Strict):
    """When a signal alerts: a limit, or a change against the baseline.

    Attributes:
        max, min: limits of the value.
        versus: compare with the baseline's value instead.
        key: which number of the check; its main one by default.
        detector: how a change is noticed.
        smallest: a change from the baseline that matters, in the number's unit; much smaller ones do not alert.
        demote: take the alias of `model` away when it alerts, and restore the former holder.
    """

    max: Quantity | None = None
    min: Quantity | None = None
    versus: Literal["baseline"] | None = None
    key: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,200}$")
    detector: Literal["e-detector", "3-sigma", "threshold"] = "e-detector"
    smallest: Annotated[Quantity, Field(ge=0)] | None = None
    demote: bool = False

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.max is None and self.min is None and self.versus is None:
            raise ValueError("an alert needs `max`, `min` or `versus: baseline`")
        if self.smallest is not None and (self.versus is None or self.detector != "e-detector"):
            raise ValueError(
                "`smallest` goes with `versus: baseline` and the e-detector; a limit says itself what matters"
            )
        return self


class CheckSpec(Strict):
    """One check: ``{toxicity: {}}``, ``{drift: [prompt, output]}``, with `alert`, `against`, `every` beside it.

    Attributes:
        kind: which check.
        settings: what follows the colon.
        alert: when it alerts; None reports only.
        against: what drift is compared with.
        every: windows of its own, such as ``week``; the monitor's by default.
        slices: which of the slices it looks at besides all rows; all by default.
        name: in signals; the kind by default.
    """

    kind: Literal[
        "operational", "toxicity", "refusal", "hallucination", "drift", "groups", "suite", "probes", "perplexity",
        "images", "stereotypes",
    ]  # fmt: skip
    settings: dict[str, Any] | list[Any] | str | None = None
    alert: Alert | None = None
    against: tuple[Literal["baseline", "previous"], ...] = ("baseline", "previous")
    every: Every | None = None
    slices: tuple[str, ...] | None = None
    name: str = Field(default="", alias="as", pattern=r"^[a-z0-9_-]{0,60}$")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"kind": given}
        if isinstance(given, dict) and "kind" not in given:
            kinds = [key for key in given if key not in _COMMON]
            if len(kinds) != 1:
                raise ValueError(f"name one check of {', '.join(MEASURES)}; got {', '.join(kinds) or 'none'}")
            rest = {key: value for key, value in given.items() if key in _COMMON}
            return {"kind": kinds[0], "settings": given[kinds[0]], **rest}
        return given

    @property
    def address(self) -> str:
        """Name in signals."""
        return self.name or self.kind


class Destination(Strict):
    """Where alerts go: names of environment variables, never secrets.

    Attributes:
        slack: holds the URL of a Slack-shaped incoming webhook.
        webhook: holds the URL of a signed POST.
        email: holds ``smtps://user:password@host:port/?from=…&to=…`` (``smtp://`` for STARTTLS).
        log: the worker's log.
        secret: holds what a webhook is signed with; the webhook's variable and ``_SECRET`` by default.
        allow_private: whether the host may have a private address, and speak http.
    """

    slack: str | None = Field(default=None, pattern=_VARIABLE)
    webhook: str | None = Field(default=None, pattern=_VARIABLE)
    email: str | None = Field(default=None, pattern=_VARIABLE)
    log: bool | None = None
    secret: str | None = Field(default=None, pattern=_VARIABLE)
    allow_private: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.slack, self.webhook, self.email, self.log)) != 1:
            raise ValueError("a destination is one of slack, webhook, email and log")
        if self.secret is not None and self.webhook is None:
            raise ValueError("`secret` signs a webhook; the other destinations have none")
        return self


class MonitorSpec(Strict):
    """A scheduled set of checks on one source of generations.

    Attributes:
        monitor: its name.
        model: the registered model, version or alias that it watches.
        every: how event time is cut into windows.
        start: event time at which the first window may begin; the first row's by default.
        lateness: how long after its end a window waits for late rows.
        catch_up: which firings of a downtime are made up for; windows are computed when they are due in any case.
        contract: what each window must look like: a file of `evalkit monitor contract`, beside the monitor's.
        reports: what is made of each window beside its signals.
        baseline: how long the first windows are learnt from; what `against: baseline` compares with.
        minimum: rows below which a slice has no verdict.
        confidence: two-sided level of the intervals; one minus the false discovery rate of drift.
        redact: what is removed from texts before anything is stored.
        budget: what judges may spend each UTC day.
    """

    monitor: str = Field(pattern=NAME)
    description: str = ""
    model: str | None = Field(default=None, min_length=1, max_length=500)
    source: Source
    every: Every = "day"
    start: str | None = None
    lateness: Span = 3_600_000
    catch_up: Literal["skip", "latest", "all"] = "latest"
    contract: str | None = Field(default=None, min_length=1, max_length=1000)
    reports: Reports = Reports()
    baseline: Span = 14 * DAY_MS
    retention: Retention = Retention()
    redact: tuple[Annotated[str, AfterValidator(_redaction)], ...] = ()
    minimum: int = Field(default=200, ge=2, le=1_000_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    checks: tuple[CheckSpec, ...] = ()
    budget: Annotated[str, AfterValidator(_daily_budget)] | None = None
    notify: tuple[Destination, ...] = ()

    @property
    def cadence(self) -> Cadence:
        """The monitor's windows."""
        return Cadence.parse(self.every)
