"""Promotion: moving an alias, which only a passing decision or a recorded override may do.

A model under policy is guarded in MLflow's store as well (`registry.mlflow_store`), for every client; where our tables
are apart from the model registry's database the gate only advises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from metrics.errors import InputError
from registry.actors import acting, with_actor
from registry.artifacts import folder_digest
from registry.entities import Decision, ModelVersion, Promotion, RuleOutcome
from registry.mlflow_link import PromotionRefusedError
from registry.pages import version_page
from registry.store import Registry

__all__ = [
    "PromotionRefusedError",
    "approve",
    "demote",
    "describe_verdict",
    "merge_description",
    "plain_markdown",
    "promote",
    "publish_verdict",
]

BEGIN = "<!-- evalkit:begin -->"
END = "<!-- evalkit:end -->"
TAG_VERDICT = "evalkit.verdict"
TAG_DECISION = "evalkit.decision"
TAG_OVERRIDE = "evalkit.override"

_ALIAS = re.compile(r"^(?!latest$)(?!v[0-9]+$)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
_BLOCK = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
_DESCRIPTION_LIMIT = 5000
"""Characters: the width of MLflow's column, which PostgreSQL enforces."""

_MARKS = {"pass": "PASS", "fail": "**FAIL**", "inconclusive": "**INCONCLUSIVE**"}
_GAP = " &emsp;"
"""MLflow draws tables without any space between their columns."""


def promote(
    registry: Registry,
    version: ModelVersion,
    to: str = "champion",
    *,
    decision: Decision | None = None,
    override: str | None = None,
    actor: str | None = None,
) -> Promotion:
    """Point the alias `to` to a version whose newest decision, on its current suite and files, is a pass.

    Args:
        registry: where the version lives.
        version: the version; its suite and files are read again.
        to: the alias.
        decision: the decision that the caller relies on; refused when a newer one exists.
        override: a reason to promote without a passing decision; recorded with the promotion.
        actor: who does it; the user's name by default.

    Raises:
        PromotionRefusedError: nothing was changed; the message names the first rule that did not pass.
    """
    if not _ALIAS.match(to):
        raise InputError(f"'{to}' cannot be an alias; use ASCII letters, digits, '-', '_' and '.', such as champion")
    if override is not None and not override.strip():
        raise InputError("an override needs a reason, which is recorded")
    lease = registry.acquire(f"promote:{version.name}", wait=30.0)
    try:
        current = registry.version(version.reference)
        _check_files(registry, current)
        newest = registry.current_decision(current)
        if override is None:
            newest = _passing(current, newest, decision)
        return _move(registry, current, to, decision=newest, override=override, actor=actor)
    finally:
        registry.release(lease)


def approve(
    registry: Registry, version: ModelVersion, *, alias: str = "champion", actor: str | None = None, comment: str = ""
) -> Decision:
    """Approve, as a person, the decision on a version that counts now; return that decision.

    Whether it counts is the policy's to say: the author's own does not, unless the policy says so.

    Raises:
        InputError: there is no passing decision to approve.
    """
    decision = _passing(version, registry.current_decision(version), None)
    with acting(with_actor(actor)):
        registry.add_approval(version, decision, alias, comment)
    return decision


def demote(registry: Registry, version: ModelVersion, alias: str = "champion", *, actor: str | None = None) -> None:
    """Take an alias away from a version, as an approver; raises `InputError` where it does not hold it."""
    if registry.mlflow.holder(version.name, alias) != version.version:
        raise InputError(f"{version.reference} does not hold the alias '{alias}'")
    with acting(with_actor(actor), record=True):
        registry.mlflow.drop_alias(version.name, alias)


def publish_verdict(registry: Registry, version: ModelVersion, decision: Decision, override: str | None = None) -> None:
    """Write a decision into the version's tags and description; what people wrote there stays."""
    runs = (item.run_id for item in registry.evaluations(version) if item.id == decision.evaluation_id)
    # Elsewhere MLflow is served without our pages
    shown = version_page(version.name, version.version) if registry.binding else None
    tags, markdown = describe_verdict(decision, run_id=next(runs, None), page=shown)
    if override is not None:
        tags = {**tags, TAG_OVERRIDE: override[:500]}
        markdown += f"\n\nPromoted by override: {plain_markdown(override)}"
    registry.mlflow.set_tags(version.name, version.version, tags)
    held = registry.mlflow.version(version.name, version.version)
    text = merge_description(held.description or "", markdown)
    registry.mlflow.set_description(version.name, version.version, text)


def describe_verdict(
    decision: Decision, *, run_id: str | None = None, page: str | None = None
) -> tuple[Mapping[str, str], str]:
    """Tags and Markdown that tell a decision on MLflow's version page, with links to the run and to our page where they
    are given.
    """
    tags = {TAG_VERDICT: decision.outcome, TAG_DECISION: decision.id}
    level = "plain thresholds" if decision.method == "thresholds" else f"one-sided alpha {decision.alpha:.4g}"
    look = f", look {decision.look} of {decision.looks}" if decision.looks > 1 else ""
    against = f", champion version {decision.champion}" if decision.champion is not None else ""
    # Nothing but letters and digits may become part of a link
    run = f" · [run and scorecard](#/runs/{run_id})" if run_id is not None and run_id.isalnum() else ""
    ours = f" · [rules and samples]({page})" if page is not None else ""
    lines = [f"**evalkit: {decision.outcome.upper()}** ({level}{look}{against}){ours}{run}", ""]
    if decision.rules:
        lines += [f"| result{_GAP} | rule{_GAP} | bound{_GAP} | why |", "|:---|:---|:---|:---|"]
        lines += [_row(rule) for rule in sorted(decision.rules, key=_urgency)]
        lines.append("")
    lines += [f"- {plain_markdown(note)}" for note in decision.notes]
    return tags, "\n".join(lines).rstrip()


def merge_description(existing: str, markdown: str) -> str:
    """Put our part between its markers, in place of the former one; long tables are cut to fit MLflow's limit."""
    kept = _BLOCK.sub("\0", existing, count=1)
    kept = _BLOCK.sub("", kept)
    if "\0" not in kept:
        kept = f"{kept.rstrip()}\n\n\0" if kept.strip() else "\0"
    room = _DESCRIPTION_LIMIT - len(kept) - len(BEGIN) - len(END) - 2
    return kept.replace("\0", f"{BEGIN}\n{_cut(markdown, room)}\n{END}")


def _cut(markdown: str, room: int) -> str:
    if len(markdown) <= room:
        return markdown
    more = "\n\n… see the decision's scorecard"
    lines: list[str] = []
    for line in markdown.splitlines():
        if sum(len(item) + 1 for item in lines) + len(line) > room - len(more):
            break
        lines.append(line)
    return "\n".join(lines) + more if lines else ""


def _check_files(registry: Registry, version: ModelVersion) -> None:
    with registry.model_folder(version) as folder:
        if folder_digest(folder) != version.artifact_digest:
            raise PromotionRefusedError(
                f"{version.reference}: its files are not those that were judged; register the model again"
            )


def _passing(version: ModelVersion, newest: Decision | None, relied_on: Decision | None) -> Decision:
    if newest is None:
        raise PromotionRefusedError(
            f"{version.reference} has no decision on its current suite; run `evalkit check {version.reference}` first"
        )
    if relied_on is not None and relied_on.id != newest.id:
        raise PromotionRefusedError(
            f"{version.reference}: decision {relied_on.id} is not the newest on its current suite and files; "
            f"run `evalkit gate {version.reference}` again"
        )
    if not newest.passed:
        broken = [(place, rule) for place, rule in enumerate(newest.rules, 1) if rule.outcome != "pass"]
        worst = sorted(broken, key=lambda item: item[1].outcome != "fail")
        why = f": {worst[0][1].rule}: {worst[0][1].reason}" if worst else ""
        see = version_page(version.name, version.version, worst[0][0] if worst else None)
        raise PromotionRefusedError(
            f"{version.reference} may not be promoted, its gate is {newest.outcome}{why}; see {see}",
            tuple(rule for _, rule in broken),
        )
    return newest


def _move(
    registry: Registry,
    version: ModelVersion,
    to: str,
    *,
    decision: Decision | None,
    override: str | None,
    actor: str | None,
) -> Promotion:
    previous = registry.mlflow.holder(version.name, to)
    decision_id = decision.id if decision is not None else None
    if previous == version.version:
        known = [p for p in registry.promotions(version.name, to) if p.version_id == version.id]
        if known and known[-1].decision_id == decision_id and known[-1].override == override:
            return known[-1]
    with acting(with_actor(actor), override=override, record=True):
        promotion = registry.move_alias(version, to, decision_id=decision_id, previous=previous)
    if decision is not None:
        publish_verdict(registry, version, decision, override)
    elif override is not None:
        registry.mlflow.set_tags(version.name, version.version, {TAG_OVERRIDE: override[:500]})
    return promotion


def _row(rule: RuleOutcome) -> str:
    name = f"{rule.rule} [{rule.slice}]" if rule.slice else rule.rule
    bound = "" if rule.bound is None else f"{rule.bound:.4g}"
    cells = (_MARKS[rule.outcome], plain_markdown(name), bound)
    return f"| {' | '.join(cell + _GAP for cell in cells)} | {plain_markdown(rule.reason)} |"


def _urgency(rule: RuleOutcome) -> int:
    return ("fail", "inconclusive", "pass").index(rule.outcome)


def plain_markdown(text: str) -> str:
    """Text in which nothing is markup: names of slices and files come from others."""
    return re.sub(r"([\\`*_{}\[\]()#|~!])", r"\\\1", " ".join(text.split())).replace("<", "&lt;").replace(">", "&gt;")
