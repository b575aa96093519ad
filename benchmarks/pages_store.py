"""A database as a large team has it after a year: models with versions and decisions, monitors with signals.

One version is evaluated and decided for real; its rows, and those of windows as the monitor writes them, are then
copied under other names.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.config import Settings
from evalkit.monitoring import api, scheduling
from evalkit.session import Session
from registry import audit
from registry.database import connect, writing
from registry.digests import new_id, now_ms
from registry.promotion import promote
from registry.store import Registry
from registry.suite import Suite

DAY = 86_400_000
CHECKS = ("hallucination", "toxicity", "refusal", "length", "latency", "drift", "groups", "operational")
KEYS = 5
"""Numbers of each check; with `CHECKS` the 40 signals of a window."""
OUTCOMES = ("pass", "pass", "fail", "inconclusive")
SUITE = """\
suite: answers
tasks:
  golden:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected, slices: [language]}
    score: [exact_match, token_f1, empty, distinct_n]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.5}
    - {metric: golden/token_f1, min: 0.5}
"""
MONITOR = """\
monitor: monitor-000
model: models:/model-00@champion
source:
  files: traffic
  columns: {id: id, time: time, prompt: question, output: answer, latency: seconds, slices: [language]}
checks:
  - {operational: [length], as: length, alert: {versus: baseline, key: length}}
"""


@dataclass(frozen=True)
class Size:
    """How much there is."""

    models: int = 50
    versions: int = 2_000
    monitors: int = 500
    signals: int = 1_000_000
    entries: int = 5_000

    @property
    def windows(self) -> int:
        """Windows of each monitor."""
        return math.ceil(self.signals / self.monitors / (len(CHECKS) * KEYS))


def fill(folder: Path, size: Size) -> None:
    """Make the project in a folder."""
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    (folder / "evalkit.toml").touch()
    file = home / "mlflow.db"
    url = f"sqlite:///{file}"
    _template(folder, Settings(home, url, url, url, advisory=False))
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA synchronous = OFF")
        copies = _Copies(database)
        copies.versions(size)
        copies.monitors(size)
        database.commit()
        database.execute("ANALYZE")
        database.commit()
    schedules = scheduling.schedules_of(Settings(home, url, url, url, advisory=False))
    for place in range(size.monitors):
        name = f"monitor-{place:03}"
        schedules.apply(scheduling.schedule_name(name), f"{place % 60} 1 * * *", kind=scheduling.KIND, target=name)
    engine = connect(url)
    with writing(engine) as session:
        for number in range(size.entries):
            name = f"model-{number % size.models:02}"
            audit.append(session, "decision", actor="benchmark", name=name, facts={"number": number})
    engine.dispose()


def _template(folder: Path, settings: Settings) -> None:
    """The first version, evaluated, decided and promoted; and the first monitor, applied."""
    rng = random.Random(7)
    data, outputs = [], []
    for i in range(60):
        said = str(i) if rng.random() < 0.9 else "wrong"
        data.append(
            {"id": f"q{i}", "question": f"number {i}", "expected": [str(i)], "language": ("de", "en", "fr")[i % 3]}
        )
        outputs.append({"id": f"q{i}", "output": said, "latency": 0.01 * i})
    for name, rows in (("golden.jsonl", data), ("outputs.jsonl", outputs)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "monitor.yaml").write_text(MONITOR)
    (folder / "traffic").mkdir()
    registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
    session = Session(settings, registry)
    suite = Suite.load(folder / "suite.yaml")
    version = registry.register("model-00", model=str(folder / "outputs.jsonl"), suite=suite)
    session.decide(version, session.evaluate(version))
    promote(registry, version)
    registry.close()
    api.apply(folder / "monitor.yaml", schedule=False, settings=settings)


class _Copies:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._rng = random.Random(7)
        self._now = now_ms()

    def _one(self, table: str) -> dict[str, Any]:
        return dict(self._database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone())

    def _add(self, table: str, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        names = ", ".join(f'"{name}"' for name in first)
        places = ", ".join(f":{name}" for name in first)
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
        self._database.execute(statement, first)
        self._database.executemany(statement, rows)

    def versions(self, size: Size) -> None:
        registered, held = self._one("registered_models"), self._one("model_versions")
        alias, version = self._one("registered_model_aliases"), self._one("evalkit_model_versions")
        evaluation, decision = self._one("evalkit_evaluations"), self._one("evalkit_decisions")
        promotion, binding = self._one("evalkit_promotions"), self._one("evalkit_suite_bindings")
        estimates = [dict(row) for row in self._database.execute("SELECT * FROM evalkit_estimates")]
        tags = [dict(row) for row in self._database.execute("SELECT * FROM model_version_tags")]
        each = size.versions // size.models
        for place in range(size.models):
            name = f"model-{place:02}"
            if place:
                self._add("registered_models", [{**registered, "name": name}])
                self._add("registered_model_aliases", [{**alias, "name": name, "version": each - 1}])
            for number in range(1 if place else 2, each + 1):
                at = self._now - (each - number) * DAY
                outcome = OUTCOMES[(place + number) % len(OUTCOMES)] if number != each - 1 else "pass"
                ids = {key: new_id() for key in ("version", "evaluation", "decision")}
                self._add("model_versions", [{**held, "name": name, "version": number, "creation_time": at}])
                self._add("model_version_tags", [{**tag, "name": name, "version": number} for tag in tags])
                own = {"id": ids["version"], "name": name, "version": number, "registered_at": at, "created_at": at}
                self._add("evalkit_model_versions", [{**version, **own, "artifact_digest": f"sha256:{ids['version']}"}])
                of = {"version_id": ids["version"], "created_at": at}
                self._add("evalkit_suite_bindings", [{**binding, **of, "id": new_id()}])
                digest = {"id": ids["evaluation"], "digest": f"sha256:{ids['evaluation']}"}
                self._add("evalkit_evaluations", [{**evaluation, **of, **digest, "started_at": at, "finished_at": at}])
                self._add("evalkit_estimates", [self._moved(row, ids["evaluation"], at) for row in estimates])
                told = json.loads(decision["record"].replace(decision["id"], ids["decision"]))
                told |= {"version_id": ids["version"], "evaluation_id": ids["evaluation"], "outcome": outcome}
                made = {
                    "id": ids["decision"], "evaluation_id": ids["evaluation"], "outcome": outcome,
                    "artifact_digest": f"sha256:{ids['version']}", "record": json.dumps(told),
                }  # fmt: skip
                self._add("evalkit_decisions", [{**decision, **of, **made}])
                if outcome == "pass":
                    moved = {"id": new_id(), "name": name, "decision_id": ids["decision"]}
                    self._add("evalkit_promotions", [{**promotion, **of, **moved}])

    def _moved(self, row: dict[str, Any], evaluation: str, at: int) -> dict[str, Any]:
        """An estimate as another version has it."""
        by = self._rng.gauss(0, 0.02)
        record = json.loads(row["record"])
        for key in ("value", "low", "high"):
            record[key] = None if record[key] is None else record[key] + by
        return {
            **row, "id": new_id(), "evaluation_id": evaluation, "created_at": at, "record": json.dumps(record),
            **{key: record[key] for key in ("value", "low", "high")},
        }  # fmt: skip

    def monitors(self, size: Size) -> None:
        monitor, text = self._one("evalkit_monitors"), self._one("evalkit_monitor_versions")
        self._database.execute("DELETE FROM evalkit_monitor_versions")
        self._database.execute("DELETE FROM evalkit_monitors")
        first = self._now // DAY * DAY - size.windows * DAY
        for place in range(size.monitors):
            own = new_id()
            name, model = f"monitor-{place:03}", f"models:/model-{place % size.models:02}@champion"
            status = "paused" if place % 20 == 19 else "active"
            changed = {"id": own, "name": name, "model": model, "status": status, "first_event": first}
            self._add("evalkit_monitors", [{**monitor, **changed, "last_event": self._now}])
            told = text["text"].replace("monitor-000", name).replace("models:/model-00@champion", model)
            self._add("evalkit_monitor_versions", [{**text, "id": new_id(), "monitor_id": own, "text": told}])
            windows = [(new_id(), first + number * DAY) for number in range(size.windows)]
            self._add("evalkit_windows", [self._window(own, text["digest"], *window) for window in windows])
            self._add("evalkit_signals", self._signals(own, windows))
            self._add("evalkit_readings", self._readings(own, windows))
            self._add("evalkit_alerts", self._alerts(own, place, windows))
            self._add("evalkit_firings", self._firings(name, place, windows))

    def _row(self, monitor: str) -> dict[str, Any]:
        return {"id": new_id(), "workspace": "default", "created_at": self._now, "monitor_id": monitor}

    def _window(self, monitor: str, digest: str, window: str, start: int) -> dict[str, Any]:
        usage = {"requests": 200, "cost": 0.4, "prompt_tokens": 90_000, "output_tokens": 4_000}
        return {
            **self._row(monitor), "id": window, "version_digest": digest, "cadence": "day", "start": start,
            "end": start + DAY, "revision": 1, "newest": 1, "status": "ok", "rows": 5_000, "late": 0,
            "watermark": "{}", "contract": json.dumps({"contract": "c", "checked": 6, "breaches": []}), "notes": "[]",
            "usage": json.dumps(usage), "finished_at": start + DAY + 3_600_000,
        }  # fmt: skip

    def _signals(self, monitor: str, windows: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        samples = json.dumps([f"row-{i}" for i in range(5)])
        for window, start in windows:
            for position in range(len(CHECKS) * KEYS):
                check, key = CHECKS[position // KEYS], position % KEYS
                value = 0.05 + 0.01 * self._rng.random()
                record = {
                    "value": value, "low": value - 0.02, "high": value + 0.02, "n": 5_000, "effective_n": None,
                    "coverage": 1.0, "worst_low": value, "worst_high": value, "spread": None, "method": "wilson",
                    "estimand": "rate", "confidence": 0.95,
                }  # fmt: skip
                yield {
                    **self._row(monitor), "window_id": window, "start": start, "position": position, "check": check,
                    "key": check if key == 0 else f"{check}.{key}" if key < 3 else check,
                    "slice": "" if key < 3 else f"language={('de', 'en')[key - 3]}", "value": value,
                    "low": value - 0.02, "high": value + 0.02, "n": 5_000, "coverage": 1.0, "verdict": "measured",
                    "reason": "", "p_value": None, "record": json.dumps(record), "samples": samples,
                }  # fmt: skip

    def _readings(self, monitor: str, windows: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        for window, start in windows:
            for check in CHECKS[:5]:
                yield {
                    **self._row(monitor), "window_id": window, "start": start, "check": check, "key": check,
                    "slice": "", "rule": "max", "status": "ok", "alerting": 0, "statistic": self._rng.random(),
                    "threshold": 1.0, "warning": 0.1, "level": 0.08, "value": 0.05, "low": 0.03, "high": 0.07,
                    "n": 5_000, "reason": "0.05 at n = 5000, limit 0.08",
                }  # fmt: skip

    def _firings(self, monitor: str, place: int, windows: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        schedule = scheduling.schedule_name(monitor)
        for number, (_, start) in enumerate(windows):
            due = start + DAY + 3_600_000
            failed = place % 50 == 3 and number > len(windows) - 3
            yield {
                "workspace": "default", "key": f"{schedule}@{due}", "schedule": schedule, "due": due,
                "token": new_id(), "executor": "benchmark", "attempts": 1, "started_at": due + 1_000,
                "finished_at": due + 9_000, "outcome": "failed" if failed else "done",
                "error": "the source does not answer" if failed else None,
            }  # fmt: skip

    def _alerts(self, monitor: str, place: int, windows: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        for number, check in enumerate(CHECKS[:3]):
            window, start = windows[len(windows) * (number + 1) // 4]
            lasting = place % 10 == 0 and number == 2
            yield {
                **self._row(monitor), "window_id": window, "cadence": "day", "check": check, "key": check,
                "slice": "", "rule": "max", "opened_at": start, "opened_until": start + DAY,
                "closed_at": None if lasting else start + 3 * DAY, "statistic": 1.2, "threshold": 1.0, "value": 0.12,
                "reason": "0.12 at n = 5000, limit 0.08: evidence at 100 % of the alarm threshold",
                "samples": json.dumps([f"row-{i}" for i in range(5)]), "announced_at": start + DAY,
                "acknowledged_at": None, "acknowledged_by": None, "silenced_until": None, "comment": "", "action": "",
            }  # fmt: skip
