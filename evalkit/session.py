"""One open project: its settings and its registry, and the steps that API and command line share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.config import Settings, load_settings
from evalkit.runner.progress import Report
from metrics.errors import InputError
from registry.current import IMPORTED
from registry.entities import Decision, Evaluation, ModelVersion
from registry.evaluations import QUICK
from registry.suite import Suite

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from evalkit.engines.base import Engine as EvaluationEngine
    from evalkit.reports.scorecard import Scorecard
    from registry.store import Registry

CHAMPION = "champion"
ADVISORY = "advisory: our tables are apart from the model registry's database, so the gate only advises"


@dataclass(frozen=True, slots=True)
class Session:
    """Settings and registry, for as long as `open_session` keeps them open."""

    settings: Settings
    registry: Registry

    def version(self, reference: str | ModelVersion, suite: str | Path | None = None) -> ModelVersion:
        """The version behind a reference; with a suite, bound to that one from now on."""
        found = self.registry.version(reference if isinstance(reference, str) else reference.reference)
        if suite is None:
            return found
        wanted = Suite.load(suite)
        return found if wanted.digest == found.suite_digest else self.registry.bind_suite(found, wanted)

    def champion(self, name: str) -> ModelVersion | None:
        """The version behind the alias ``champion``."""
        return next((v for v in self.registry.versions(name) if CHAMPION in v.aliases), None)

    def anchor(self, name: str) -> ModelVersion | None:
        """The first champion ever: what stops a ratchet of small losses."""
        promotions = self.registry.promotions(name, CHAMPION)
        return self.registry.version_by_id(promotions[0].version_id) if promotions else None

    def evaluation(self, version: ModelVersion, preset: str | None = None) -> Evaluation:
        """The newest finished evaluation of a version on the tasks of its current suite, else an imported one.

        Raises:
            InputError: there is none; says what to run.
        """
        from evalkit.runner.plan import plan_evaluation
        from evalkit.runner.sources import read_sources, version_subject

        if self.registry.evaluation(version) is None:
            imported = (e for e in self.registry.evaluations(version) if e.status == IMPORTED and e.preset == preset)
            if (brought := next(imported, None)) is not None:
                return brought
        suite = self.registry.suite(version)
        subject = version_subject(self.registry, version, suite)
        plan = plan_evaluation(suite, subject, read_sources(suite, self.registry, self.settings), preset)
        found = self.registry.evaluation(version, digest=plan.digest)
        if found is None:
            size = f" --preset {preset}" if preset else ""
            raise InputError(
                f"{version.reference} has no results on its current suite; "
                f"run `evalkit evaluate {version.reference}{size}`"
            )
        return found

    def evaluate(
        self,
        version: ModelVersion,
        *,
        suite: Suite | None = None,
        preset: str | None = None,
        more: int | None = None,
        trust_pickle: bool = False,
        progress: Report | None = None,
        engine: EvaluationEngine | None = None,
    ) -> Evaluation:
        """Run what is missing and log it; raises `InputError` where the model gave nothing usable."""
        from evalkit.runner.engine import run
        from evalkit.runner.publish import logger_for

        judged_by = suite or self.registry.suite(version)

        evaluation = run(
            self.registry,
            self.settings,
            version,
            preset=preset,
            extra=more or 0,
            progress=progress,
            log=logger_for(self.settings, self.registry, version, judged_by),
            trust_pickle=trust_pickle,
            suite=judged_by,
            engine=engine,
        )
        if evaluation.status == "failed":
            why = evaluation.warnings[0] if evaluation.warnings else "no reason was recorded"
            raise InputError(f"{version.reference} gave nothing that can be scored: {why}")
        return evaluation

    def decide(
        self, version: ModelVersion, evaluation: Evaluation, suite: Suite | None = None, *, log: bool = True
    ) -> Decision:
        """Decide on stored results, store the decision and say it on the version's page in MLflow, and in its run.

        Args:
            version: what to decide on.
            evaluation: its results.
            suite: the version's suite with the folder where its judges' files are; by default as it was registered.
            log: whether the run is told too, which needs the stored outputs.
        """
        from evalkit.evidence import StoredEvidence
        from evalkit.judging.demands import doubts
        from evalkit.runner.publish import publish
        from registry.gate import anchor_versions, decide
        from registry.promotion import publish_verdict

        suite = suite or self.registry.suite(version)
        champion = self.champion(version.name)
        frozen = {
            number: self.registry.version(f"models:/{version.name}/{number}") for number in anchor_versions(suite.spec)
        }
        unheard = doubts(self.settings, suite, evaluation)
        decision = decide(
            suite.spec,
            StoredEvidence(self.settings, self.registry, evaluation, unheard),
            version=version,
            evaluation=evaluation,
            champion=champion,
            anchor=self.anchor(version.name),
            look=evaluation.look,
            frozen=frozen,
            doubts=unheard.values(),
        )
        if evaluation.preset == QUICK:
            decision = replace(decision, notes=(*decision.notes, "a quick look: it does not count for promotion"))
        if self.settings.advisory:
            decision = replace(decision, notes=(*decision.notes, ADVISORY))
        decision = self.registry.save_decision(decision)
        if evaluation.preset != QUICK:
            publish_verdict(self.registry, version, decision)
        if log:
            publish(self.settings, self.registry, version, suite, evaluation, decision=decision)
        return decision

    def card(self, version: ModelVersion, preset: str | None = None) -> Scorecard:
        """The scorecard of a version as it is stored."""
        from evalkit.runner.publish import make_scorecard

        evaluation = self.evaluation(version, preset)
        decisions = self.registry.decisions(version)
        decision = next((made for made in decisions if made.evaluation_id == evaluation.id), None)
        suite = self.registry.suite(version)
        return make_scorecard(self.settings, self.registry, version, suite, evaluation, decision=decision)[0]


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Engine]:
    """The database of our tables alone, without MLflow; the tables are made where they are missing."""
    from registry.database import connect, upgrade

    resolved = settings or load_settings()
    engine = connect(resolved.database_url)
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_session(settings: Settings | None = None) -> Iterator[Session]:
    """Open the project that the working folder belongs to, or the one given by `settings`."""
    from registry.store import Registry

    resolved = settings or load_settings()
    local = not resolved.tracking_uri.startswith(("http:", "https:", "databricks"))
    resolved.home.mkdir(parents=True, exist_ok=True)
    registry = Registry(
        resolved.database_url,
        resolved.tracking_uri,
        resolved.registry_uri,
        artifact_root=resolved.artifacts if local else None,
    )
    try:
        yield Session(resolved, registry)
    finally:
        registry.close()
