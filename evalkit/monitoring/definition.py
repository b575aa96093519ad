"""A monitor's file: read, checked as a whole, and identified by a digest of what it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.checks import build_check
from evalkit.monitoring.checks.base import Check
from evalkit.monitoring.spec import (
    Alert,
    CheckSpec,
    Columns,
    Destination,
    MonitorSpec,
    Retention,
    Source,
    SqlSource,
    TraceSource,
)
from judges.records import FieldPath
from judges.validation import explain_validation
from judges.yaml_source import MAX_BYTES, Document, read_yaml
from judges.yaml_source import Path as Place
from metrics.errors import InputError, did_you_mean
from registry.digests import digest
from registry.paths import confine

_CONTAINERS: dict[tuple[str, ...], type[BaseModel]] = {
    (): MonitorSpec,
    ("source",): Source,
    ("source", "traces"): TraceSource,
    ("source", "sql"): SqlSource,
    ("source", "columns"): Columns,
    ("retention",): Retention,
    ("checks", "*"): CheckSpec,
    ("checks", "*", "alert"): Alert,
    ("notify", "*"): Destination,
}


@dataclass(frozen=True)
class Definition:
    """A monitor as it was written.

    Attributes:
        spec: what the file says.
        folder: what its paths are relative to.
        text: the source.
        origin: file name for messages.
        checks: the checks, ready to measure; `operational` is among them whether named or not.
    """

    spec: MonitorSpec
    folder: Path
    text: str
    origin: str
    checks: tuple[Check, ...]

    @classmethod
    def load(cls, path: str | Path) -> Definition:
        """Read a file; `InputError` with ``file:line`` for everything that is wrong in it."""
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"{path}: larger than {MAX_BYTES // 1000} kB; a monitor names its data, not holds it")
            text = path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file; `evalkit monitor new` writes one") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
        return cls.from_text(text, path.resolve().parent, origin=str(path))

    @classmethod
    def from_text(cls, text: str, folder: Path, *, origin: str = "monitor.yaml") -> Definition:
        """Read a monitor from text; its paths are relative to `folder`."""
        document = read_yaml(text, origin)
        if not isinstance(document.value, dict):
            raise document.error((), "a monitor is a mapping that starts with `monitor: <name>`")
        try:
            spec = MonitorSpec.model_validate(document.value)
        except ValidationError as error:
            raise explain_validation(error, document, _container, "the monitor") from None
        _check_source(document, spec, folder)
        return cls(spec, folder, text, origin, _build_checks(document, spec))

    @property
    def name(self) -> str:
        """Name of the monitor."""
        return self.spec.monitor

    @cached_property
    def digest(self) -> str:
        """Digest of what it says; comments, order of keys and written-out defaults do not count."""
        content: dict[str, Any] = self.spec.model_dump(mode="json", exclude_defaults=True)
        content.pop("description", None)
        return digest(content)

    @cached_property
    def source_digest(self) -> str:
        """Digest of where rows come from: another source is read from its beginning."""
        source: dict[str, Any] = self.spec.source.model_dump(mode="json", exclude_defaults=True)
        source.pop("columns", None)
        return digest(source)


def _container(path: Place) -> type[BaseModel] | None:
    return _CONTAINERS.get(tuple("*" if isinstance(part, int) else str(part) for part in path))


def _check_source(document: Document, spec: MonitorSpec, folder: Path) -> None:
    source = spec.source
    if source.files is not None:
        try:
            confine(folder, source.files, "`files`")
        except InputError as error:
            raise document.error(("source", "files"), str(error)) from None
    if source.traces is not None:
        named = source.columns.model_dump(exclude={"slices", "fields", "categories"})
        for path in (
            *(v for v in named.values() if v),
            *source.columns.slices,
            *source.columns.fields,
            *source.columns.categories,
        ):
            try:
                FieldPath.parse(path)
            except InputError as error:
                raise document.error(("source", "columns"), str(error)) from None
    elif source.columns.time is None:
        raise document.error(("source", "columns"), "`columns` needs `time`: the field that says when a row was said")
    if spec.start is not None:
        try:
            parse_moment(spec.start)
        except InputError as error:
            raise document.error(("start",), str(error)) from None


def _build_checks(document: Document, spec: MonitorSpec) -> tuple[Check, ...]:
    written = list(enumerate(spec.checks))
    if all(check.kind != "operational" for check in spec.checks):
        written.append((-1, CheckSpec(kind="operational")))
    taken: dict[str, int] = {}
    found = []
    for place, check in written:
        at: Place = ("checks", place) if place >= 0 else ()
        if check.address in taken:
            raise document.error(at, f"the name '{check.address}' is taken by another check; add `as: <name>`")
        taken[check.address] = place
        for name in check.slices or ():
            if name not in spec.source.columns.slices:
                known = spec.source.columns.slices
                raise document.error((*at, "slices"), f"no slice '{name}'{did_you_mean(name, known)} in `columns`")
        try:
            found.append(build_check(check, spec))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            says = str(problem.get("ctx", {}).get("error", problem["msg"]))
            raise document.error((*at, check.kind), f"`{check.kind}`: {where and where + ': '}{says}") from None
        except InputError as error:
            raise document.error((*at, check.kind), str(error)) from None
    return tuple(found)
