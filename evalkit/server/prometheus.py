"""``/metrics`` for Prometheus: latest estimates with their bounds, alerts, jobs, workers and what judges cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select

from evalkit.project import Project
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views.inventory import newest_window
from registry.alerts import ACKNOWLEDGED, OPEN, SILENCED
from registry.database import reading
from registry.digests import now_ms
from registry.firings import DONE
from registry.tables import DEFAULT_WORKSPACE, DecisionRow, EstimateRow, FiringRow, ModelVersionRow
from registry.tables_monitoring import AlertRow, MonitorRow, SignalRow
from registry.workers import workers

router = APIRouter(include_in_schema=False)
_OUTCOMES = {"pass": 1.0, "inconclusive": 0.5, "fail": 0.0}


@router.get("/metrics", dependencies=[Depends(needs())])
def metrics(project: InProject) -> Response:
    """Everything at once, as text; any login may read it, so a viewer's token serves a scraper."""
    registry = CollectorRegistry()
    registry.register(_Collector(project))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Collector:
    def __init__(self, project: Project) -> None:
        self._project = project

    def collect(self) -> Iterator[Any]:
        yield from self._signals()
        yield from self._verdicts()
        yield self._alerts()
        yield from self._jobs()
        yield from self._judges()
        alive = GaugeMetricFamily("evalkit_workers_alive", "Worker processes with a heartbeat.")
        alive.add_metric([], sum(one.alive for one in workers(self._project.engine)))
        yield alive

    def _signals(self) -> Iterator[Any]:
        """Signals over all rows of each monitor's newest window; slices are in the API."""
        query = (
            select(
                MonitorRow.name, SignalRow.check, SignalRow.key, SignalRow.value, SignalRow.low, SignalRow.high,
                SignalRow.n,
            )
            .join(SignalRow, SignalRow.window_id == newest_window())
            .where(MonitorRow.workspace == DEFAULT_WORKSPACE, SignalRow.slice == "")
            .order_by(MonitorRow.name, SignalRow.position)
        )  # fmt: skip
        labels = ["monitor", "check", "key"]
        value = GaugeMetricFamily("evalkit_signal", "Estimate of a monitor's newest window.", labels=labels)
        low = GaugeMetricFamily("evalkit_signal_low", "Lower end of its interval.", labels=labels)
        high = GaugeMetricFamily("evalkit_signal_high", "Upper end of its interval.", labels=labels)
        count = GaugeMetricFamily("evalkit_signal_n", "Samples behind it.", labels=labels)
        with reading(self._project.engine) as session:
            for name, check, key, *numbers in session.execute(query):
                for family, number in zip((value, low, high, count), numbers, strict=True):
                    if number is not None:
                        family.add_metric([name, check, key], float(number))
        yield from (value, low, high, count)

    def _verdicts(self) -> Iterator[Any]:
        """The newest decision of each model and the estimates it was made on."""
        newest = (
            select(
                DecisionRow.evaluation_id, DecisionRow.outcome, ModelVersionRow.name, ModelVersionRow.version,
                func.row_number()
                .over(partition_by=ModelVersionRow.name, order_by=DecisionRow.created_at.desc())
                .label("place"),
            )
            .join(ModelVersionRow, ModelVersionRow.id == DecisionRow.version_id)
            .where(DecisionRow.workspace == DEFAULT_WORKSPACE)
            .subquery()
        )  # fmt: skip
        decided = select(newest.c.evaluation_id, newest.c.outcome, newest.c.name, newest.c.version)
        verdict = GaugeMetricFamily(
            "evalkit_gate", "Newest decision: 1 pass, 0.5 inconclusive, 0 fail.", labels=["model", "version"]
        )
        labels = ["model", "version", "metric"]
        value = GaugeMetricFamily("evalkit_estimate", "Estimate of the newest decided evaluation.", labels=labels)
        low = GaugeMetricFamily("evalkit_estimate_low", "Lower end of its interval.", labels=labels)
        high = GaugeMetricFamily("evalkit_estimate_high", "Upper end of its interval.", labels=labels)
        with reading(self._project.engine) as session:
            found = {row[0]: row[1:] for row in session.execute(decided.where(newest.c.place == 1))}
            for outcome, name, version in found.values():
                verdict.add_metric([name, str(version)], _OUTCOMES[outcome])
            query = select(
                EstimateRow.evaluation_id, EstimateRow.task, EstimateRow.metric, EstimateRow.key, EstimateRow.value,
                EstimateRow.low, EstimateRow.high,
            ).where(EstimateRow.evaluation_id.in_(found), EstimateRow.slice == "")  # fmt: skip
            for evaluation, task, metric, key, *numbers in session.execute(query):
                _, name, version = found[evaluation]
                shown = f"{task}/{metric}" + ("" if key == "value" else f".{key}")
                for family, number in zip((value, low, high), numbers, strict=True):
                    if number is not None:
                        family.add_metric([name, str(version), shown], float(number))
        yield from (verdict, value, low, high)

    def _alerts(self) -> Any:
        family = GaugeMetricFamily("evalkit_alerts", "Alerts that last, by state.", labels=["monitor", "state"])
        query = select(MonitorRow.name, AlertRow.acknowledged_at, AlertRow.silenced_until).join(
            MonitorRow, MonitorRow.id == AlertRow.monitor_id
        ).where(AlertRow.workspace == DEFAULT_WORKSPACE, AlertRow.closed_at.is_(None))  # fmt: skip
        counts: dict[tuple[str, str], int] = {}
        now = now_ms()
        with reading(self._project.engine) as session:
            for name, acknowledged, silenced in session.execute(query):
                state = SILENCED if (silenced or 0) > now else OPEN if acknowledged is None else ACKNOWLEDGED
                counts[name, state] = counts.get((name, state), 0) + 1
        for place, count in counts.items():
            family.add_metric(list(place), count)
        return family

    def _jobs(self) -> Iterator[Any]:
        due = GaugeMetricFamily("evalkit_job_last_due_seconds", "When its latest firing was due.", labels=["schedule"])
        done = GaugeMetricFamily(
            "evalkit_job_last_success_seconds", "When its latest firing that succeeded was due.", labels=["schedule"]
        )
        every = (
            select(FiringRow.schedule, func.max(FiringRow.due))
            .where(FiringRow.workspace == DEFAULT_WORKSPACE)
            .group_by(FiringRow.schedule)
        )
        with reading(self._project.engine) as session:
            for family, query in ((due, every), (done, every.where(FiringRow.outcome == DONE))):
                for name, at in session.execute(query):
                    family.add_metric([name], at / 1000)
        yield from (due, done)

    def _judges(self) -> Iterator[Any]:
        from evalkit.judging.ledger import open_ledger

        labels = ["judge", "model"]
        cost = GaugeMetricFamily("evalkit_judge_cost_dollars", "What its priced replies have cost.", labels=labels)
        replies = GaugeMetricFamily("evalkit_judge_replies", "Replies that were bought.", labels=labels)
        tokens = GaugeMetricFamily("evalkit_judge_tokens", "Tokens of prompts and replies.", labels=labels)
        ledger = open_ledger(self._project.settings)
        try:
            for total in ledger.totals(("judge", "model")):
                place = [str(total.group[part]) for part in ("judge", "model")]
                if total.cost is not None:
                    cost.add_metric(place, total.cost)
                replies.add_metric(place, total.replies)
                tokens.add_metric(place, total.prompt_tokens + total.output_tokens)
        finally:
            ledger.close()
        yield from (cost, replies, tokens)
