"""Outputs that were made elsewhere: a JSONL, CSV or Parquet file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.datasets.columns import text_value
from evalkit.datasets.pictures import decode_image, read_image_bytes
from evalkit.datasets.readers import column_names, missing, read_rows
from evalkit.generators.base import Generation, LogLikelihood, Modality, Request
from metrics.errors import InputError, did_you_mean
from registry.paths import confine

_USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("sample_id", "id", "uid", "question_id"),
    "prompt": ("prompt", "question", "input", "query", "instruction"),
    "output": ("output", "response", "completion", "prediction", "generation", "generated", "answer", "text"),
    "image": ("image", "image_path", "image_file"),
    "latency": ("latency", "seconds"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "nll": ("nll",),
    "tokens": ("tokens",),
    "error": ("error",),
}


class OutputFile:
    """Hands out stored outputs: by id where the file has ids, else by position.

    Settings: ``columns``, which maps id, prompt, output, image, latency (seconds), prompt_tokens, output_tokens, nll
    (nats), tokens and error to column names; unmapped ones go by their usual names. Where file and request both have
    a prompt and they differ, the sample is an error: the file answers other data. A file with ``nll`` and ``tokens``
    also tells log-likelihoods, by text.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.name = path.name
        self._folder = path.parent
        self._rows = read_rows(path)
        self._columns = self._resolve((settings or {}).get("columns") or {})
        if not {"output", "image", "nll"} & set(self._columns):
            names = ", ".join(column_names(self._rows))
            raise InputError(f"{self.name}: no column of outputs; it has {names}; map one: columns: {{output: ...}}")
        self.modality: Modality = "text" if {"output", "nll"} & set(self._columns) else "image"
        self.can_score_likelihood = {"nll", "tokens"} <= set(self._columns)
        self._by_id = self._index() if "id" in self._columns else None
        self._by_text = {text_value(self._cell(row, "output")): row for row in self._rows}

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> OutputFile:
        """Open ``path``."""
        del trust_pickle  # tables are never unpickled
        return cls(Path(str(description.get("path", ""))), description.get("settings"))

    def __len__(self) -> int:
        return len(self._rows)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return the stored output of each request; a missing one is an error of its sample."""
        del settings
        return [self._find(request) for request in requests]

    def log_likelihoods(self, texts: Sequence[str], settings: Mapping[str, Any]) -> list[LogLikelihood]:
        """Return the stored ``nll`` and ``tokens`` of each text."""
        del settings
        found = []
        for text in texts:
            row = self._by_text.get(text)
            nll = None if row is None else self._number(row, "nll")
            tokens = None if row is None else self._count(row, "tokens")
            if nll is None or tokens is None:
                found.append(LogLikelihood(math.nan, 0, error="no stored log-likelihood for this text"))
            else:
                found.append(LogLikelihood(nll, tokens))
        return found

    def _resolve(self, mapped: Mapping[str, Any]) -> dict[str, str]:
        available = column_names(self._rows)
        resolved: dict[str, str] = {}
        for part, column in mapped.items():
            if part not in _USUAL:
                raise InputError(f"{self.name}: `columns` has no part '{part}'{did_you_mean(str(part), _USUAL)}")
            if column not in available:
                raise InputError(f"{self.name}: no column '{column}'{did_you_mean(str(column), available)}")
            resolved[part] = column
        for part, names in _USUAL.items():
            found = next((n for n in names if n in available and n not in resolved.values()), None)
            if part not in resolved and found is not None:
                resolved[part] = found
        return resolved

    def _index(self) -> dict[str, dict[str, Any]]:
        index: dict[str, dict[str, Any]] = {}
        for number, row in enumerate(self._rows, start=1):
            identity = text_value(self._cell(row, "id"))
            if identity is None:
                raise InputError(f"{self.name}, row {number}: has no id")
            if identity in index:
                raise InputError(f"{self.name}, row {number}: the id '{identity}' is there already; ids must differ")
            index[identity] = row
        return index

    def _find(self, request: Request) -> Generation:
        if self._by_id is not None:
            row = self._by_id.get(request.sample_id)
        else:
            row = self._rows[request.position] if request.position < len(self._rows) else None
        if row is None:
            return Generation(error=f"no output for sample '{request.sample_id}' in {self.name}")
        prompt = text_value(self._cell(row, "prompt"))
        if prompt is not None and request.prompt is not None and prompt != request.prompt:
            return Generation(error=f"the prompt in {self.name} differs from the data's")
        counts: dict[str, Any] = {
            "latency": self._number(row, "latency"),
            "prompt_tokens": self._count(row, "prompt_tokens"),
            "output_tokens": self._count(row, "output_tokens"),
        }
        if counts["latency"] is None:
            counts["latency"] = math.nan  # not measured: reading the file says nothing about the model
        error = text_value(self._cell(row, "error"))
        if error:
            return Generation(error=error, **counts)
        if "output" not in self._columns and "image" in self._columns:
            return self._image(self._cell(row, "image"), counts)
        return Generation(text=text_value(self._cell(row, "output")), **counts)

    def _image(self, cell: Any, counts: Mapping[str, Any]) -> Generation:
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if missing(cell):
            return Generation(error="empty output", **counts)
        try:
            if isinstance(cell, bytes):
                return Generation(image=decode_image(cell, self.name), **counts)
            file = confine(self._folder, str(cell), self.name)
            return Generation(image=decode_image(read_image_bytes(file, file.name), file.name), **counts)
        except InputError as bad:
            return Generation(error=str(bad), **counts)

    def _cell(self, row: Mapping[str, Any], part: str) -> Any:
        column = self._columns.get(part)
        return None if column is None else row.get(column)

    def _number(self, row: Mapping[str, Any], part: str) -> float | None:
        cell = self._cell(row, part)
        if missing(cell):
            return None
        try:
            return float(cell)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{self.name}: {part} {str(cell)[:60]!r} is not a number") from None

    def _count(self, row: Mapping[str, Any], part: str) -> int | None:
        number = self._number(row, part)
        if number is not None and not math.isfinite(number):
            raise InputError(f"{self.name}: {part} {number} is not a count")
        return None if number is None else int(number)
