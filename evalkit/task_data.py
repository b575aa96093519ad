"""The data of a task that was evaluated, as far as they are at hand: what was asked, and what was expected."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.datasets import Dataset
    from evalkit.session import Session
    from registry.entities import Evaluation, ModelVersion

_KEPT_SECONDS = 600


class Told:
    """A task of an evaluation with what reads its data, as one argument of a cache.

    It counts as equal for the same data of the same version, for ten minutes: what was erased from the data must not
    live on in a cache.
    """

    def __init__(self, session: Session, version: ModelVersion, task: str, digest: str) -> None:
        self.session, self.version, self.task, self.digest = session, version, task, digest
        minute = int(time.monotonic() // _KEPT_SECONDS)
        self._identity = (str(session.settings.home), version.id, version.suite_digest, task, digest, minute)

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and self._identity == other._identity

    def read(self) -> Dataset | None:
        """The data; None where they are not at hand, or are no longer those that were judged."""
        from evalkit.runner.sources import read_sources

        registry = self.session.registry
        try:
            suite = registry.suite(self.version)
            described = suite.spec.tasks.get(self.task)
            if described is None or described.traces is not None:
                return None
            alone = replace(suite, spec=suite.spec.model_copy(update={"tasks": {self.task: described}}))
            data = read_sources(alone, registry, self.session.settings)[self.task].data
        except (InputError, OSError):
            return None
        return data if data is not None and data.digest == self.digest else None


def told_data(
    session: Session, version: ModelVersion, evaluation: Evaluation, task: str, most_rows: int
) -> Told | None:
    """What the evaluation says of a task's data; None for none, for more than `most_rows`, and for those of others.

    What somebody else submitted has its data elsewhere: the server has no folder with them.
    """
    data = evaluation.details["tasks"][task]["data"]
    if data is None or data["rows"] > most_rows or evaluation.details.get("submission") is not None:
        return None
    return Told(session, version, task, data["digest"])
