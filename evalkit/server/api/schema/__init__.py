"""What the API takes and answers. Times are UTC milliseconds; digests are ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

from evalkit.server.api.schema.base import (
    Alias,
    Cursor,
    DigestPath,
    Few,
    In,
    Key,
    Limit,
    MetricQuery,
    ModelName,
    Number,
    Out,
    Outcome,
    Page,
    SliceQuery,
    TaskQuery,
    VersionName,
)

__all__ = [
    "Alias",
    "Cursor",
    "DigestPath",
    "Few",
    "In",
    "Key",
    "Limit",
    "MetricQuery",
    "ModelName",
    "Number",
    "Out",
    "Outcome",
    "Page",
    "SliceQuery",
    "TaskQuery",
    "VersionName",
]
