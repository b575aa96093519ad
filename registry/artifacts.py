"""The digest of a model's files: equal for equal weights, whenever and wherever they were logged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from metrics.errors import InputError
from registry.digests import digest, file_digest

MLMODEL = "MLmodel"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OWN_FOLDER = "evalkit"
_BYTES, _DEPTH, _VALUES = 2**20, 100, 100_000

_VOLATILE = (
    "artifact_path",
    "databricks_runtime",
    "mlflow_version",
    "model_id",
    "model_size_bytes",
    "model_uuid",
    "run_id",
    "utc_time_created",
)
"""What MLflow writes into an MLmodel anew at each logging."""

_IGNORED = {"registered_model_meta", ".DS_Store"}


def artifact_digest(*, files: Mapping[str, Path], mlmodel: Mapping[str, Any] | None = None) -> str:
    """Digest over sorted paths and file digests.

    Args:
        files: path inside the model to the file that is (or will be) there.
        mlmodel: content of an MLmodel that is still to be written.
    """
    parts: dict[str, str] = {}
    for path, file in files.items():
        parts[path] = digest(normalised(read_mlmodel(file))) if path == MLMODEL else file_digest(file)
    if mlmodel is not None:
        parts[MLMODEL] = digest(normalised(mlmodel))
    return digest(sorted(parts.items()))


def folder_digest(folder: Path) -> str:
    """Digest of a model's folder, without what evalkit itself put inside."""
    return artifact_digest(files=list_files(folder))


def list_files(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Path inside the model to file, for every file of a folder; an empty folder raises `InputError`."""
    found = sorted(_walk(os.path.realpath(folder), ()))
    if not found:
        raise InputError(f"the model folder {folder} holds no files")
    return {prefix + "/".join(parts): Path(path) for parts, path in found}


def _walk(folder: str, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Files below a folder, with the parts of their paths."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    with entries:
        for entry in entries:
            parts = (*above, entry.name)
            if parts[0] in {OWN_FOLDER, ".git"}:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, parts)
            # A model hub's cache links to blobs beside the snapshot: a link is read as the file that it names
            elif entry.name not in _IGNORED and entry.is_file():
                yield parts, entry.path


def read_mlmodel(path: Path) -> dict[str, Any]:
    """Content of an MLmodel file; `InputError` where it is none, or over a limit once its anchors are followed."""
    if path.stat().st_size > _BYTES:
        raise InputError(f"{path}: larger than {_BYTES:,} bytes; that is no MLmodel file")
    try:
        text = path.read_text(encoding="utf-8")
        _check_nesting(path, text)
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable MLmodel file") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a readable MLmodel file")
    _check_values(path, content)
    return content


def _check_nesting(path: Path, text: str) -> None:
    """Refuse what is nested too deeply: libyaml's composer would overrun the stack, and end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise InputError(f"{path}: nested more than {_DEPTH} levels deep; that is no MLmodel file")


def _check_values(path: Path, content: Any) -> None:
    """Refuse anchors that expand without end, or hold themselves."""
    pending, seen = [content], 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > _VALUES:
            raise InputError(f"{path}: more than {_VALUES:,} values once anchors are followed; that is no MLmodel file")
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            pending += value


def normalised(mlmodel: Mapping[str, Any]) -> dict[str, Any]:
    """An MLmodel without what differs between two loggings of the same model."""
    return {key: _plain(value) for key, value in mlmodel.items() if key not in _VOLATILE}


def _plain(value: Any) -> Any:
    # YAML knows dates and numbers beyond JSON's; as text they digest just as well
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    return str(value)
