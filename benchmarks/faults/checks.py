"""What must hold whatever went wrong: nothing acknowledged is lost, nothing is done twice, no number is wrong."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.faults.project import SECRETS, STREAM
from benchmarks.faults.site import Site, numbers
from benchmarks.faults.workload import last_line
from evalkit.config import Settings
from registry.database import reading
from registry.digests import now_ms

_MOST_SHOWN = 5
_STATUSES = {0, 1, 2, 3}
_MATRIX = ("fid", "kid")


def quick(site: Site) -> list[str]:
    """What can be checked while everything works on: rows, aliases, promotions, audit."""
    return [*_rows(site), *_promotions(site), *_audit(site), *site.told.wrong]


def thorough(site: Site, reference: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Everything, once all work is done."""
    return [
        *quick(site), *_estimates(site, reference), *_windows(site), *_jobs(site), *_releases(site), *_runs(site),
        *_words(site), *_secrets(site),
    ]  # fmt: skip


def _rows(site: Site) -> list[str]:
    """Acknowledged rows are in the buffer, each once, and nothing is there that was not sent."""
    from evalkit.ingest.buffer import Buffer

    acknowledged = set(site.told.acknowledged)
    buffer = Buffer.of(site.settings)
    try:
        found, after = Counter[str](), 0
        while batch := buffer.read(STREAM, after=after):
            found.update(row.id for row in batch)
            after = batch[-1].seq
    finally:
        buffer.close()
    sent = set(site.told.sent)
    return [
        *_told("acknowledged rows are lost", acknowledged - set(found)),
        *_told("rows are there twice", [key for key, count in found.items() if count > 1]),
        *_told("rows are there that were never sent", set(found) - sent),
    ]


def _promotions(site: Site) -> list[str]:
    """Every acknowledged move is in the books once, and the alias is where the books say, on a version that passed."""
    moves = Counter(site.told.moves)
    with reading(site.engine, snapshot=True) as session:  # the alias moves on while it is looked at
        connection = session.connection()
        entries = [
            json.loads(entry)
            for (entry,) in connection.execute(
                text("SELECT entry FROM evalkit_audit WHERE kind = 'promotion' AND name = 'stable' ORDER BY seq")
            )
        ]
        rows = connection.execute(text("SELECT count(*) FROM evalkit_promotions WHERE name = 'stable'")).scalar()
        alias = connection.execute(
            text("SELECT version FROM registered_model_aliases WHERE name = 'stable' AND alias = 'champion'")
        ).scalar()
    promoted = [int(entry["facts"]["version"]) for entry in entries]
    wrong = []
    for version, count in Counter(promoted).items():
        known, most = moves[version, "acknowledged"], moves[version, "acknowledged"] + moves[version, "unknown"] + 1
        if not known <= count <= most:  # one request may be under way
            wrong.append(
                f"version {version} was promoted {count} times: {known} acknowledged, at most {most} asked for"
            )
    lost = [v for (v, how), count in moves.items() if how == "acknowledged" and count and v not in promoted]
    wrong += _told("acknowledged moves are not in the audit", lost)
    if rows != len(entries):
        wrong.append(f"{rows} promotions, but {len(entries)} in the audit")
    if promoted and alias != promoted[-1]:
        wrong.append(f"the alias is at version {alias}, the audit says {promoted[-1]}")
    if alias not in {None, 1, 2}:
        wrong.append(f"the alias is at version {alias}, which never passed")
    return wrong


def _audit(site: Site) -> list[str]:
    from registry import audit

    return [f"audit: {finding}" for finding in audit.verify(site.engine).findings]


def _estimates(site: Site, reference: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Numbers are those of an undisturbed run, to the bit.

    Where a judge gave no reply the estimate says so by its coverage, and its bounds must hold the number.
    """
    from registry.store import Registry

    wrong = []
    registry = Registry(site.database.url, site.url, site.url)
    try:
        for name in site.evaluations.done if site.evaluations is not None else ():
            evaluation = registry.evaluation(registry.version(name))
            if evaluation is None or evaluation.status != "finished":
                wrong.append(f"{name}: its evaluation is {evaluation.status if evaluation else 'not there'}")
                continue
            found, expected = numbers(evaluation), reference[name]
            wrong += _told(f"{name}: estimates are missing or new", set(found) ^ set(expected))
            wrong += [
                f"{name} {key}: {found[key]} instead of {expected[key]}"
                for key in set(found) & set(expected)
                if not _equal(key, found[key], expected[key]) and not _declared(found[key], expected[key])
            ]
    finally:
        registry.close()
    return wrong


def _equal(key: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether an estimate is the undisturbed one to the bit; of matrix products, but for how they were rounded."""
    if key.partition("/")[2].startswith(_MATRIX):
        # KID is a difference of means of kernels near 1: close to zero the last digits of these are most of it
        return _same(json.loads(json.dumps(found)), json.loads(json.dumps(expected)), 1e-8, nothing=1e-9)
    return json.dumps(found) == json.dumps(expected)


def _declared(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether an estimate says that samples are missing, and its bounds hold what they would have been."""
    low, high = found.get("worst_low"), found.get("worst_high")
    if found["coverage"] >= expected["coverage"] or low is None or high is None:
        return False
    return bool(low <= expected["value"] <= high)


def _windows(site: Site) -> list[str]:
    """The monitor's signals are those of a monitor that sees the same rows at once, undisturbed."""
    from evalkit.ingest.buffer import Buffer
    from evalkit.ingest.records import Generation
    from evalkit.monitoring import api
    from evalkit.session import open_database

    buffer = Buffer.of(site.settings)
    rows: list[dict[str, Any]] = []
    after = 0
    while batch := buffer.read(STREAM, after=after):
        rows += [site.told.sent[row.id] for row in batch if row.id in site.told.sent]
        after = batch[-1].seq
    buffer.close()
    with tempfile.TemporaryDirectory(prefix="evalkit-faults-", dir="/tmp") as place:
        home = Path(place) / ".evalkit"
        url = f"sqlite:///{home / 'mlflow.db'}"
        clean = Settings(home, url, url, url, advisory=False)
        home.mkdir()
        with open_database(clean):
            fresh = Buffer.of(clean)
            for start in range(0, len(rows), 5000):
                fresh.append(STREAM, [Generation.model_validate(row) for row in rows[start : start + 5000]])
            fresh.close()
            api.apply(site.files.root / "monitor.yaml", schedule=False, settings=clean)
            api.run("prod", settings=clean)
            until = now_ms() - 600_000  # the newest windows are over for one of the two only
            expected = _signals(clean, until)
    found = _signals(site.settings, until)
    different = [
        f"{key}: {found.get(key)} instead of {expected.get(key)}"
        for key in sorted(set(found) | set(expected))
        if not _same(found.get(key), expected.get(key))
    ]
    return _told("signals are not those of a clean run", different)


def _signals(settings: Settings, until: int) -> dict[str, Any]:
    from evalkit.monitoring import api

    with api.open_store(settings) as (_, store):
        monitor = store.monitor("prod")
        windows = {f"{w.start} rows": (w.rows, w.status) for w in store.windows(monitor, until=until)}
        signals = {
            f"{s.window.start} {s.signal.key} {s.signal.slice}": (s.signal.verdict, s.signal.estimate.to_json())
            for s in store.signals(monitor, until=until)
        }
    return {**windows, **signals}


def _same(found: Any, expected: Any, tolerance: float = 1e-9, nothing: float = 1e-12) -> bool:
    """Whether two values are equal; numbers but for the order in which rows were added up."""
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=tolerance, abs_tol=nothing)
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _same(found[key], expected[key], tolerance, nothing) for key in found
        )
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(
            _same(one, other, tolerance, nothing) for one, other in zip(found, expected, strict=True)
        )
    return bool(found == expected)


def _jobs(site: Site) -> list[str]:
    """Nothing waits, nothing is under way, and everything that was acknowledged was done."""
    firings = site.firings()
    left = [key for key in site.told.firings if key not in firings or firings[key].finished_at is None]
    recent = now_ms() - 60_000  # the schedule goes on
    open_ = [key for key, record in firings.items() if record.finished_at is None and record.due < recent]
    with site.engine.connect().execution_options(evalkit_reading=True) as connection:
        items = connection.execute(text("SELECT kind, attempts, log FROM evalkit_outbox WHERE done_at IS NULL")).all()
        failed = connection.execute(text("SELECT kind, log FROM evalkit_outbox WHERE outcome = 'failed'")).all()
    return [
        *_told("runs that were queued were not done", left),
        *_told("firings are stuck", set(open_) - set(left)),
        *_told("items of the outbox are stuck", [str(tuple(item)) for item in items]),
        *_told("items of the outbox failed for good", [str(tuple(item)) for item in failed]),
    ]


def _releases(site: Site) -> list[str]:
    """Every version that MLflow acknowledged was judged, and the newest of them holds the alias."""
    with site.engine.connect().execution_options(evalkit_reading=True) as connection:
        alias = connection.execute(
            text("SELECT version FROM registered_model_aliases WHERE name = 'auto' AND alias = 'champion'")
        ).scalar()
        judged = {
            int(version)
            for (version,) in connection.execute(
                text("SELECT v.version FROM evalkit_decisions d JOIN evalkit_model_versions v ON v.id = d.version_id "
                     "WHERE v.name = 'auto' AND d.outcome = 'pass'")
            )
        }  # fmt: skip
    wrong = _told("registered versions were not judged", set(site.told.versions) - judged)
    if site.told.versions and (alias is None or alias < max(site.told.versions)):
        wrong.append(f"version {max(site.told.versions)} of 'auto' passed, but the alias is at {alias}")
    return wrong


def _runs(site: Site) -> list[str]:
    with site.engine.connect().execution_options(evalkit_reading=True) as connection:
        left = [
            name
            for (name, experiment) in connection.execute(
                text("SELECT r.name, e.name FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
                     "WHERE r.status = 'RUNNING'")
            )
            if experiment != "training"  # a client's own, which may have been killed at any point
        ]  # fmt: skip
    return _told("MLflow runs are left RUNNING", left)


def _words(site: Site) -> list[str]:
    """Commands end with one line and a status of ours, whatever happened."""
    wrong = []
    for status, output, error, struck in site.told.commands:
        if status < 0 and struck:
            continue
        if status not in _STATUSES:
            wrong.append(f"a command ended with {status}: {last_line(error)[:300]}")
        elif "Traceback" in error or "Traceback" in output:
            wrong.append(f"a command showed a traceback: {last_line(error)[:300]}")
        elif status == 2 and not last_line(error).startswith("error: "):
            wrong.append(f"a command ended with 2 and no reason: {last_line(error)[:300]}")
    for member in (*site.workers, site.server):
        said = member.log.read_text(errors="replace")
        if member is not site.server and "Traceback" in said:
            place = said.index("Traceback")
            wrong.append(f"{member.name} showed {said.count('Traceback')} tracebacks: {_end_of(said[place:])}")
    return wrong


def _end_of(traceback: str) -> str:
    lines = traceback.splitlines()
    end = next((line for line in lines[1:] if line and not line.startswith(" ")), "")
    return end[:300]


def _secrets(site: Site) -> list[str]:
    return [
        f"the secret {secret[:6]}… is in {path.name}"
        for path in site.logs()
        for secret in SECRETS
        if secret.encode() in path.read_bytes()
    ]


def _told(what: str, found: Any) -> list[str]:
    shown = [str(one) for one in found]
    if not shown:
        return []
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return [f"{len(shown)} {what}: {'; '.join(shown[:_MOST_SHOWN])}{more}"]
