"""What was exported is the same elsewhere, and counts for nothing there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.pages.version import Filters, gather
from evalkit.portable import restore as restoring
from evalkit.portable.export import export
from evalkit.portable.restore import restore
from evalkit.reports.serialise import to_json
from evalkit.server.api.project import open_project
from evalkit.session import Session
from metrics.errors import InputError
from registry import audit, promotion
from registry.current import IMPORTED
from registry.database import connect
from registry.gate.evidence import Address, Missing
from registry.imported import Imports
from registry.suite import Suite

from .conftest import Origin, members_of, rows_of, write_project

Stores = Callable[[str], Session]


def numbers(card: Any) -> Any:
    """What a scorecard measured and decided, without the words about it."""
    told = to_json(card)
    return {key: told[key] for key in ("model", "version", "verdict", "sections", "rules", "notes", "warnings")}


def test_numbers_decision_and_samples_are_the_same_elsewhere(origin: Origin, elsewhere: Session) -> None:
    found = restore(elsewhere, origin.archive)
    assert (found.made, found.recomputed, found.decisions) == (True, 1, 1)
    there, here = origin.session.card(origin.version), elsewhere.card(found.version)
    assert numbers(there) == numbers(here)
    assert to_json(there)["galleries"][0]["samples"], "a comparison of nothing would prove nothing"
    assert "Imported" in here.headline
    pages = []
    for session in (origin.session, elsewhere):
        project = open_project(session.settings)
        shown = gather(project, session.registry.version("models:/bot/1"), Filters())
        pages.append((numbers(shown.card), [rule.outcome for rule in shown.rules], shown.counts))
        project.registry.close()
        project.engine.dispose()
    assert pages[0][:2] == pages[1][:2]
    assert [page[2] for page in pages] == [True, False]
    engine = connect(elsewhere.settings.database_url)
    report = audit.verify(engine)
    engine.dispose()
    assert report.intact
    assert report.entries


def test_the_same_content_is_the_same_bytes(origin: Origin, tmp_path: Path) -> None:
    again = export(origin.session, origin.version, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == origin.archive.read_bytes()
    assert again.manifest.digest == origin.exported.manifest.digest
    with pytest.raises(InputError, match="exists already"):
        export(origin.session, origin.version, tmp_path / "again.zip")


def test_importing_again_changes_nothing(origin: Origin, elsewhere: Session) -> None:
    restore(elsewhere, origin.archive)
    before = rows_of(elsewhere)
    again = restore(elsewhere, origin.archive)
    assert (again.evaluations, again.decisions, len(again.present)) == ((), 0, 1)
    assert rows_of(elsewhere) == before
    own = rows_of(origin.session)
    assert restore(origin.session, origin.archive).evaluations == ()
    assert rows_of(origin.session) == own


def test_without_outputs_the_numbers_and_scores_are_there(origin: Origin, store: Stores, tmp_path: Path) -> None:
    lean = tmp_path / "lean.zip"
    export(origin.session, origin.version, lean, outputs=False)
    assert not any("/outputs/" in name for name in members_of(lean))
    session = store("lean")
    found = restore(session, lean)
    assert found.recomputed == 1
    assert numbers(session.card(found.version)) == numbers(origin.session.card(origin.version))
    with pytest.raises(InputError, match="with or without outputs"):
        restore(session, origin.archive)


def test_another_name_and_an_older_evaluation_beside_a_new_one(origin: Origin, elsewhere: Session) -> None:
    found = restore(elsewhere, origin.archive, name="renamed")
    assert found.version.reference == "models:/renamed/1"
    (decision,) = elsewhere.registry.decisions(found.version)
    assert (decision.model, decision.version_id) == ("renamed", found.version.id)
    with pytest.raises(InputError, match="of another model"):
        restore(elsewhere, origin.archive)


def test_imported_results_move_no_alias_and_judge_nobody(origin: Origin, elsewhere: Session) -> None:
    folder = write_project(elsewhere.settings.home.parent)
    registry = elsewhere.registry
    own = registry.register("bot", model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"))
    found = restore(elsewhere, origin.archive)
    assert (found.made, found.version.id) == (False, own.id), "attached to the version with the same files"
    assert registry.decisions(own)[0].passed
    assert registry.current_decision(own) is None
    with pytest.raises(promotion.PromotionRefusedError, match="has no decision"):
        promotion.promote(registry, own)
    (evaluation,) = registry.evaluations(own)
    assert evaluation.status == IMPORTED
    with pytest.raises(InputError, match="is imported"):
        elsewhere.decide(own, evaluation)
    other = registry.register("bot", model=str(folder / "golden.jsonl"), suite=Suite.load(folder / "suite.yaml"))
    from evalkit.evidence import StoredEvidence

    evidence = StoredEvidence(elsewhere.settings, registry, origin.evaluation)
    address = Address("golden", "exact_match", "value", "")
    assert isinstance(evidence.other(address, own, confidence=0.9), Missing), "a champion is not judged by an import"
    assert other.id != own.id
    made = elsewhere.evaluate(own)
    assert made.status == "finished", "an import does not stand for an evaluation of one's own"
    assert elsewhere.decide(own, made).passed
    assert promotion.promote(registry, own).version_id == own.id


def test_a_record_without_files_is_not_even_overridden(origin: Origin, elsewhere: Session) -> None:
    found = restore(elsewhere, origin.archive)
    with pytest.raises(promotion.PromotionRefusedError, match="not those that were judged"):
        promotion.promote(elsewhere.registry, found.version, override="trust me")
    with pytest.raises(InputError, match="was imported itself"):
        export(elsewhere, found.version, elsewhere.settings.home / "on.zip")


def test_entries_of_other_models_can_be_withheld(origin: Origin, elsewhere: Session, tmp_path: Path) -> None:
    assert origin.exported.others == 1
    assert b"foreign" in members_of(origin.archive)["audit.jsonl"]
    target = tmp_path / "own.zip"
    export(origin.session, origin.version, target, withhold=True)
    assert b"foreign" not in members_of(target)["audit.jsonl"]
    assert restore(elsewhere, target).withheld == 1


_POINTS = {
    "files are unpacked": (restoring, "_store"),
    "before the version in MLflow": (restoring, "_record_version"),
    "before the tables": (Imports, "save_import"),
    "before the tags": (restoring, "_describe"),
}


@pytest.mark.parametrize("point", _POINTS)
def test_killed_at_any_point_nothing_is_half_imported(origin: Origin, elsewhere: Session, point: str) -> None:
    place, name = _POINTS[point]
    elsewhere.registry.close()  # no connection is shared with the process that dies
    child = os.fork()
    if child == 0:
        setattr(place, name, lambda *_, **__: os._exit(9))
        restore(elsewhere, origin.archive)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    counts = {name: len(rows) for name, rows in rows_of(elsewhere).items()}
    stored = [counts[f"evalkit_{name}"] for name in ("model_versions", "evaluations", "decisions", "audit")]
    assert stored in ([0, 0, 0, 0], [1, 1, 1, 1])
    found = restore(elsewhere, origin.archive)
    assert len(found.evaluations) == (stored == [0, 0, 0, 0])
    assert numbers(elsewhere.card(found.version)) == numbers(origin.session.card(origin.version))
    assert len(elsewhere.registry.mlflow.versions("bot")) == 1
    assert not list((elsewhere.settings.home / "submitted").glob(".*"))
    held = elsewhere.registry.mlflow.version("bot", 1)
    assert held.tags["evalkit.suite"] == "answers"
