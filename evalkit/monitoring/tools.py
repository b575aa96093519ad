"""What checks are lent: judges with the monitor's daily budget, and the watched model's suite."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import Settings
from evalkit.monitoring.definition import Definition
from judges.base import Usage, VerdictJudge
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.session import Session
    from judges.desk import Desk
    from registry.entities import ModelVersion
    from registry.suite import Suite

_SUITE = "suite"
_GROUNDED = ("hallucination", "groundedness")


class ProjectTools:
    """Tools of one run of a monitor.

    Args:
        settings: of the project.
        definition: the monitor.
        spent: what its judges have cost on this UTC day already.
    """

    def __init__(self, settings: Settings, definition: Definition, spent: Usage) -> None:
        self._settings, self._definition, self._spent = settings, definition, spent
        self._open = ExitStack()
        self._desks: dict[str, Desk] = {}
        self._session: Session | None = None

    def close(self) -> None:
        """Release sessions and ledgers."""
        self._open.close()

    def judge(self, name: str, model: str | None) -> VerdictJudge:
        """A judge by file below the monitor's folder, by shipped name, or ``suite``.

        Raises:
            InputError: no such judge, or no model to ask.
        """
        from judges.loading import read_definition
        from judges.opening import open_judge
        from registry.judged import JUDGE_FILES, JudgeDefaults
        from registry.paths import confine

        defaults, folder = JudgeDefaults(), self._definition.folder
        if name == _SUITE:
            return self._judge_of_suite(model)
        found = read_definition(confine(folder, name, "`judge`") if name.endswith(JUDGE_FILES) else name)
        asked = model or found.model
        if asked is None:
            raise InputError(f"judge '{name}' has no model to ask; add `model: openai:/MODEL` to the check")
        return open_judge(found, self._desk(asked, defaults, folder))

    def evaluate(self, suite: str | None) -> Sequence[Any]:
        """Estimates of the watched model on its suite."""
        session, version, bound = self._watched()
        judged_by = bound
        if suite is not None and suite != bound.name:
            from registry.paths import confine
            from registry.suite import Suite

            judged_by = Suite.load(confine(self._definition.folder, suite, "`suite`"))
        return session.evaluate(version, suite=judged_by).estimates

    def _judge_of_suite(self, model: str | None) -> VerdictJudge:
        from judges.opening import open_judge
        from registry.scorers import judge_definition, model_of

        _, version, suite = self._watched()
        for task in suite.spec.tasks.values():
            for score in task.score:
                judged = score.judged
                if score.metric in _GROUNDED and judged is not None and judged.judge and judged.registered is None:
                    found = judge_definition(judged, suite.folder)
                    asked = model or model_of(judged, found, suite.spec.judge)
                    if asked is None:
                        raise InputError(
                            f"the suite '{suite.name}' names no model for its judges; add `model:` to the check"
                        )
                    return open_judge(found, self._desk(asked, suite.spec.judge, suite.folder))
        raise InputError(
            f"the suite '{suite.name}' of {version.reference} judges no groundedness by a model; "
            "name a judge, such as `judge: groundedness` with a `model:`"
        )

    def _watched(self) -> tuple[Session, ModelVersion, Suite]:
        from evalkit.session import open_session

        model = self._definition.spec.model
        if model is None:
            raise InputError("the monitor watches no registered model; give it a `model: models:/name@champion`")
        if self._session is None:
            self._session = self._open.enter_context(open_session(self._settings))
        version = self._session.version(model)
        return self._session, version, self._session.registry.suite(version)

    def _desk(self, model: str, defaults: Any, folder: Path) -> Desk:
        from evalkit.judging.ledger import open_ledger
        from judges.budget import Budget
        from judges.clients.names import open_client
        from judges.desk import Desk
        from judges.prices import parse_price, price_of

        if model not in self._desks:
            ledger = open_ledger(self._settings)
            self._open.callback(ledger.close)
            budget = self._definition.spec.budget
            self._desks[model] = Desk(
                open_client(model, folder=folder),
                ledger,
                price=price_of(model) if defaults.price is None else parse_price(defaults.price),
                budget=None if budget is None else Budget.parse(budget),
                spent=sum((desk.spent for desk in self._desks.values()), self._spent),
            )
        return self._desks[model]
