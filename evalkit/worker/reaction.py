"""What happens by itself to a new version: it is evaluated, decided on, and promoted where the policy wants it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.api import compared_with
from evalkit.session import Session
from evalkit.worker.formats import (
    RefusedFormatError,
    check_location,
    check_model,
    check_suite,
    describe_files,
)
from evalkit.worker.suites import Chosen, NeedsSuiteError, choose_suite
from metrics.errors import InputError
from registry.actors import EVALUATOR, Actor, acting
from registry.carried import TAG_GENERATOR
from registry.entities import Decision, ModelVersion
from registry.mlflow_link import PromotionRefusedError
from registry.mlflow_store.files import proxied_path
from registry.outbox import DROPPED, Item
from registry.pages import version_page
from registry.policy import Policy
from registry.promotion import describe_verdict, merge_description, plain_markdown, promote
from registry.sources import stored_generator

FILES = "version"
TAG_REACTION = "evalkit.reaction"
ACTOR = Actor("evalkit worker", frozenset({EVALUATOR}))

_WAIT = 60.0
_TAG = 500


@dataclass(frozen=True, slots=True)
class Reaction:
    """What came of it.

    Attributes:
        outcome: ``promoted``, ``evaluated`` (and not promoted, for the reason in `detail`), ``refused``,
            ``needs a suite`` or ``dropped``.
        detail: one sentence for people.
    """

    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Allowances:
    """What the worker's owner lets evaluations do.

    Attributes:
        endpoints: base URLs that models may be asked at.
        judging: variables (keys) for judges, of suites that somebody vouches for; no generator sees them.
    """

    endpoints: tuple[str, ...] = ()
    judging: Mapping[str, str] = field(default_factory=dict)


def react(session: Session, item: Item, scratch: Path, may: Allowances, *, still_ours: Callable[[], None]) -> Reaction:
    """React to a version that was created; repeated, it continues what is there.

    Args:
        session: the project, opened by a process of its own.
        item: the outbox's row.
        scratch: a folder of this process.
        may: what the worker's owner allows.
        still_ours: raises where another worker has taken the item over.

    Raises:
        InputError: it could not be done now; it may be tried again.
    """
    registry = session.registry
    name, number = str(item.body["name"]), int(item.body["version"])
    with acting(ACTOR):
        try:
            held = registry.mlflow.version(name, number)
        except InputError as error:
            if "not found" in str(error):
                return Reaction(DROPPED, f"models:/{name}/{number} was deleted")
            raise
        if int(held.creation_timestamp) != int(item.body["registered_at"]):
            return Reaction(DROPPED, f"models:/{name}/{number} is another one by now")
        policy = registry.policy(name)
        if policy is None or policy.auto == "off":
            return Reaction(DROPPED, "no policy asks for it any more")
        try:
            author = str(item.body.get("author") or ACTOR.name)
            version, chosen = _prepare(session, held, policy, scratch, may, author=author)
        except (RefusedFormatError, NeedsSuiteError) as error:
            outcome = "refused" if isinstance(error, RefusedFormatError) else "needs a suite"
            return _say(session, held, Reaction(outcome, str(error)), None)
        made = registry.current_decision(version)
        if made is not None and made.passed and registry.mlflow.holder(name, policy.aliases[0]) == number:
            # A worker died between the promotion and saying so: to decide again would be to compare it with itself
            return _say(session, held, Reaction("promoted", f"is '{policy.aliases[0]}' now"), made)
        if not chosen.brought:
            os.environ.update(may.judging)
        still_ours()
        decision = _judge(session, version, chosen)
        still_ours()
        return _say(session, held, _promoted(session, version, chosen, policy, decision), decision)


def say_failed(session: Session, item: Item, why: str) -> None:
    """Say on a version's page that it could not be evaluated."""
    with acting(ACTOR):
        held = session.registry.mlflow.version(str(item.body["name"]), int(item.body["version"]))
        _say(session, held, Reaction("failed", why), None)


def _prepare(
    session: Session, held: Any, policy: Policy, scratch: Path, may: Allowances, *, author: str
) -> tuple[ModelVersion, Chosen]:
    """Choose the suite, refuse what would run code, and bind the two."""
    registry = session.registry
    lease = registry.acquire(f"register:{held.name}", wait=_WAIT)  # `evalkit register` may be about to say the suite
    known = registry.known(held)
    registry.release(lease)
    check_location(registry.mlflow.location(str(held.source)), session.settings.tracking_uri)
    files = scratch / FILES
    if not files.exists():
        with registry.mlflow.downloaded(str(held.source)) as folder:
            shutil.copytree(folder, files)
    chosen = choose_suite(registry, held, policy, files)
    check_suite(chosen.suite.spec, brought=chosen.brought)
    if known is None:
        generator = _generator(held, files)
        check_model(generator, files, may.endpoints)
        # Whoever created it is its author, who may not approve it; not this worker
        with acting(Actor(author, ACTOR.roles)):
            reference = f"models:/{held.name}/{held.version}"
            known = registry.register(held.name, model=reference, suite=chosen.suite, generator=generator)
        return known, chosen
    check_model(known.generator, files, may.endpoints)
    if known.suite_digest != chosen.suite.digest:
        known = registry.bind_suite(known, chosen.suite)
    return known, chosen


def _generator(held: Any, files: Path) -> dict[str, Any]:
    """How to run the version: as its tag says, else as its files tell."""
    try:
        found = json.loads(held.tags.get(TAG_GENERATOR, "{}"))
    except ValueError:
        raise RefusedFormatError(f"its tag {TAG_GENERATOR} is not JSON") from None
    return describe_files({**stored_generator(files), **(found if isinstance(found, dict) else {})}, files)


def _judge(session: Session, version: ModelVersion, chosen: Chosen) -> Decision:
    evaluation = session.evaluate(version, suite=chosen.suite)
    for other in compared_with(session, version):
        done = session.registry.evaluations(other)
        if any(e.suite_digest == chosen.suite.digest and e.status == "finished" for e in done):
            continue
        with session.registry.model_folder(other) as folder:
            check_model(other.generator, folder)
        session.evaluate(other, suite=chosen.suite)
    return session.decide(version, evaluation)


def _promoted(session: Session, version: ModelVersion, chosen: Chosen, policy: Policy, decision: Decision) -> Reaction:
    """Promote where the policy says so and nothing speaks against it."""
    if not decision.passed or policy.auto != "evaluate+promote":
        return Reaction("evaluated", f"the gate says {decision.outcome}")
    alias = policy.aliases[0]
    if chosen.brought:
        why = "the suite came with the version and nobody vouches for it; name it in the policy, or promote it yourself"
        return Reaction("evaluated", f"not promoted: {why}")
    if policy.artifacts == "proxied" and served(session) and _past_the_server(session, version):
        why = "its files lie where clients write past the server, and the policy wants artifacts that went through it"
        return Reaction("evaluated", f"not promoted: {why}")
    holder = session.registry.mlflow.holder(version.name, alias)
    if holder is not None and holder > version.version:
        return Reaction("evaluated", f"not promoted: the newer version {holder} is '{alias}'")
    try:
        promote(session.registry, version, alias, decision=decision)
    except PromotionRefusedError as error:
        return Reaction("evaluated", f"not promoted: {error}")
    return Reaction("promoted", f"is '{alias}' now")


def served(session: Session) -> bool:
    """Whether clients reach MLflow through a server, which then has to keep files from changing."""
    return session.settings.tracking_uri.startswith(("http://", "https://"))


def _past_the_server(session: Session, version: ModelVersion) -> bool:
    # The store asks this itself in a server; this process is none
    return proxied_path(session.registry.mlflow.download_location(version.name, version.version)) is None


def _say(session: Session, held: Any, reaction: Reaction, decision: Decision | None) -> Reaction:
    """Write what happened onto the version's page, under what the decision said there."""
    link = session.registry.mlflow
    number = int(held.version)
    tags = {TAG_REACTION: f"{reaction.outcome}: {reaction.detail}"[:_TAG]}
    if decision is None:
        markdown = f"**evalkit: not evaluated** ({reaction.outcome})\n\n- {plain_markdown(reaction.detail)}"
    else:
        version = session.registry.known(held)
        runs = session.registry.evaluations(version) if version is not None else []
        run_id = next((run.run_id for run in runs if run.id == decision.evaluation_id), None)
        told, markdown = describe_verdict(decision, run_id=run_id, page=version_page(held.name, number))
        tags |= told
        markdown += f"\n\n- {plain_markdown(f'{ACTOR.name}: {reaction.outcome}, {reaction.detail}')}"
    now = link.version(held.name, number)
    link.set_description(held.name, number, merge_description(now.description or "", markdown))
    link.set_tags(held.name, number, tags)
    return reaction
