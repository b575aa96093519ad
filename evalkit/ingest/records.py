"""What an application tells about one generation, and what is told about it later."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from uuid import uuid4

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from metrics.errors import InputError

MAX_TEXT = 1_000_000
"""Characters of one text."""
_MOST_SLICES = 50
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$"
_FUTURE_MS = 86_400_000
"""How far ahead of ours the clock of an application may be."""

Stream = Annotated[str, Field(pattern=_NAME)]
Key = Annotated[str, Field(min_length=1, max_length=100)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Slices = Annotated[
    dict[Annotated[str, Field(pattern=_NAME)], Annotated[str, Field(max_length=500)]], Field(max_length=_MOST_SLICES)
]


def _texts(given: object) -> object:
    return [given] if isinstance(given, str) else given


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Key = Field(default_factory=lambda: uuid4().hex)
    time: int = Field(default_factory=lambda: time.time_ns() // 1_000_000, ge=0)
    user: Annotated[str, Field(max_length=200)] | None = None

    def body(self) -> str:
        """All that has no column of its own, as ASCII JSON: texts may hold what databases refuse."""
        left_out = {"id", "time", "user", "kind"}
        return json.dumps(self.model_dump(exclude=left_out, exclude_none=True), separators=(",", ":"))

    @model_validator(mode="after")
    def _not_ahead(self) -> Self:
        if self.time > time.time_ns() // 1_000_000 + _FUTURE_MS:
            raise ValueError(f"time {self.time} is more than a day ahead; expected UTC milliseconds")
        return self


class Generation(_Record):
    """One generation.

    Attributes:
        id: of the generation; sent twice, it counts once.
        time: when it happened, UTC milliseconds.
        user: whom it was made for: what `evalkit forget` finds it by.
        prompt, output: texts; no output where it failed or is an image.
        context: what was retrieved for it.
        image: where an image lies, by reference.
        model: the model's version, such as ``models:/support-bot/7``.
        logprobs: natural logarithms of the probabilities of the output's tokens; None for one that has none.
        latency: seconds.
        prompt_tokens, output_tokens: counts.
        cost: US dollars.
        error: why it failed.
        slices: name to value: language, tenant, group.
        label: a class or truth that the application knows.
    """

    kind: Literal["generation"] = "generation"
    prompt: Text | None = None
    output: Text | None = None
    context: Annotated[list[Text], BeforeValidator(_texts), Field(max_length=200)] | None = None
    image: Annotated[str, Field(max_length=2000)] | None = None
    model: Annotated[str, Field(max_length=300)] | None = None
    logprobs: Annotated[list[Annotated[float, Field(allow_inf_nan=False)] | None], Field(max_length=50_000)] | None = (
        None
    )
    latency: Amount | None = None
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None
    output_tokens: Annotated[int, Field(ge=0)] | None = None
    cost: Amount | None = None
    error: Annotated[str, Field(max_length=2000)] | None = None
    slices: Slices | None = None
    label: Annotated[str, Field(max_length=500)] | None = None


class Feedback(_Record):
    """What someone said about a generation afterwards.

    Attributes:
        of: id of the generation.
        name: what was said: ``hallucinated``, ``helpful``, ``thumbs``.
        value: a number, or a truth value as 0 or 1.
        probability: with which the generation was drawn for labelling; without one the label is kept out of rates.
        comment: a sentence.
    """

    kind: Literal["feedback"] = "feedback"
    of: Key
    name: Annotated[str, Field(pattern=_NAME)]
    value: Annotated[float, Field(allow_inf_nan=False)]
    probability: Annotated[float, Field(gt=0, le=1)] | None = None
    comment: Annotated[str, Field(max_length=2000)] | None = None


def _kind(given: Any) -> str:
    # What says nothing is a generation
    found = given.get("kind", "generation") if isinstance(given, Mapping) else getattr(given, "kind", None)
    return str(found)


_KINDS = Discriminator(
    _kind,
    custom_error_type="kind",
    custom_error_message="expected an object whose `kind` is generation (or left out) or feedback",
)
Record = Annotated[Annotated[Generation, Tag("generation")] | Annotated[Feedback, Tag("feedback")], _KINDS]
Records = list[Record]
_ADAPTER: TypeAdapter[Records] = TypeAdapter(Records)
_STREAM: TypeAdapter[str] = TypeAdapter(Stream)


def parse_records(body: bytes) -> Records:
    """Read a JSON array of records, or one JSON object a line.

    Raises:
        InputError: names the record by its place, from 1; nothing of the body counts then.
    """
    text = body.strip()
    if not text.startswith(b"["):
        text = b"[" + b",".join(line for line in text.splitlines() if line.strip()) + b"]"
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise InputError(_explain(error)) from None


def make_record(values: Mapping[str, Any]) -> Generation | Feedback:
    """One record from plain values; raises `InputError`."""
    try:
        return _ADAPTER.validate_python([dict(values)])[0]
    except ValidationError as error:
        raise InputError(_explain(error)) from None


def check_stream(name: str) -> str:
    """The name of a stream, such as that of the application; raises `InputError` where it cannot be one."""
    try:
        return _STREAM.validate_python(name)
    except ValidationError:
        raise InputError(
            f"'{str(name)[:60]}' cannot name a stream; use up to 100 letters, digits, '-', '_', '.' and ':'"
        ) from None


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = [str(part) for part in problem["loc"] if part not in {"generation", "feedback"}]
    where = f"record {int(place[0]) + 1}" if place and place[0].isdigit() else "the records"
    field = "".join(f" `{part}`" for part in [".".join(place[1:])] if part)
    message = re.sub(r"^Value error, ", "", problem["msg"])
    return f"{where}{field}: {message[0].lower()}{message[1:]}"
