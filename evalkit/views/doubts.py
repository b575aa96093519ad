"""What a judge left without a verdict, and what two judges say of the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.judging.uses import Use
from evalkit.runner.shards import UNREADABLE, ShardFolder
from evalkit.runner.verdicts import FOLDER
from judges.base import SUSPECTED_INJECTION
from metrics.base import Estimate
from metrics.errors import InputError
from metrics.statistics import cohen_kappa

LISTED = 10
"""Suspected samples of one task on a page."""
_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Samples of a task without a verdict.

    Attributes:
        samples: how many there are in all.
        unscored: how many have no verdict.
        suspected: how many address the judge; `listed` are some of them.
    """

    samples: int
    unscored: int
    suspected: int
    listed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """Agreement of two judges on the samples that both gave a verdict on, beyond chance."""

    use: Use
    other: Use
    kappa: Estimate


def doubtful(use: Use) -> Doubtful | None:
    """What a judge left without a verdict; None where its verdicts are not stored here."""
    table = _verdicts(use)
    if table is None:
        return None
    unscored, suspected = 0, []
    for name, reason, flags in zip(*(table[column].to_pylist() for column in _DOUBTS), strict=True):
        unscored += reason is not None
        if reason == SUSPECTED_INJECTION or SUSPECTED_INJECTION in (flags or ()):
            suspected.append(name)
    return Doubtful(len(table), unscored, len(suspected), tuple(suspected[:LISTED]))


def beside(use: Use, other: Use) -> Beside | None:
    """How far another judge agrees; None where they share no verdicts."""
    mine, theirs = _passed(use), _passed(other)
    shared = sorted(mine.keys() & theirs.keys())
    if len(shared) < 2:
        return None
    try:
        kappa = cohen_kappa(np.array([mine[name] for name in shared]), np.array([theirs[name] for name in shared]))
    except InputError:
        return None  # all verdicts are alike
    return Beside(use, other, kappa)


def others_beside(own: Sequence[Use], everywhere: Sequence[Use]) -> list[Beside]:
    """Other judges of the samples of a judge's uses, for the first pairs of them."""
    pairs = [
        (use, other)
        for use in own
        for other in everywhere
        if (other.version_id, other.task) == (use.version_id, use.task) and other.metric != use.metric
    ]
    found = (beside(use, other) for use, other in pairs[:_PAIRS])
    return [told for told in found if told is not None]


_DOUBTS = ("sample_id", "reason", "flags")


def _passed(use: Use) -> dict[str, int]:
    """Samples to whether their verdict reaches the judge's threshold."""
    table = _verdicts(use)
    if table is None:
        return {}
    judged = use.record["settings"]["judged"]
    given = judged.get("threshold")
    threshold = 0.5 if given is None or judged.get("complement") else given
    names, values = table["sample_id"].to_pylist(), table["value"].to_pylist()
    return {name: int(value >= threshold) for name, value in zip(names, values, strict=True) if value is not None}


def _verdicts(use: Use) -> pa.Table | None:
    digest = use.record.get("verdicts")
    if digest is None:
        return None
    folder = ShardFolder.known(use.home / FOLDER, digest)
    parts = []
    for rows in folder.existing("parquet"):
        path = folder.file(rows, "parquet")
        try:
            parts.append(_read(path, path.stat().st_mtime_ns))
        except (OSError, *UNREADABLE):
            continue
    return pa.concat_tables(parts) if parts else None


@lru_cache(maxsize=64)
def _read(path: Path, _: int) -> pa.Table:
    return pq.read_table(path, columns=["sample_id", "value", "reason", "flags"])
