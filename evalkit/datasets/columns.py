"""Which column of a table plays which part: as mapped, or by its usual name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.datasets.readers import missing
from evalkit.limits import parse_json
from metrics.errors import InputError, did_you_mean
from registry.spec import Columns

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("sample_id", "id", "uid", "question_id"),
    "prompt": ("prompt", "question", "input", "query", "instruction", "caption"),
    "expected": ("expected", "answers", "answer", "ground_truth", "ground_truths", "reference", "references", "target"),
    "context": ("context", "contexts", "retrieved", "retrieved_contexts", "passages"),
    "text": ("text", "document", "content"),
    "output": ("output", "response", "completion", "prediction", "generation", "generated", "answer"),
    "image": ("image", "image_path", "image_file"),
    "reference_image": ("reference_image",),
    "label": ("label", "class", "digit"),
    "cluster": ("cluster", "group", "document_id"),
    "weight": ("weight", "sampling_weight"),
}
PARTS = tuple(USUAL_NAMES)


def resolve_columns(columns: Columns, available: Sequence[str], where: str) -> dict[str, str]:
    """Return part to column name.

    A part that is mapped must exist. A part that is not mapped takes the first usual name that the table has and
    no other part uses.
    """
    resolved: dict[str, str] = {}
    for part in PARTS:
        mapped = getattr(columns, part)
        if mapped is None:
            continue
        if mapped not in available:
            raise InputError(
                f"{where}: `columns` maps {part} to '{mapped}', which it does not have"
                f"{did_you_mean(mapped, available)}; it has {', '.join(available)}"
            )
        resolved[part] = mapped
    for name in columns.slices:
        if name not in available:
            raise InputError(f"{where}: no column '{name}' to slice by{did_you_mean(name, available)}")
    taken = set(resolved.values())
    for part, names in USUAL_NAMES.items():
        if part not in resolved and part != "cluster":  # clusters change intervals: never by guess
            found = next((name for name in names if name in available and name not in taken), None)
            if found is not None:
                resolved[part] = found
                taken.add(found)
    return resolved


def text_value(value: Any) -> str | None:
    """A cell as text; missing stays missing."""
    if missing(value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a CSV or a nullable column turns 3 into 3.0
    return str(value)


def list_value(value: Any) -> list[str] | None:
    """A cell as a list of texts: a list, a JSON list in a string, or one text."""
    if missing(value):
        return None
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            parsed = parse_json(value, "a cell")
        except ValueError:
            parsed = None
        if isinstance(parsed, list):
            value = parsed
    if isinstance(value, Mapping):  # the form of SQuAD: {"text": [...], "answer_start": [...]}
        value = value.get("text", [])
    items = value if isinstance(value, (list, tuple)) else [value]
    texts = [text for text in (text_value(item) for item in items) if text is not None]
    return texts or None


def weight_value(value: Any, where: str) -> float | None:
    """A positive finite weight."""
    if missing(value):
        return None
    try:
        weight = float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"{where}: weight {value!r} must be a positive number")
    return weight
