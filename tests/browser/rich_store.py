"""A project in which every page has something to show, and everything that somebody wrote is a payload."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from evalkit.config import Settings
from evalkit.monitoring import api, scheduling
from evalkit.session import Session, open_database
from registry.alerts import Alerts
from registry.firings import claim, finished
from registry.promotion import promote
from registry.store import Registry
from registry.suite import Suite

TEXT, IMAGES, MONITOR = "bot", "pictures", "production"
DAY = 86_400_000
START = 1_777_593_600_000  # 2026-05-01T00:00Z
DAYS, ROWS, LEARNING = 20, 60, 7
LOST_DAY, BROKEN_DAY, CHANGED_DAY, MENDED_DAY = 9, 11, 12, 16

TEXT_SUITE = """\
suite: answers
description: {description}
tasks:
  golden:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {{id: id, prompt: question, expected: expected, context: context, slices: [language, topic]}}
    score: [exact_match, token_f1, distinct_n, {{replay: [verdicts.jsonl], as: helpful}}]
gate:
  rules:
    - {{metric: golden/exact_match, min: 0.5}}
    - {{metric: golden/helpful, min: 0.4}}
"""
IMAGE_SUITE = """\
suite: pictures
tasks:
  images:
    outputs: made
    reference: real
    extractor: pixels
    score: [precision, recall, density, coverage]
gate:
  rules:
    - {metric: images/precision, min: 0.1}
    - {metric: images/recall, min: 0.5}
"""
MONITOR_FILE = """\
monitor: production
model: models:/bot@champion
description: {description}
source:
  files: traffic
  columns: {{id: id, time: time, prompt: question, output: answer, context: context, latency: seconds,
            slices: [language]}}
every: day
contract: contract.yaml
baseline: 7d
minimum: 20
retention: {{raw: 3000d}}
checks:
  - {{operational: [empty], as: empty, slices: [], alert: {{max: 0.1, key: empty}}}}
  - {{operational: [length], as: length, slices: [], alert: {{versus: baseline, key: length}}}}
  - {{drift: [prompt, output, latency, language], against: [baseline], slices: [], alert: {{versus: baseline}}}}
  - {{groups: {{by: [language], of: [length, empty], minimum: 10}}}}
"""
CONTRACT = """\
contract: production
volume: {min: 20}
expectations:
  - {expect_column_values_to_not_be_null: {column: prompt}}
  - {expect_column_values_to_be_between: {column: latency, min_value: 0, max_value: 60, mostly: 0.98}}
"""


def build(folder: Path, empty_store: Path, payloads: tuple[str, ...], hostile_name: str) -> dict[str, Any]:
    """Make the project in a folder; what its addresses need to know."""
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    shutil.copyfile(empty_store, home / "mlflow.db")
    (folder / "evalkit.toml").touch()
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    session = Session(settings, registry)
    _texts(folder / "text", session, payloads, hostile_name)
    _pictures(folder / "images", session)
    registry.close()
    return {**_monitor(folder / "watched", settings, payloads), "text": TEXT, "images": IMAGES, "monitor": MONITOR}


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _texts(folder: Path, session: Session, payloads: tuple[str, ...], hostile_name: str) -> None:
    folder.mkdir()
    for number, wrong in enumerate((2, 30), 1):
        data, outputs, verdicts = [], [], []
        for i, payload in enumerate(payloads):
            right, said = str(i), str(i) if i >= wrong else payload
            data.append({
                "id": f"q{i}", "question": f"{i}? {payload}", "expected": [right], "context": payload,
                "language": payload if i % 8 == 0 else ("de", "en")[i % 2], "topic": payloads[0],
            })  # fmt: skip
            outputs.append({"id": f"q{i}", "output": said, "latency": 0.01 * i})
            verdicts.append({"id": f"q{i}", "output": said, "verdict": float(i >= wrong), "rationale": f"R {payload}"})
        _jsonl(folder / "golden.jsonl", data)
        _jsonl(folder / "outputs.jsonl", outputs)
        _jsonl(folder / "verdicts.jsonl", verdicts)
        (folder / "suite.yaml").write_text(TEXT_SUITE.format(description=json.dumps(payloads[6])))
        for name in (TEXT, hostile_name) if number == 1 else (TEXT,):
            version = session.registry.register(
                name, model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"),
                description=payloads[7], new_version=True,
            )  # fmt: skip
            decision = session.decide(version, session.evaluate(version))
            if decision.passed:
                promote(session.registry, version)
            client = session.registry.mlflow.client
            client.update_registered_model(name, payloads[8])
            client.set_model_version_tag(name, str(version.version), "note", payloads[9])
            client.set_registered_model_tag(name, "owner", payloads[10])
    assert {one.version for one in session.registry.versions(TEXT)} == {1, 2}
    promote(session.registry, version, "staging", override=payloads[11])


def _pictures(folder: Path, session: Session) -> None:
    rng = np.random.default_rng(7)
    for number in (1, 2):
        shutil.rmtree(folder, ignore_errors=True)
        for name, levels in (("real", (40, 200)), ("made", (40, 200) if number == 1 else (40, 40))):
            (folder / name).mkdir(parents=True)
            for i in range(24):
                picture = np.clip(rng.integers(-30, 31, (8, 8, 3)) + levels[i % 2], 0, 255).astype(np.uint8)
                Image.fromarray(picture).save(folder / name / f"{i:02}.png")
        (folder / "suite.yaml").write_text(IMAGE_SUITE)
        version = session.registry.register(
            IMAGES, model=str(folder / "made"), suite=Suite.load(folder / "suite.yaml"), new_version=True
        )
        session.decide(version, session.evaluate(version))


def _monitor(folder: Path, settings: Settings, payloads: tuple[str, ...]) -> dict[str, Any]:
    traffic = folder / "traffic"
    traffic.mkdir(parents=True)
    (folder / "contract.yaml").write_text(CONTRACT)
    (folder / "monitor.yaml").write_text(MONITOR_FILE.format(description=json.dumps(payloads[12])))
    rng = random.Random(7)
    for day in (day for day in range(DAYS) if day != LOST_DAY):
        _jsonl(traffic / f"{day:02}.jsonl", [_row(day, i, rng, payloads) for i in range(ROWS)])
    api.apply(folder / "monitor.yaml", settings=settings)
    end = START + DAYS * DAY + 2 * 3_600_000
    api.run(MONITOR, now=end, settings=settings)
    with open_database(settings) as engine:
        job = scheduling.schedule_name(MONITOR)
        firing = claim(engine, f"{job}@{end}", schedule=job, due=end, executor="worker")
        assert firing is not None
        finished(engine, firing, error=payloads[14])
    return {"job": quote(job, safe=""), **_act_on_alerts(settings, payloads)}


def _row(day: int, i: int, rng: random.Random, payloads: tuple[str, ...]) -> dict[str, Any]:
    changed = CHANGED_DAY <= day < MENDED_DAY
    longer = day >= CHANGED_DAY
    answer = "" if changed and i % 2 else " ".join(["word"] * rng.randint(3, 9) * (4 if longer else 1))
    if i < len(payloads) and answer:
        answer = payloads[i]
    return {
        "id": f"{day}-{i}", "time": START + day * DAY + i * (DAY // ROWS), "question": payloads[i % len(payloads)],
        "answer": answer, "context": payloads[(i + 1) % len(payloads)], "language": payloads[i % 3],
        "seconds": rng.uniform(0.5, 1.5) * (1000 if day == BROKEN_DAY else 1),
    }  # fmt: skip


def _act_on_alerts(settings: Settings, payloads: tuple[str, ...]) -> dict[str, Any]:
    with open_database(settings) as engine:
        alerts = Alerts(engine)
        found = alerts.find(MONITOR, closed=True)
        lasting = [one for one in found if one.closed_at is None]
        ended = [one for one in found if one.closed_at is not None]
        assert lasting and ended, [(one.signal, one.closed_at) for one in found]
        alerts.acknowledge(lasting[0].id, payloads[13])
    return {"lasting": lasting[0].id, "ended": ended[0].id, "window": START + CHANGED_DAY * DAY}
