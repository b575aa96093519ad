"""What `evalkit.api` does, done on a server: evaluated on this machine (or there), submitted, decided there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.api import GateDecision, ListedVersion, VersionComparison
from evalkit.remote.client import Client, evaluation, promotion, quoted, remote_version, version_path
from evalkit.remote.client import decision as read_decision
from evalkit.remote.mirror import Mirror, open_mirror
from evalkit.reports.terminal import ComparisonRow
from evalkit.runner.progress import Report
from evalkit.session import CHAMPION, Session
from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import Decision, Evaluation, ModelVersion, Promotion
from registry.suite import Suite

if TYPE_CHECKING:
    from evalkit.reports.scorecard import Scorecard

_POLL = 2.0


def store() -> str:
    """Where things are kept: the server's address."""
    return Client.from_environment().url


def register(
    name: str,
    *,
    model: str,
    suite: str | Path,
    kind: str | None = None,
    trained_on: Sequence[str] = (),
    generator: Mapping[str, Any] | None = None,
    description: str | None = None,
    new_version: bool = False,
) -> ModelVersion:
    """Register a version on the server; a model of this machine is logged to the server's MLflow first."""
    from registry.sources import is_mlflow, read_local

    client, judged_by = Client.from_environment(), Suite.load(suite)
    with open_mirror(client) as (_, mirror):
        source = model
        if not is_mlflow(model) and not model.startswith("openai:"):
            local = read_local(model, settings=generator, search=judged_by.folder)
            if "call" in local.generator:
                raise InputError("a server registers no Python functions; log the model to MLflow, or an endpoint")
            same = None if new_version else _same(client, name, local.digest, dict(local.generator), judged_by)
            if same is not None:
                source = f"models:/{name}/{same}"
            else:
                source, generator = mirror.upload(name, local, judged_by), None
        body = {
            "source": source, "suite": judged_by.text, "kind": kind, "training_data": list(trained_on),
            "description": description, "generator": generator, "new_version": new_version,
        }  # fmt: skip
        made = remote_version(client.send("POST", f"/models/{quoted(name)}/versions", body))
        mirror.keep(made, judged_by)
        return made.version


def scorecard(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = None,
    preset: str | None = None,
    more: int | None = None,
    trust_pickle: bool = False,
    progress: Report | None = None,
    on_server: bool = False,
) -> Scorecard:
    """Evaluate on this machine and submit (or on the server), and return the scorecard."""
    client = Client.from_environment()
    if on_server:
        _only_whole(preset, more)
        _asked(client, _bound(client, version, suite)[0])
    else:
        with open_mirror(client) as (session, mirror):
            _Here(client, session, mirror, trust_pickle, progress).evaluate(version, suite, preset, more)
    return show(version)


def check(
    version: str | ModelVersion,
    *,
    suite: str | Path | None = None,
    preset: str | None = None,
    trust_pickle: bool = False,
    progress: Report | None = None,
    on_server: bool = False,
) -> GateDecision:
    """Evaluate on this machine and submit, then let the server decide; or let its worker do it all."""
    client = Client.from_environment()
    if on_server:
        _only_whole(preset, None)
        return _asked(client, _bound(client, version, suite)[0])
    with open_mirror(client) as (session, mirror):
        here = _Here(client, session, mirror, trust_pickle, progress)
        found, judged_by, submitted, lacking = here.evaluate(version, suite, preset, None)
        for other in lacking:
            here.evaluate(other, judged_by, preset, None)
        made = _decide(client, found, {"evaluation": submitted.id})
        here.tell_run(found, judged_by, submitted, made)
        return made


def gate(version: str | ModelVersion, *, suite: str | Path | None = None, preset: str | None = None) -> GateDecision:
    """Let the server decide on what it has stored."""
    client = Client.from_environment()
    found, _ = _bound(client, version, suite)
    return _decide(client, found, {"preset": preset})


def promote(
    version: str | ModelVersion,
    to: str = CHAMPION,
    *,
    override: str | None = None,
    decision: Decision | None = None,
) -> Promotion:
    """Point an alias to a version; refused without a passing decision on its current suite and files."""
    client = Client.from_environment()
    found = _find(client, version)
    body = {"version": found.version, "decision": decision.id if decision else None, "override": override}
    return promotion(client.send("PUT", f"/models/{quoted(found.name)}/aliases/{quoted(to)}", body))


def approve(version: str | ModelVersion, alias: str = CHAMPION, *, comment: str = "") -> Decision:
    """Approve the decision that counts now, as a person."""
    client = Client.from_environment()
    path = f"{version_path(_find(client, version).reference)}/approvals"
    return read_decision(client.send("POST", path, {"alias": alias, "comment": comment}))


def demote(version: str | ModelVersion, alias: str = CHAMPION) -> ModelVersion:
    """Take an alias away from the version that holds it."""
    client = Client.from_environment()
    found = _find(client, version)
    client.send("DELETE", f"/models/{quoted(found.name)}/aliases/{quoted(alias)}", version=found.version)
    return found


def find(version: str) -> ModelVersion:
    """The version behind ``models:/name/2`` or ``models:/name@alias``."""
    return _find(Client.from_environment(), version)


def show(version: str | ModelVersion) -> Scorecard:
    """The scorecard of a version as the server has it; its samples are in MLflow's run."""
    from evalkit.reports import scorecard as cards

    client = Client.from_environment()
    found, text = _bound(client, version, None)
    suite = Suite.from_text(text, Path.cwd(), origin=f"suite of {found.reference}", check_files=False)
    shown = _newest(client, found)
    if shown is None:
        raise InputError(
            f"{found.reference} has no results on its current suite; run `evalkit evaluate {found.reference}`"
        )
    made = next((item for item in client.decisions(found) if item.evaluation_id == shown.id), None)
    holder = next((r.version for r in client.versions(found.name) if CHAMPION in r.version.aliases), None)
    champion = holder if holder is not None and holder.id != found.id else None
    theirs = _newest(client, champion) if champion is not None else None
    return cards.build(
        found, suite.spec, shown, decision=made, champion=theirs, champion_version=champion if theirs else None
    )


def compare(candidate: str | ModelVersion, other: str | ModelVersion) -> VersionComparison:
    """Differences of two evaluated versions, candidate minus other, as the server computes them."""
    client = Client.from_environment()
    ours, theirs = _find(client, candidate), _find(client, other)
    rows: list[ComparisonRow] = []
    slices = [""]
    for number, slice_ in enumerate(slices):
        query = {"versions": f"{ours.name}/{ours.version},{theirs.name}/{theirs.version}", "slice": slice_ or None}
        if not number:
            slices += client.get("/comparisons", **query, limit=1)["slices"]
        rows += [_row(item) for item in client.items("/comparisons", **query, limit=1000)]
    if all(row.right is None for row in rows):
        raise InputError(
            f"{theirs.reference} has no results that compare with those of {ours.reference}; run "
            f"`evalkit evaluate {theirs.reference}` with the same suite"
        )
    return VersionComparison(ours, theirs, tuple(rows))


def list_versions(name: str | None = None) -> list[ListedVersion]:
    """Registered versions (of one model, or of all), oldest first, with their newest verdicts."""
    client = Client.from_environment()
    names = [name] if name else [item["name"] for item in client.items("/models")]
    found = [item for model in names for item in client.versions(model)]
    if name and not found:
        raise InputError(f"no model '{name}' is registered on {client.url}; `evalkit list` shows those that are")
    return [ListedVersion(item.version, item.outcome) for item in found]


class _Here:
    """Evaluating on this machine what a server has registered."""

    def __init__(self, client: Client, session: Session, mirror: Mirror, trust: bool, progress: Report | None) -> None:
        self.client, self.session, self.mirror = client, session, mirror
        self._trust, self._progress = trust, progress

    def evaluate(
        self, version: str | ModelVersion, suite: str | Path | Suite | None, preset: str | None, more: int | None
    ) -> tuple[ModelVersion, Suite, Evaluation, list[str]]:
        """Evaluate and submit; what the server has already is answered from there.

        Returns the version, the suite, the server's evaluation, and the versions that it lacks such results of.
        """
        from evalkit.bundles.pack import pack
        from evalkit.runner.plan import plan_evaluation
        from evalkit.runner.sources import read_sources, version_subject

        found, judged_by = self._known(version, suite)
        sources = read_sources(judged_by, self.mirror, self.session.settings)
        plan = plan_evaluation(judged_by, version_subject(self.mirror, found, judged_by), sources, preset)
        if not more:
            for item in self.client.evaluations(found):
                if item.digest == plan.digest and item.status == "finished":
                    return found, judged_by, item, self._lacking(item)
        made = self.session.evaluate(
            found, suite=judged_by, preset=preset, more=more, trust_pickle=self._trust, progress=self._progress
        )
        plan = plan.with_targets(made.targets, made.look)
        with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
            bundle = Path(folder) / "bundle.zip"
            pack(self.session.settings.home, plan, made, found.artifact_digest, bundle)
            answer = self.client.upload("/evaluations", bundle)
        return found, judged_by, evaluation(answer), list(answer["missing"])

    def tell_run(self, version: ModelVersion, suite: Suite, submitted: Evaluation, made: Decision) -> None:
        """Put the decision into MLflow's run, where the evaluation was made on this machine."""
        from evalkit.runner.publish import publish

        own = self.mirror.evaluation(version, submitted.look, digest=submitted.digest)
        if own is not None and own.id == submitted.id:
            publish(self.session.settings, self.mirror, version, suite, own, decision=made)

    def _known(self, version: str | ModelVersion, suite: str | Path | Suite | None) -> tuple[ModelVersion, Suite]:
        """The version and the suite that judges it, both copied."""
        if isinstance(suite, Suite):  # another version beside the one that this suite belongs to
            found = self.client.version(_reference(version))
            self._keep_own(found)
            self._refuse_code(found.version, suite, own=True)
            return found.version, suite
        bound, text = _bound(self.client, version, suite)
        found = self.client.version(bound.reference)
        if suite is not None:
            judged_by = Suite.load(suite)
            kept = self.mirror.keep(found, judged_by)
        else:
            kept = self.mirror.keep(found, Suite.from_text(text, Path.cwd(), origin="suite", check_files=False))
            judged_by = self.mirror.suite(kept)
        self._refuse_code(kept, judged_by, own=suite is not None or self.mirror.knows_file(kept))
        return kept, judged_by

    def _keep_own(self, found: Any) -> None:
        text = self.client.suite_text(found.version.suite_digest)
        self.mirror.keep(found, Suite.from_text(text, Path.cwd(), origin="suite", check_files=False))

    def _refuse_code(self, version: ModelVersion, suite: Suite, *, own: bool) -> None:
        """Python functions that somebody else has named do not run on this machine just so."""
        calls = [] if own else [str(t.generate["call"]) for t in suite.spec.tasks.values() if "call" in t.generate]
        if "call" in version.generator:
            calls.append(str(version.generator["call"]))
        if calls and not self._trust:
            raise InputError(
                f"{version.reference} runs the Python function '{calls[0]}' on this machine, as the server says; "
                "give the suite's file with --suite, or --trust-pickle where you trust it"
            )

    def _lacking(self, item: Evaluation) -> list[str]:
        return list(self.client.get(f"/evaluations/{item.id}").get("missing", []))


def _bound(client: Client, version: str | ModelVersion, suite: str | Path | None) -> tuple[ModelVersion, str]:
    """The version, bound to a suite where one is given, and the text of its suite."""
    found = _find(client, version)
    if suite is not None:
        wanted = Suite.load(suite)
        if wanted.digest != found.suite_digest:
            bound = client.send("PUT", f"{version_path(found.reference)}/suite", {"suite": wanted.text})
            found = remote_version(bound).version
        return found, wanted.text
    return found, client.suite_text(found.suite_digest)


def _newest(client: Client, version: ModelVersion) -> Evaluation | None:
    """The newest finished evaluation, one of the full size where there is one."""
    finished = [item for item in client.evaluations(version) if item.status == "finished"]
    ordered = sorted(finished, key=lambda item: (item.suite_digest != version.suite_digest, item.preset == "quick"))
    return client.with_estimates(ordered[0]) if ordered else None


def _decide(client: Client, version: ModelVersion, body: Mapping[str, Any]) -> GateDecision:
    made = read_decision(client.send("POST", f"{version_path(version.reference)}/decisions", dict(body)))
    return _gate_decision(made)


def _asked(client: Client, version: ModelVersion, wait: Callable[[float], None] = time.sleep) -> GateDecision:
    """Let the server's worker evaluate a version, and wait for its decision."""
    asked = client.send("POST", f"{version_path(version.reference)}/requests", {"kind": "evaluate"})
    while asked["state"] != "done":
        wait(_POLL)
        asked = client.get(f"/requests/{asked['id']}")
    if asked["decision"] is None:
        failed = next((item for item in client.evaluations(version) if item.status == "failed"), None)
        why = failed.warnings[0] if failed is not None and failed.warnings else "its log says why"
        raise InputError(f"the server's worker came to no decision on {version.reference}: {why}")
    return _gate_decision(read_decision(client.get(f"/decisions/{asked['decision']}")))


def _gate_decision(made: Decision) -> GateDecision:
    return GateDecision(**{item.name: getattr(made, item.name) for item in fields(Decision)})


def _row(item: Mapping[str, Any]) -> ComparisonRow:
    """A row of a comparison from the API's JSON."""
    left, right, change = (
        None if item[name] is None else Estimate.from_json(item[name]) for name in ("left", "right", "change")
    )
    return ComparisonRow(
        item["name"], item["slice"], item["direction"], left, right, change, paired=item["paired"], units=item["units"]
    )


def _only_whole(preset: str | None, more: int | None) -> None:
    if preset == "quick" or more:
        raise InputError("the server's worker evaluates at the suite's full size; leave --preset and --more out")


def _same(client: Client, name: str, digest: str, generator: Mapping[str, Any], suite: Suite) -> int | None:
    """Number of the version that has these files, this generator and this suite already."""
    for item in reversed(client.versions(name)):
        own = item.version
        if (own.artifact_digest, own.suite_digest, own.generator) == (digest, suite.digest, generator):
            return own.version
    return None


def _find(client: Client, version: str | ModelVersion) -> ModelVersion:
    return client.version(_reference(version)).version


def _reference(version: str | ModelVersion) -> str:
    return version if isinstance(version, str) else version.reference
