"""Validation errors of pydantic, told in one line for people: where, what, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from judges.yaml_source import Document, Path
from metrics.errors import InputError, did_you_mean

Containers = Callable[[Path], type[BaseModel] | None]
"""Path of a mapping in the document to the model that it is read into; None where it is none."""


def explain_validation(error: ValidationError, document: Document, container: Containers, whole: str) -> InputError:
    """Turn the first problem into an `InputError` with file, line, the offending key and the allowed values.

    `whole` is what the document is called in messages, such as "the suite".
    """
    problems = error.errors(include_url=False, include_context=True)
    problem = problems[0]
    if problem["type"] == "missing":
        # A required key that was misspelt is missing too; the misspelling in the same place says what to correct
        beside = (p for p in problems if p["type"] == "extra_forbidden" and p["loc"][:-1] == problem["loc"][:-1])
        problem = next(beside, problem)
    # pydantic adds a pseudo-part such as "[key]" for keys of dictionaries, and judged scores are written without their
    # `judged`; the file has no such places
    inner: Path = tuple(part for part in problem["loc"] if part != "[key]")
    path: Path = tuple(part for part in inner if part != "judged")
    where = ".".join(str(part) for part in path) or whole
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return document.error(path, _unknown_key(path, container(inner[:-1])))
    if kind == "missing":
        return document.error(path, f"`{where}` is missing{_purpose(path, container(inner[:-1]))}")
    context: dict[str, Any] = problem.get("ctx", {})
    if kind == "literal_error":
        word = str(given)
        allowed = [part.strip("' ") for part in str(context.get("expected", "")).replace(" or ", ", ").split(",")]
        message = f"`{where}`: '{word}' is not one of {', '.join(allowed)}{did_you_mean(word, allowed)}"
        return document.error(path, message)
    if kind == "value_error":
        return document.error(path, f"`{where}`: {context.get('error', problem['msg'])}")
    shown = f" (got {_short(given)})" if not isinstance(given, dict | list) else ""
    return document.error(path, f"`{where}`: {_lower_first(problem['msg'])}{shown}")


def _unknown_key(path: Path, model: type[BaseModel] | None) -> str:
    key = str(path[-1])
    if model is None:
        return f"unknown key '{key}'"
    known = [field.alias or name for name, field in model.model_fields.items()]
    inside = " in " + ".".join(str(part) for part in path[:-1]) if len(path) > 1 else ""
    return f"unknown key '{key}'{inside}{did_you_mean(key, known)}; allowed are {', '.join(known)}"


def _purpose(path: Path, model: type[BaseModel] | None) -> str:
    info = model.model_fields.get(str(path[-1])) if model else None
    if info is None:
        return ""
    name = getattr(info.annotation, "__name__", None) or " or ".join(str(a) for a in get_args(info.annotation))
    return f" (expected: {'text' if name == 'str' else name})"


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
