"""What evalkit does, as Python functions; the command line calls the same ones.

Every function works on the project of the working folder unless `settings` names another. Bad input raises
`InputError` (a ``ValueError``) with one line that says what was given, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from evalkit.config import Settings, load_settings, without_password
from evalkit.engines.base import EngineName, open_engine
from evalkit.runner.progress import Report
from evalkit.session import CHAMPION, open_session
from metrics.errors import InputError
from registry.entities import Decision, Evaluation, ModelVersion, Promotion

if TYPE_CHECKING:
    from evalkit.reports.scorecard import Scorecard
    from evalkit.reports.terminal import ComparisonRow
    from evalkit.runner.given import GivenJudges
    from evalkit.session import Session


@dataclass(frozen=True)
class GateDecision(Decision):
    """A decision that knows where it was made: ``decision.promote()``."""

    settings: Settings | None = None

    def promote(self, to: str = CHAMPION, *, override: str | None = None) -> Promotion:
        """Point an alias to the version that was decided on; refused unless this decision passed and still counts."""
        return promote(
            f"models:/{self.model}/{self.version}", to, override=override, decision=self, settings=self.settings
        )


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """All numbers that two versions share."""

    candidate: ModelVersion
    other: ModelVersion
    rows: tuple[ComparisonRow, ...]


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version and the outcome of the newest decision on its current suite and files."""

    version: ModelVersion
    outcome: str | None


def register(
    name: str,
    *,
    model: str | Path | None = None,
    run: Any = None,
    suite: str | Path,
    kind: str | None = None,
    trained_on: Sequence[str] = (),
    generator: Mapping[str, Any] | None = None,
    description: str | None = None,
    new_version: bool = False,
    settings: Settings | None = None,
) -> ModelVersion:
    """Register a model version together with the suite that judges it.

    Args:
        name: name of the registered model.
        model: ``runs:/<run>/<path>``, ``models:/m-<id>``, ``models:/name/version``, a folder or file,
            ``openai:/model@http://host/v1`` or ``call:module:function``.
        run: an MLflow run (or its id) whose artifact ``model`` is registered; instead of `model`.
        suite: path of the suite file.
        kind: gan, vae, diffusion, llm, …; inferred where it can be.
        trained_on: training data as ``name@split`` or digest, so that evaluating on it is flagged.
        generator: settings of the generator, such as ``{"latent": [16]}``.
        description: a sentence for people.
        new_version: make a new version even where model and suite are those of an existing one.
    """
    from registry.suite import Suite

    if (model is None) == (run is None):
        raise InputError("give either `model` or `run`: what should be registered?")
    if run is not None:
        model = f"runs:/{getattr(getattr(run, 'info', None), 'run_id', run)}/model"
    with open_session(settings) as session:
        return session.registry.register(
            name,
            model=str(model),
            suite=Suite.load(suite),
            kind=kind,
            training_data=_training_data(session, trained_on),
            description=description,
            generator=generator,
            new_version=new_version,
        )


def evaluate(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = None,
    preset: str | None = None,
    more: int | None = None,
    trust_pickle: bool = False,
    progress: Report | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    workers: int | None = None,
    settings: Settings | None = None,
) -> Evaluation:
    """Generate, score, store and log a version; a finished evaluation is answered from the store.

    Args:
        version: ``models:/name/2``, ``models:/name@alias`` or what `register` returned.
        suite: bind the version to this suite first.
        preset: ``quick`` or ``full``, as the suite defines them.
        more: the next declared look, with this many more samples.
        trust_pickle: allow models that run code when they are loaded.
        progress: called when a stage begins, and after every step.
        engine: ``local``, or ``ray`` to generate and extract features on workers; the results are the same.
        address: of a running Ray cluster, ``auto`` or ``host:port``; without one Ray is started on this machine.
        workers: how many workers; by default one for each GPU, or for every four processor cores.

    Raises:
        InputError: among others where the model gave nothing that can be scored, or the cluster cannot be reached.
    """
    with open_session(settings) as session, open_engine(engine, address=address, workers=workers) as hands:
        found = session.version(version, suite)
        return session.evaluate(
            found, preset=preset, more=more, trust_pickle=trust_pickle, progress=progress, engine=hands
        )


def gate(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = None,
    preset: str | None = None,
    settings: Settings | None = None,
) -> GateDecision:
    """Decide on the stored results of a version: pass, fail or inconclusive. Nothing is generated or scored.

    Raises:
        InputError: the version, or the champion it is compared with, has no results on this suite yet.
    """
    with open_session(settings) as session:
        found = session.version(version, suite)
        evaluation = session.evaluation(found, preset)
        return _bound(session.decide(found, evaluation), session.settings)


@overload
def check(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = ...,
    preset: str | None = ...,
    trust_pickle: bool = ...,
    wait: Literal[True] = ...,
    progress: Report | None = ...,
    settings: Settings | None = ...,
) -> GateDecision: ...
@overload
def check(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = ...,
    preset: str | None = ...,
    trust_pickle: bool = ...,
    wait: Literal[False],
    progress: Report | None = ...,
    settings: Settings | None = ...,
) -> Future[GateDecision]: ...
def check(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = None,
    preset: str | None = None,
    trust_pickle: bool = False,
    wait: bool = True,
    progress: Report | None = None,
    settings: Settings | None = None,
) -> GateDecision | Future[GateDecision]:
    """Evaluate (or answer from the store), then decide.

    A champion, or an anchor, without results on this suite is evaluated first. With ``wait=False`` a future is
    returned whose ``result()`` is the decision; the work goes on in a thread of this process.
    """
    if not wait:
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evalkit-check")
        future = pool.submit(
            check,
            version,
            suite=suite,
            preset=preset,
            trust_pickle=trust_pickle,
            progress=progress,
            settings=settings or load_settings(),
        )
        pool.shutdown(wait=False)
        return future
    with open_session(settings) as session:
        found = session.version(version, suite)
        evaluation = session.evaluate(found, preset=preset, trust_pickle=trust_pickle, progress=progress)
        judged_by = session.registry.suite(found)
        for other in compared_with(session, found):
            session.evaluate(other, suite=judged_by, preset=preset, trust_pickle=trust_pickle, progress=progress)
        return _bound(session.decide(found, evaluation), session.settings)


def promote(
    version: str | ModelVersion,
    to: str = CHAMPION,
    *,
    override: str | None = None,
    decision: Decision | None = None,
    settings: Settings | None = None,
) -> Promotion:
    """Point an alias to a version; refused without a passing decision on its current suite and files.

    Args:
        version: what to promote.
        to: the alias.
        override: promote without a passing decision; the reason is recorded.
        decision: the decision relied on; refused where a newer one exists.

    Raises:
        registry.promotion.PromotionRefusedError: nothing was changed; says which rule stands in the way.
    """
    from registry.promotion import promote as move

    with open_session(settings) as session:
        return move(session.registry, session.version(version), to, decision=decision, override=override)


def approve(
    version: str | ModelVersion, alias: str = CHAMPION, *, comment: str = "", settings: Settings | None = None
) -> Decision:
    """Approve the passing decision that counts now, as a person; whether that counts is the policy's to say.

    Raises:
        registry.promotion.PromotionRefusedError: there is no passing decision.
    """
    from registry.promotion import approve as record

    with open_session(settings) as session:
        return record(session.registry, session.version(version), alias=alias, comment=comment)


def demote(version: str | ModelVersion, alias: str = CHAMPION, *, settings: Settings | None = None) -> ModelVersion:
    """Take an alias away from the version that holds it; raises `InputError` where it does not."""
    from registry.promotion import demote as take_away

    with open_session(settings) as session:
        found = session.version(version)
        take_away(session.registry, found, alias)
        return found


def store() -> str:
    """Where things are kept: the address of MLflow's store, as it may be shown."""
    return without_password(load_settings().tracking_uri)


def compare(
    candidate: str | ModelVersion, other: str | ModelVersion, *, settings: Settings | None = None
) -> VersionComparison:
    """Differences of two evaluated versions, candidate minus other, on the candidate's suite.

    Differences are paired by sample where both answered the same samples.

    Raises:
        InputError: one of them has no results on the candidate's suite.
    """
    from evalkit.differences import differences

    with open_session(settings) as session:
        ours, theirs = session.version(candidate), session.version(other)
        suite = session.registry.suite(ours)
        rows = differences(session, session.evaluation(ours), theirs)
        if all(row.right is None for row in rows):
            raise InputError(
                f"{theirs.reference} has no results that compare with those of {ours.reference}; run "
                f"`evalkit evaluate {theirs.reference}` with the same suite ('{suite.name}')"
            )
        return VersionComparison(ours, theirs, rows)


def score(
    model: Any,
    suite: str | Path,
    *,
    preset: str | None = None,
    judges: GivenJudges = (),
    progress: Report | None = None,
    settings: Settings | None = None,
) -> Evaluation:
    """Score an in-memory model or callable with a suite; nothing is registered and no gate decides.

    The estimates go into the active MLflow run, where there is one.

    Args:
        model: anything `evalkit.generators` can adapt: a generator, a torch module, a pipeline, a callable.
        suite: path of the suite file.
        preset: ``quick`` or ``full``, as the suite defines them.
        judges: score beside what the suite names, such as ``[judges.from_mlflow(scorer)]`` for every task, or
            ``{"golden": [...]}``.
        progress: called when a stage begins, and after every step.

    Raises:
        InputError: among others where the model gave nothing that can be scored.
    """
    import tempfile

    from evalkit.generators.process import InProcessGenerator
    from evalkit.reports.active_run import log_to_active_run
    from evalkit.runner.engine import score as run_here
    from evalkit.runner.subjects import Subject
    from registry.digests import new_id
    from registry.suite import Suite

    judged_by = Suite.load(suite)
    unique = new_id()  # the content of a live object cannot be told, so its outputs are never taken for another's
    subject = Subject(
        name=type(model).__name__,
        id=unique,
        digest=unique,
        generator={"in_memory": type(model).__name__},
        training_data=(),
        open=lambda task: InProcessGenerator(model, dict(task.generate)),
    )
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        evaluation, work = run_here(subject, judged_by, Path(folder), preset=preset, progress=progress, judges=judges)
        work.close()
        if evaluation.status == "failed":
            raise InputError(f"{subject.name} gave nothing that can be scored: {evaluation.warnings[0]}")
        log_to_active_run(judged_by, evaluation)
    return evaluation


def find(version: str, *, settings: Settings | None = None) -> ModelVersion:
    """The version behind ``models:/name/2`` or ``models:/name@alias``."""
    with open_session(settings) as session:
        return session.version(version)


def show(version: str | ModelVersion, *, settings: Settings | None = None) -> Scorecard:
    """The scorecard of a version as it is stored; nothing is run."""
    with open_session(settings) as session:
        return session.card(session.version(version))


def scorecard(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = None,
    preset: str | None = None,
    more: int | None = None,
    trust_pickle: bool = False,
    progress: Report | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    workers: int | None = None,
    settings: Settings | None = None,
) -> Scorecard:
    """Evaluate as `evaluate` does, and return the scorecard."""
    with open_session(settings) as session, open_engine(engine, address=address, workers=workers) as hands:
        found = session.version(version, suite)
        session.evaluate(found, preset=preset, more=more, trust_pickle=trust_pickle, progress=progress, engine=hands)
        return session.card(found, preset)


def list_versions(name: str | None = None, *, settings: Settings | None = None) -> list[ListedVersion]:
    """Registered versions (of one model, or of all), oldest first, with their newest verdicts."""
    with open_session(settings) as session:
        names = [name] if name else session.registry.models()
        found = [version for model in names for version in session.registry.versions(model)]
        if name and not found:
            raise InputError(f"no model '{name}' is registered here; `evalkit list` shows those that are")
        rows = []
        for version in found:
            decision = session.registry.current_decision(version)
            rows.append(ListedVersion(version, decision.outcome if decision is not None else None))
        return rows


def _bound(decision: Decision, settings: Settings) -> GateDecision:
    return GateDecision(**{f.name: getattr(decision, f.name) for f in fields(Decision)}, settings=settings)


def compared_with(session: Session, version: ModelVersion) -> list[ModelVersion]:
    """Champion and anchors that the rules compare the version with."""
    from registry.gate import anchor_versions

    suite = session.registry.suite(version).spec
    if not any(rule.versus for rule in suite.gate.rules):
        return []
    found = {v.id: v for v in (session.champion(version.name), session.anchor(version.name)) if v is not None}
    for number in anchor_versions(suite):
        named = session.registry.version(f"models:/{version.name}/{number}")
        found[named.id] = named
    return [other for key, other in found.items() if key != version.id]


def _training_data(session: Session, names: Sequence[str]) -> list[str]:
    """Names, and the digests behind those that are registered, so that a renamed copy is still recognised."""
    found = []
    for name in names:
        found.append(name)
        base, at, split = name.partition("@")
        if at:
            found.append(session.registry.dataset(base, split).digest)
    return found
