"""Addresses, pages and the shape of every answer and request."""

from __future__ import annotations

import math
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from evalkit.bundles.plain import check_plain

T = TypeVar("T")
TEXT = r"^[^\x00-\x1f\x7f]*$"

ModelName = Annotated[
    str, Path(min_length=1, max_length=255, pattern=r'^[^/:@"\\\x00-\x1f\x7f]+$', description="A registered model.")
]
VersionName = Annotated[
    str, Path(pattern=r"^(?:[0-9]{1,9}|@[A-Za-z0-9][A-Za-z0-9_.-]{0,99})$", description="`7`, or `@champion`.")
]
Alias = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Key = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="A key (UUIDv7).")]
DigestPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
Few = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]
TaskQuery = Annotated[str | None, Query(max_length=60, description="A task of the suite.")]
MetricQuery = Annotated[str | None, Query(max_length=100, description="A metric of the task.")]
SliceQuery = Annotated[str | None, Query(max_length=500, alias="slice", description="`name=value`; else everything.")]
Outcome = Literal["pass", "fail", "inconclusive"]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A number of an answer: null where it is none, or infinite, for which JSON has no word."""


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(from_attributes=True)


class In(BaseModel):
    """A request; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        check_plain(data, "the body")
        return data


class Page(Out, Generic[T]):
    """Some of many; `next` is the cursor of the following page, or null on the last one."""

    items: list[T]
    next: str | None = None
