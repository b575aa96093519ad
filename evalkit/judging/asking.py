"""Asking a judge about a file of outputs, apart from any suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.config import Settings
from evalkit.evidence import results_home
from evalkit.judging.demands import calibrated_version
from evalkit.judging.ledger import open_ledger
from evalkit.judging.open import open_desk
from evalkit.runner.verdicts import read_verdicts
from judges.base import Sample, Usage, Verdict
from judges.loading import read_definition
from judges.opening import open_judge
from metrics.errors import InputError
from registry.judged import JudgeDefaults

if TYPE_CHECKING:
    from evalkit.session import Session
    from registry.entities import Evaluation, ModelVersion
    from registry.store import Registry

_AT_A_TIME = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """What a judge said.

    Attributes:
        judge: its name.
        version: of its definition and model together: what its calibration is kept under.
        verdicts: one per sample, in order.
        usage: what was bought now; verdicts from the ledger cost nothing.
    """

    judge: str
    version: str | None
    verdicts: Sequence[Verdict]
    usage: Usage


def ask_judge(
    judge: str,
    samples: list[Sample],
    *,
    model: str | None,
    budget: str | None,
    settings: Settings,
    tell: Callable[[int], None] = lambda done: None,
) -> Asked:
    """Ask a judge, by file or shipped name, about some samples.

    Raises:
        InputError: no model, no such judge, or a model that cannot be asked.
    """
    definition = read_definition(judge)
    asked = model or definition.model
    if asked is None:
        raise InputError(f"judge '{judge}' has no model to ask; give --model, such as openai:/MODEL")
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    try:
        desk = open_desk(asked, ledger, JudgeDefaults(model=asked, budget=budget), Path.cwd())
        opened = open_judge(definition, desk)
        verdicts: list[Verdict] = []
        for start in range(0, len(samples), _AT_A_TIME):
            verdicts += opened.judge(samples[start : start + _AT_A_TIME])
            tell(len(verdicts))
    finally:
        ledger.close()
    version = calibrated_version({"definition": definition.version, "model": asked})
    return Asked(definition.name, version, tuple(verdicts), desk.spent)


def stored_verdicts(reference: str, metric: str, settings: Settings | None = None) -> Asked:
    """The verdicts behind a judged score of a registered version.

    Raises:
        InputError: the version has no such score, or its verdicts are gone.
    """
    from evalkit.session import open_session

    with open_session(settings) as session:
        return verdicts_of(session, session.version(reference), metric)


def verdicts_of(session: Session, version: ModelVersion, metric: str) -> Asked:
    """The same in a project that is open."""
    task, _, name = metric.partition("/")
    evaluation = judged_evaluation(session.registry, version, task, name)
    if evaluation is None:
        raise InputError(
            f"{version.reference} has no verdicts of a judge for '{metric}'; name a judged score as task/name"
        )
    record = evaluation.details["tasks"][task]["metrics"][name]
    found = read_stored(results_home(session.settings.home, evaluation), record["verdicts"])
    version_of_judge = calibrated_version(record["settings"]["judged"].get("judge", {}))
    return Asked(name, version_of_judge, tuple(found), Usage())


def judged_evaluation(registry: Registry, version: ModelVersion, task: str, name: str) -> Evaluation | None:
    """The newest finished evaluation of a version in which a judge gave a task's score; None where there is none."""
    for evaluation in registry.evaluations(version):
        record = evaluation.details.get("tasks", {}).get(task, {}).get("metrics", {}).get(name, {})
        if evaluation.status == "finished" and record.get("verdicts"):
            return evaluation
    return None


def read_stored(home: Path, digest: str) -> list[Verdict]:
    """Stored verdicts by their digest, one per sample.

    Raises:
        InputError: they are gone.
    """
    from evalkit.runner.shards import ShardFolder
    from evalkit.runner.verdicts import FOLDER

    folder = ShardFolder.known(home / FOLDER, digest)
    shards = folder.existing("parquet")
    if not shards:
        raise InputError(f"the verdicts are gone from {folder.path}; evaluate again")
    found: dict[str, Verdict] = {}
    for rows in shards:
        found.update((verdict.sample_id, verdict) for verdict in read_verdicts(folder.file(rows, "parquet")))
    return list(found.values())
