"""Where suites are at home: files that people registered or named in a policy, with the data beside them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.entities import ModelVersion
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, ModelVersionRow, SuiteRow


class SuiteHomes:
    """Suites and their files in one workspace."""

    _engine: Engine
    _workspace: str

    def registered_from(self, version: ModelVersion) -> str | None:
        """The suite's file that a person registered a version with; None where the version brought its suite."""
        with reading(self._engine) as session:
            return session.scalar(select(ModelVersionRow.suite_file).where(ModelVersionRow.id == version.id))

    def suite_at_home(self, digest: str) -> Suite | None:
        """The suite with this digest, together with its file where that still says the same on this machine.

        None where no suite with this digest is known.
        """
        with reading(self._engine) as session:
            row = session.scalar(
                select(SuiteRow).where(SuiteRow.workspace == self._workspace, SuiteRow.digest == digest)
            )
            if row is None:
                return None
            text = row.text
            registered = (
                select(ModelVersionRow.suite_file)
                .where(ModelVersionRow.suite_id == row.id, ModelVersionRow.suite_file.is_not(None))
                .order_by(ModelVersionRow.created_at.desc())
                .limit(20)
            )
            files = [file for file in (row.file, *session.scalars(registered)) if file]
        for file in files:
            try:
                found = Suite.load(file, check_files=False)
            except InputError:
                continue  # moved, or edited into something else
            if found.digest == digest:
                return found
        return Suite.from_text(text, Path.cwd(), origin=f"suite {digest[:19]}", check_files=False)


def stored_suite(session: Session, suite: Suite, workspace: str) -> SuiteRow:
    """The row of a suite, made within the caller's transaction where there is none."""
    query = select(SuiteRow).where(SuiteRow.workspace == workspace, SuiteRow.digest == suite.digest)
    row = session.scalar(query)
    if row is None:
        row = SuiteRow(
            id=new_id(),
            workspace=workspace,
            created_at=now_ms(),
            name=suite.name,
            digest=suite.digest,
            text=suite.text,
        )
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:  # another process stored it between our look and our write
            row = session.scalars(query).one()
    return row


def remember_suite(engine: Engine, suite: Suite, workspace: str = DEFAULT_WORKSPACE) -> None:
    """Keep a suite that a policy names, and where it was read from."""
    with writing(engine) as session:
        row = stored_suite(session, suite, workspace)
        row.file = suite.file or row.file
