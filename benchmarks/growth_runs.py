"""One size of `benchmarks.growth`, in a process of its own: ``growth_runs WHAT SIZE FOLDER [DATABASE]`` prints JSON."""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine, TextClause, select, text

from benchmarks.growth_signals import EACH, END, HOUR, WINDOWS, add_monitors
from benchmarks.pages_store import Size, fill
from evalkit.config import Settings
from evalkit.server.api.project import open_project
from evalkit.session import Session
from evalkit.views import inventory, monitor_data
from registry import outbox
from registry.database import connect, reading, upgrade, writing
from registry.digests import new_id
from registry.store import Registry
from registry.suite import Suite
from registry.tables_monitoring import MonitorRow, SignalRow

_REPEATS = 7


def _seconds(run: Callable[[], object]) -> float:
    """The fastest of a few runs: what else the machine does only ever adds."""
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _stored(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _settings(folder: Path) -> Settings:
    url = f"sqlite:///{folder / '.evalkit' / 'mlflow.db'}"
    return Settings(folder / ".evalkit", url, url, url, advisory=False)


def samples(size: int, folder: Path) -> dict[str, float]:
    """Evaluate stored answers with three text metrics: seconds, and megabytes stored."""
    fill(folder, Size(1, 2, 1, 40, 1))
    rows = [{"id": f"q{i}", "question": f"number {i}", "expected": [f"the answer is {i}"]} for i in range(size)]
    (folder / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = [{"id": f"q{i}", "output": f"the answer is {i if i % 9 else 'unknown'}"} for i in range(size)]
    (folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    (folder / "many.yaml").write_text(
        "suite: many\ntasks:\n  golden:\n    data: many.jsonl\n    outputs: said.jsonl\n"
        "    columns: {id: id, prompt: question, expected: expected}\n    score: [exact_match, token_f1, rouge_l]\n"
        "gate:\n  rules: [{metric: golden/exact_match, min: 0.1}]\n"
    )
    settings = _settings(folder)
    registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
    version = registry.register("many", model=str(folder / "said.jsonl"), suite=Suite.load(folder / "many.yaml"))
    session, before, started = Session(settings, registry), _stored(settings.home), time.process_time()
    evaluation = session.evaluate(version)
    evaluated = time.process_time() - started
    started = time.process_time()
    session.decide(version, evaluation, log=False)
    return {
        "evaluation, CPU s": evaluated, "decision, CPU s": time.process_time() - started,
        "stored, MB": _stored(settings.home) - before,
    }  # fmt: skip


def models(size: int, folder: Path) -> dict[str, float]:
    """Models with four versions each."""
    return _registry(Size(size, 4 * size, 1, 40, 1), folder, size)


def versions(size: int, folder: Path) -> dict[str, float]:
    """Versions of one model."""
    return _registry(Size(1, size, 1, 40, 1), folder, size)


def _registry(size: Size, folder: Path, count: int) -> dict[str, float]:
    fill(folder, size)
    settings = _settings(folder)
    registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
    version = registry.versions("model-00")[-1]
    project = open_project(settings)
    return {
        "a version, ms": 1e3 * _seconds(lambda: registry.version(version.reference)),
        "versions of a model, ms": 1e3 * _seconds(lambda: registry.versions("model-00")),
        "its decision, ms": 1e3 * _seconds(lambda: registry.current_decision(version)),
        "page of models, ms": 1e3 * _seconds(lambda: inventory.models(project)),
        "stored, MB": _stored(settings.home),
    }  # fmt: skip


def signals(size: int, folder: Path, database: str | None = None) -> dict[str, float]:
    """Hourly windows of 40 signals: storing one, and what pages read of a monitor that is two years old."""
    fill(folder, Size(2, 4, 1, 40, 1))
    engine = connect(_settings(folder).database_url)
    with reading(engine) as session:
        template = session.scalars(select(MonitorRow)).one()
        session.expunge(template)
    if database is not None:
        engine.dispose()
        engine = connect(database)
        _empty(engine)
    windows = min(WINDOWS, size // EACH)
    count = max(1, round(size / EACH / windows))
    started = time.perf_counter()
    keys = add_monitors(engine, [f"{place:04d}" for place in range(count)], windows, template)
    filled = time.perf_counter() - started
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    since = END - windows * HOUR
    shown = monitor_data.in_range(engine, keys[0], "hour", since=since)
    level = monitor_data.long_range(shown, "hour", since) or "day"
    at, span = (keys[0], "hour", level), (0, END)
    return {
        "bulk insert, s": filled,
        "storing a window, ms": 1e3 * _store_windows(engine, keys[0]),
        "newest 60 windows, ms": 1e3 * _seconds(lambda: _newest(engine, keys[0])),
        "whole range by levels, ms": 1e3 * _seconds(
            lambda: (
                monitor_data.in_range(engine, keys[0], "hour", since=since),
                monitor_data.level_points(engine, at, "toxicity", slice_="", keys=["toxicity"], span=span),
            )
        ),
        "whole range by signals, ms": 1e3 * _seconds(lambda: _by_signals(engine, keys[0])),
        "stored, MB": _stored_database(engine),
        **(_partitioned(engine, keys[0]) if database is not None else {}),
    }  # fmt: skip


def _partitioned(engine: Engine, monitor: str) -> dict[str, float]:
    """The same signals in partitions by month: the newest 60 windows, the whole range, and a month that goes."""
    month = 30 * 24 * HOUR
    with engine.begin() as connection:
        (first,) = connection.execute(text("SELECT min(start) FROM evalkit_signals")).one()
        connection.execute(text("CREATE TABLE parts (LIKE evalkit_signals) PARTITION BY RANGE (start)"))
        for place, at in enumerate(range(first, END + month, month)):
            connection.execute(
                text(f"CREATE TABLE part_{place} PARTITION OF parts FOR VALUES FROM ({at}) TO ({at + month})")
            )
        connection.execute(text("INSERT INTO parts SELECT * FROM evalkit_signals"))
        connection.execute(text('CREATE INDEX ON parts (monitor_id, "check", key, slice, start)'))
        connection.execute(text('CREATE INDEX ON parts (window_id, "check", key, slice)'))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE parts"))
    shown = monitor_data.in_range(engine, monitor, "hour")
    wanted = (
        "SELECT start, value, low, high FROM parts WHERE \"check\" = 'toxicity' AND key = 'toxicity' AND slice = '' "
    )
    newest = text(wanted + "AND window_id = ANY(:ids) AND start >= :since")
    whole = text(wanted + "AND monitor_id = :monitor")

    def read(query: TextClause, values: dict[str, object]) -> None:
        with engine.connect() as connection:
            connection.execute(query, values).all()

    def change(statement: str) -> float:
        started = time.perf_counter()
        with engine.begin() as connection:
            connection.execute(text(statement))
        return 1e3 * (time.perf_counter() - started)

    given = {"ids": shown.ids, "since": shown.since}
    return {
        "newest 60 windows, parts, ms": 1e3 * _seconds(lambda: read(newest, given)),
        "whole range by signals, parts, ms": 1e3 * _seconds(lambda: read(whole, {"monitor": monitor})),
        "deleting a month, ms": change(f"DELETE FROM evalkit_signals WHERE start < {first + month}"),
        "dropping a month's part, ms": change("DROP TABLE part_0"),
    }


def _newest(engine: Engine, monitor: str) -> None:
    shown = monitor_data.in_range(engine, monitor, "hour")
    monitor_data.points(engine, shown.ids, "toxicity", slice_="", keys=["toxicity"])


def _by_signals(engine: Engine, monitor: str) -> None:
    """What a page would read without levels."""
    wanted = select(SignalRow.start, SignalRow.value, SignalRow.low, SignalRow.high).where(
        SignalRow.monitor_id == monitor, SignalRow.check == "toxicity", SignalRow.key == "toxicity",
        SignalRow.slice == "",
    )  # fmt: skip
    with reading(engine) as session:
        session.execute(wanted).all()


def _store_windows(engine: Engine, monitor: str) -> float:
    """Seconds to store a window as the monitor does: its row, 40 signals, and the levels."""
    from evalkit.monitoring.levels import restate
    from registry.tables_monitoring import WindowRow

    with reading(engine) as session:
        last = session.scalar(select(WindowRow).where(WindowRow.monitor_id == monitor).order_by(WindowRow.start.desc()))
        assert last is not None
        window = {c.key: getattr(last, c.key) for c in WindowRow.__table__.columns}
        own = session.scalars(select(SignalRow).where(SignalRow.window_id == last.id)).all()
        kept = [{c.key: getattr(row, c.key) for c in SignalRow.__table__.columns} for row in own]
    following = iter(range(1, 1_000))

    def store() -> None:
        start, made = window["start"] + next(following) * HOUR, new_id()
        with writing(engine) as session:
            session.add(WindowRow(**{**window, "id": made, "start": start, "end": start + HOUR}))
            session.flush()
            session.add_all(SignalRow(**{**row, "id": new_id(), "window_id": made, "start": start}) for row in kept)
            restate(session, monitor, "hour", start)

    return _seconds(store)


def _empty(engine: Engine) -> None:
    """Our tables, without anything in them."""
    upgrade(engine)
    with writing(engine) as session:
        session.execute(text("DELETE FROM evalkit_monitors"))


def _stored_database(engine: Engine) -> float:
    if engine.dialect.name == "postgresql":
        with reading(engine) as session:
            return float(session.scalar(text("SELECT pg_database_size(current_database())")) or 0) / 1e6
    with closing(sqlite3.connect(str(engine.url.database))) as database:
        (pages,), (size,) = (database.execute(f"PRAGMA page_{name}").fetchone() for name in ("count", "size"))
    return float(pages * size / 1e6)


_ITEMS = 400


def workers(size: int, folder: Path, database: str | None = None) -> dict[str, float]:
    """Processes that claim work from one outbox and close it: items a second, of all together."""
    url = database or f"sqlite:///{folder / 'outbox.db'}"
    engine = connect(url)
    upgrade(engine)
    with writing(engine) as session:
        session.execute(text("DELETE FROM evalkit_outbox"))
        for number in range(_ITEMS):
            outbox.put(session, outbox.DELIVERY, {"number": number})
    engine.dispose()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(size + 1)
    running = [context.Process(target=_drain, args=(url, barrier)) for _ in range(size)]
    for one in running:
        one.start()
    barrier.wait()
    started = time.perf_counter()
    for one in running:
        one.join()
    return {"items a second": _ITEMS / (time.perf_counter() - started)}


def _drain(url: str, barrier: object) -> None:
    engine = connect(url)
    barrier.wait()  # type: ignore[attr-defined]  # the barrier of a context has no public type
    mine = outbox.Outbox(engine)
    while (item := mine.claim(outbox.DELIVERY)) is not None:
        mine.finish(item)


def main() -> None:
    """Run one size and print its numbers."""
    what, size, folder, *database = sys.argv[1:]
    place = Path(folder) / "project"
    runs: dict[str, Callable[..., dict[str, float]]] = {
        "samples": samples, "models": models, "versions": versions, "signals": signals, "workers": workers,
    }  # fmt: skip
    place.mkdir()
    shutil.rmtree(place) if what not in {"workers"} else None
    found = runs[what](int(size), place, *database)
    found["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps(found))


if __name__ == "__main__":
    main()
