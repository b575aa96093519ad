"""Files for continuous integration: JUnit XML and a Markdown scorecard of one decision."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.config import Settings
    from evalkit.quick import FileComparison
    from evalkit.reports.scorecard import Scorecard
    from evalkit.reports.terminal import ComparisonRow
    from evalkit.session import Session
    from registry.entities import Decision


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the reports go; None where one is not wanted. Made before the work, so that it does not end in vain.

    Raises:
        InputError: a file could not be written there.
    """

    junit: Path | None = None
    markdown: Path | None = None

    def __post_init__(self) -> None:
        for option, path in (("--junit", self.junit), ("--markdown", self.markdown)):
            if path is not None:
                _check_target(option, path)
        if self.junit is not None and self.markdown is not None and self.junit.resolve() == self.markdown.resolve():
            raise InputError(f"--junit and --markdown both name {self.junit}; give each a file of its own")

    def write(self, decision: Decision, *, settings: Settings | None = None) -> None:
        """Write what is wanted about a decision; each file is there whole or as it was before."""
        from evalkit.reports import junit, markdown
        from evalkit.session import open_session

        if self.junit is None and self.markdown is None:
            return
        with open_session(settings) as session:
            card, differences = decided_card(decision, session, compared=self.markdown is not None)
        if self.junit is not None:
            _write(self.junit, junit.render(decision, card.suite))
        if self.markdown is not None:
            _write(self.markdown, markdown.render(decision, card, differences).encode())

    def write_comparison(self, found: FileComparison) -> None:
        """Write what is wanted about two files of outputs."""
        from evalkit.reports import junit, markdown
        from registry.digests import now_ms

        if self.junit is not None:
            if found.outcome is None or found.margin is None:
                raise InputError("--junit reports a decision: give --baseline and --margin, so that there is one")
            case = junit.Case(
                f"token_f1 not worse by more than {found.margin:g}", found.outcome, _why(found, "token_f1")
            )
            named = {"candidate": found.candidate, "baseline": found.baseline or "", "verdict": found.outcome}
            _write(self.junit, junit.document("files", "evalkit.files", [case], named, now_ms()))
        if self.markdown is not None:
            _write(self.markdown, markdown.render_comparison(found).encode())


def decided_card(
    decision: Decision, session: Session, *, compared: bool
) -> tuple[Scorecard, tuple[ComparisonRow, ...]]:
    """The scorecard behind a decision; where `compared`, all differences to the champion that it was made against."""
    from evalkit.differences import differences
    from evalkit.reports import scorecard
    from registry.current import IMPORTED

    registry = session.registry
    version = registry.version(f"models:/{decision.model}/{decision.version}")
    evaluation = registry.evaluation_by_id(decision.evaluation_id)
    champion = None
    if compared and evaluation.status != IMPORTED and decision.champion not in {None, decision.version}:
        champion = registry.version(f"models:/{decision.model}/{decision.champion}")
    rows = differences(session, evaluation, champion) if champion is not None else ()
    card = scorecard.build(
        version,
        registry.suite(version).spec,
        evaluation,
        decision=decision,
        champion_version=champion,
    )
    return card, rows


def _why(found: FileComparison, metric: str) -> str:
    from evalkit.reports.numbers import interval

    row = next(row for row in found.rows if row.metric == metric)
    change = "none" if row.difference is None else interval(row.difference, signed=True)
    return f"{interval(row.candidate)}, difference to the baseline {change}"


def _check_target(option: str, path: Path) -> None:
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise InputError(f"{option} {path}: this is not a file; give the name of a file to write")
    folder = next(parent for parent in target.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{option} {path}: nothing can be written in {folder}; give another place")


def _write(path: Path, content: bytes) -> None:
    from evalkit.runner.shards import write_atomically

    write_atomically(path.resolve(), content)
