"""Archives out of and into every supported database: the same content, and rows that count for nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.config import Settings
from evalkit.portable.export import export
from evalkit.portable.restore import restore
from evalkit.session import Session
from registry import audit
from registry.database import connect
from registry.store import Registry
from registry.suite import Suite

SUITE = """\
suite: sums
tasks:
  golden:
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected}
    score: [exact_match]
gate:
  rules: [{metric: golden/exact_match, min: 0.5}]
"""


@pytest.fixture
def session(apart: Registry, database_url: str, mlflow_uri: str, tmp_path: Path) -> Session:
    """A project whose tables are in the database of the test."""
    (tmp_path / ".evalkit").mkdir()
    return Session(Settings(tmp_path / ".evalkit", mlflow_uri, mlflow_uri, database_url, advisory=True), apart)


@pytest.fixture
def archive(session: Session, tmp_path: Path) -> Path:
    """Of a decided version in that project."""
    rows = [{"id": f"q{i}", "question": f"{i}?", "expected": [str(i)], "output": str(i)} for i in range(30)]
    (tmp_path / "outputs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "suite.yaml").write_text(SUITE)
    suite = Suite.load(tmp_path / "suite.yaml")
    version = session.registry.register("bot", model=str(tmp_path / "outputs.jsonl"), suite=suite)
    session.decide(version, session.evaluate(version), log=False)
    export(session, version, tmp_path / "bot.zip")
    return tmp_path / "bot.zip"


@pytest.fixture
def emptied(session: Session, archive: Path, tmp_path: Path, empty_store: Path) -> Iterator[Session]:
    """The same database without anything in it, beside a new MLflow."""
    from sqlalchemy import text

    from registry.tables import Base

    engine = connect(session.settings.database_url)
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(text(f"DELETE FROM {table.name}"))
    engine.dispose()
    folder = tmp_path / "second"
    (folder / ".evalkit").mkdir(parents=True)
    shutil.copyfile(empty_store, folder / "mlflow.db")
    url = f"sqlite:///{folder / 'mlflow.db'}"
    settings = Settings(folder / ".evalkit", url, url, session.settings.database_url, advisory=True)
    registry = Registry(settings.database_url, url, artifact_root=settings.artifacts)
    yield Session(settings, registry)
    registry.close()


def test_an_archive_restores_what_was_deleted(archive: Path, emptied: Session) -> None:
    found = restore(emptied, archive)
    registry = emptied.registry
    assert (found.version.reference, found.recomputed, found.decisions) == ("models:/bot/1", 1, 1)
    card = emptied.card(found.version)
    assert [(line.name, line.estimate.value) for s in card.sections for line in s.lines] == [
        ("golden/exact_match", 1.0)
    ]
    assert [made.outcome for made in registry.decisions(found.version)] == ["pass"]
    assert registry.current_decision(found.version) is None
    assert registry.evaluation(found.version) is None
    assert restore(emptied, archive).evaluations == ()
    engine = connect(emptied.settings.database_url)
    report = audit.verify(engine)
    engine.dispose()
    assert (report.entries, report.findings) == (1, ())
