"""The end of the audit's chain, kept where whoever owns the database does not: a file, MLflow's tracking store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from evalkit.config import Settings, load_settings
from evalkit.session import open_database
from metrics.errors import InputError
from registry.audit import Anchor, head
from registry.mlflow_link import MlflowLink

FILE = "anchors.jsonl"
TAG = "evalkit.audit.head"


def drop_anchor(target: Path | None = None, settings: Settings | None = None) -> Anchor:
    """Tell the chain's present end to the project's file, to `target`, and to MLflow; return it."""
    resolved = settings or load_settings()
    with open_database(resolved) as engine:
        made = head(engine)
    keep(made, MlflowLink(resolved.tracking_uri, resolved.registry_uri), *filter(None, (resolved.home / FILE, target)))
    return made


def keep(made: Anchor, mlflow: MlflowLink, *files: Path) -> None:
    """Write an anchor to files, and to MLflow."""
    line = json.dumps(asdict(made), sort_keys=True) + "\n"
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    mlflow.tag_experiment({TAG: line.strip()})


def known_anchors(files: Sequence[Path] = (), settings: Settings | None = None) -> list[Anchor]:
    """Anchors of the project's file, of MLflow's tag, and of `files`.

    Raises:
        InputError: a file cannot be read; a damaged anchor is no evidence either way.
    """
    resolved = settings or load_settings()
    own = resolved.home / FILE
    found = [anchor for file in (*([own] if own.exists() else []), *files) for anchor in _read(file)]
    tag = MlflowLink(resolved.tracking_uri, resolved.registry_uri).experiment_tags().get(TAG)
    return [*found, *([_parse(tag, f"MLflow's tag {TAG}")] if tag else [])]


def _read(file: Path) -> Iterator[Anchor]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{file}: cannot be read; expected anchors as `evalkit audit anchor` writes them") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse(line, f"{file}, line {number}")


def _parse(line: str, where: str) -> Anchor:
    try:
        anchor = Anchor(**json.loads(line))
        if not isinstance(anchor.seq, int) or not isinstance(anchor.hash, str):
            raise TypeError
    except (ValueError, TypeError):
        raise InputError(f"{where}: not an anchor as `evalkit audit anchor` writes them") from None
    return anchor
