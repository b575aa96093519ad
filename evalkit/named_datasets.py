"""Datasets by name: registered with a split, versioned by the digest of their content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit.config import Settings
from evalkit.session import open_session
from metrics.errors import InputError
from registry.entities import DatasetRecord


def add_dataset(
    name: str,
    path: str | Path,
    *,
    split: str = "test",
    licence: str = "",
    labels: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> DatasetRecord:
    """Register a dataset: named, with a split, versioned by the digest of its content."""
    from evalkit.datasets import load_dataset
    from registry.spec import Columns

    source = Path(path).resolve()
    if not source.exists():
        raise InputError(f"no file or folder '{path}'")
    data = load_dataset(source.name, folder=source.parent, columns=Columns())
    with open_session(settings) as session:
        return session.registry.add_dataset(
            name,
            split=split,
            digest=data.digest,
            location=str(source),
            rows=len(data),
            licence=licence,
            labels=dict(labels or {}),
        )


def list_datasets(*, settings: Settings | None = None) -> list[DatasetRecord]:
    """Registered datasets."""
    with open_session(settings) as session:
        return session.registry.datasets()
