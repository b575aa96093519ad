"""Structured outputs: whether they are JSON, and whether the JSON follows a schema."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from metrics.base import Batch, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.optional import optional
from metrics.scoring import rows, text_column

_FENCE = re.compile(r"\A\s*```[A-Za-z]*[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL)
_RATE = "Wilson; on the effective n where samples share a cluster"
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_DATA = frozenset({"enum", "const", "default", "examples"})
_PATTERNS = frozenset({"pattern", "patternProperties"})


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def parse_json(text: str, *, fenced: bool = True) -> Any:
    """Parse strict JSON (RFC 8259: no NaN or Infinity), with a Markdown code fence around it if `fenced`.

    Raises:
        ValueError: it is not JSON, or nested too deeply to be read.
    """
    if fenced and (match := _FENCE.match(text)):
        text = match[1]
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class JsonValidity(SampleMetric):
    """Share of outputs that are JSON, 0 to 1, higher is better; an empty output is not JSON.

    Args:
        fenced: whether a Markdown code fence around the JSON is allowed.
    """

    spec = MetricSpec(
        name="json_valid",
        measures="share of outputs that are valid JSON",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output",),
        estimand="rate of valid JSON in the population of prompts",
        interval=_RATE,
        validity="independent samples or clusters; any n from 2",
        source="RFC 8259, as Python's json reads it",
    )

    def __init__(self, *, fenced: bool = True) -> None:
        super().__init__(fenced=fenced)

    def score(self, batch: Batch) -> Scores:
        """Score 1 for JSON, else 0."""
        return _rate(batch, self.spec.name, lambda text: _is_json(text, self.settings["fenced"]))


class SchemaConformance(SampleMetric):
    """Share of outputs that are JSON and follow a JSON Schema, 0 to 1, higher is better.

    Nothing is fetched: a reference to another document is refused, as are patterns (regular expressions from a schema
    may take unbounded time on an output).

    Args:
        schema: the JSON Schema, draft 2020-12 unless its ``$schema`` says otherwise.
        fenced: whether a Markdown code fence around the JSON is allowed.
    """

    spec = MetricSpec(
        name="schema_conformance",
        measures="share of outputs that follow a JSON Schema",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output",),
        estimand="rate of outputs that follow the schema in the population of prompts",
        interval=_RATE,
        validity="independent samples or clusters; any n from 2",
        source="JSON Schema, as the package jsonschema reads it",
    )

    def __init__(self, *, schema: Mapping[str, Any] | None = None, fenced: bool = True) -> None:
        name = self.spec.name
        if not isinstance(schema, Mapping):
            raise InputError(f"metric '{name}' needs `schema`: a JSON Schema as a mapping, got {type(schema).__name__}")
        written = json.dumps(schema, sort_keys=True)
        super().__init__(schema="sha256:" + hashlib.sha256(written.encode()).hexdigest(), fenced=fenced)
        self._valid = _validator(name, json.loads(written))

    def score(self, batch: Batch) -> Scores:
        """Score 1 for an output that follows the schema, else 0."""

        def follows(text: str) -> bool:
            try:
                return self._valid(parse_json(text, fenced=self.settings["fenced"]))
            except (ValueError, RecursionError):
                return False

        return _rate(batch, self.spec.name, follows)


def _validator(metric: str, schema: Any) -> Callable[[Any], bool]:
    library = optional("jsonschema", f"metric '{metric}'")
    kind = library.validators.validator_for(schema, default=library.Draft202012Validator)
    try:
        kind.check_schema(schema)
        _check_keywords(metric, schema)
    except library.SchemaError as error:
        raise InputError(f"metric '{metric}': the schema is wrong at {error.json_path}: {error.message}") from None
    except RecursionError:
        raise InputError(f"metric '{metric}': the schema is nested too deeply") from None
    # an empty registry retrieves nothing from the network
    checker = kind(schema, registry=optional("referencing", f"metric '{metric}'").Registry())
    valid: Callable[[Any], bool] = checker.is_valid
    return valid


def _check_keywords(metric: str, schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _check_keywords(metric, part)
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key in _PATTERNS:
            raise InputError(f"metric '{metric}': a schema with `{key}` is not supported; use `enum`, lengths or types")
        if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            raise InputError(f"metric '{metric}': the schema refers to {value!r}; put the definition into `$defs`")
        if key in _NAMED and isinstance(value, Mapping):
            _check_keywords(metric, list(value.values()))
        elif key not in _DATA:
            _check_keywords(metric, value)


def _is_json(text: str, fenced: bool) -> bool:
    try:
        parse_json(text, fenced=fenced)
    except ValueError:
        return False
    return True


def _rate(batch: Batch, metric: str, test: Callable[[str], bool]) -> Scores:
    texts, reasons = text_column(batch, "output", metric, empty_counts=True)
    values = [float(reason is None and test(text)) for text, reason in zip(texts, reasons, strict=True)]
    return rows(batch, values, reasons)
