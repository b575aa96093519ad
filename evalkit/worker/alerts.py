"""What alerts ask of workers: messages to people, tags on model versions, and aliases taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from evalkit.monitoring.channels import deliver
from evalkit.worker.deliveries import Deliveries, Resumable
from evalkit.worker.sending import Answer
from metrics.errors import InputError
from registry import audit
from registry.actors import APPROVER, Actor
from registry.alerts import Alerts
from registry.database import writing
from registry.outbox import ALERT, ALERT_TAGS, DEMOTION, Item

if TYPE_CHECKING:
    from evalkit.config import Settings

_DONE = 200


class AlertDeliveries(Deliveries):
    """Tells destinations of alerts."""

    kind: ClassVar[str] = ALERT
    gone: ClassVar[str] = "the alert was removed"

    def _send(self, item: Item) -> Answer | None:
        alerts = Alerts(self._engine, item.workspace)
        try:
            alert = alerts.seek(item.body["alert"])
        except DBAPIError as error:
            return Answer(None, f"the database could not be read: {str(error.orig)[:200]}")
        if alert is None:
            return None  # removed since, with its monitor or for a person who was erased

        def chart() -> bytes | None:
            from evalkit.monitoring.chart import chart_png

            try:
                return chart_png(alerts.readings(alert), title=f"{alert.monitor}: {alert.check}/{alert.key}")
            except ValueError as error:  # a message without its picture is better than none
                self._say(f"alert {alert.id}: no chart ({type(error).__name__})")
                return None

        try:
            return deliver(
                item.body["destination"], item.id, item.body["message"], chart,
                environment=self._environment, say=self._say,
            )  # fmt: skip
        except DBAPIError as error:
            return Answer(None, f"the database could not be read: {str(error.orig)[:200]}")

    def _named(self, item: Item) -> str:
        return f"alert {item.body['alert']}: delivery"


class AlertTags(Resumable):
    """Shows alerts as tags on the model versions that they are about.

    Args:
        settings: of the project whose registry it is.
    """

    kind: ClassVar[str] = ALERT_TAGS

    def __init__(self, engine: Engine, settings: Settings, **how: Any) -> None:
        super().__init__(engine, **how)
        self._settings = settings

    def _send(self, item: Item) -> Answer | None:
        from evalkit.monitoring.alert_tags import update_tags
        from evalkit.session import open_session

        monitor, model = str(item.body["monitor"]), str(item.body["model"])
        try:
            with open_session(self._settings) as session:
                done = update_tags(self._engine, session.registry, monitor, model, workspace=item.workspace)
        except InputError as error:
            return Answer(None, str(error))
        except DBAPIError as error:
            return Answer(None, f"the database could not be used: {str(error.orig)[:200]}")
        return Answer(_DONE, done)

    def _named(self, item: Item) -> str:
        return f"monitor {item.body['monitor']}: tags on '{item.body['model']}'"


class Demotions(Deliveries):
    """Takes an alias from the version that an alert is about, and gives it back to the former holder.

    Args:
        settings: of the project whose registry it is.
    """

    kind: ClassVar[str] = DEMOTION

    def __init__(self, engine: Engine, settings: Settings, **how: Any) -> None:
        super().__init__(engine, slots=1, **how)
        self._settings = settings

    def _send(self, item: Item) -> Answer | None:
        alerts = Alerts(self._engine, item.workspace)
        try:
            alert = alerts.get(item.body["alert"])
            if alert.closed_at is not None or alert.state == "silenced":
                return Answer(_DONE, f"nothing was changed: the alert is {alert.state}")
            told = self._demote(item, alert.monitor)
            alerts.note(alert.id, told[:1000])
        except InputError as error:
            return Answer(None, str(error))
        except DBAPIError as error:
            return Answer(None, f"the database could not be used: {str(error.orig)[:200]}")
        return Answer(_DONE, told)

    def _demote(self, item: Item, monitor: str) -> str:
        from evalkit.session import open_session
        from registry.demotion import restore_former

        name, alias = str(item.body["name"]), str(item.body["alias"])
        actor = Actor(f"monitor:{monitor}", frozenset({APPROVER}))
        with open_session(self._settings) as session:
            made = restore_former(session.registry, name, alias, held_since=int(item.body["until"]), actor=actor)
        if made.changed:
            facts = {
                "alert": item.body["alert"], "monitor": monitor, "alias": alias,
                "version": made.version, "restored": made.restored,
            }  # fmt: skip
            with writing(self._engine) as database:
                audit.append(
                    database, "alert.demotion", actor=actor.name, name=name, facts=facts, workspace=item.workspace
                )
        return made.detail

    def _named(self, item: Item) -> str:
        return f"alert {item.body['alert']}: demotion"
