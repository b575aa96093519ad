"""A project's state moved from SQLite to PostgreSQL: is every page, and every number, the same?

The project is copied, served from SQLite, moved with `evalkit db move`, and served from PostgreSQL with the SQLite
files out of the way. Both times everything is read that the server tells: every page that links lead to from the first
one, with its charts and pictures; every GET route of the REST API; MLflow's experiments, runs, metrics, models, traces
and assessments through MLflow's own client. Then the texts are compared.

    python -m benchmarks.database_move PROJECT [--pages 2000]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests

from benchmarks import postgres

ROOT = Path(__file__).parents[1]
API = "/evalkit/api/v1"
DATABASES = ("mlflow.db", "jobs.db", "ingest.db", "judges.db")
CACHES = ("charts", "pages")

_AGO = re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|s|min|h|d|days?|hours?|minutes?|seconds?)(?: \d+ (?:s|min|h))? ago\b")
_NONCE = re.compile(r'(name="form_token" value|nonce)="[^"]*"')


class Links(HTMLParser):
    """Addresses that a page leads to, and those that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: list[str] = []
        self.shown: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one tag's addresses."""
        for name, value in attrs:
            if value and name in {"src", "data-src", "data-spec"}:
                self.shown.append(value)
            elif value and name == "href":
                self.followed.append(value)


def plain(url: str, text: str) -> str:
    """A text without what differs between two answers of one server: its port, how long ago, and nonces."""
    return _NONCE.sub(r'\1=""', _AGO.sub("ago", text.replace(url, "http://server")))


def pages(url: str, limit: int) -> dict[str, str]:
    """Every page that links lead to, by address: its status and its text, or the digest of what is no text."""
    session, found = requests.Session(), dict[str, str]()
    waiting, known = deque(["/evalkit"]), {"/evalkit"}
    while waiting and len(found) < limit:
        address = waiting.popleft()
        answer = session.get(url + address, timeout=120, allow_redirects=False)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind.startswith(("text/", "application/json", "image/svg")):
            found[address] = f"{answer.status_code} {kind}\n{plain(url, answer.text)}"
        else:
            found[address] = f"{answer.status_code} {kind} {hashlib.sha256(answer.content).hexdigest()}"
        if kind != "text/html":
            continue
        links = Links()
        links.feed(answer.text)
        for link in [*links.followed, *links.shown]:
            parts = urlsplit(urljoin(f"{url}{address}", link))
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            inside = f"{parts.scheme}://{parts.netloc}" == url and parts.path.startswith("/evalkit")
            if inside and not parts.path.startswith("/evalkit/static") and target not in known:
                known.add(target)
                waiting.append(target)
    return found


def api(url: str) -> dict[str, str]:
    """Every GET route of the REST API, with everything that can be put into its address."""
    session, found = requests.Session(), dict[str, str]()

    def get(path: str) -> Any:
        answer = session.get(url + API + path, timeout=120)
        try:
            said = answer.json()
            found[path] = f"{answer.status_code}\n{plain(url, json.dumps(said, indent=1, sort_keys=True))}"
        except ValueError:
            said = None
            found[path] = f"{answer.status_code}\n{plain(url, answer.text)}"
        return said if answer.ok else None

    for path in ("/whoami", "/policies", "/calibrations", "/judges", "/audit", "/audit/verify"):
        get(path)
    for model in _items(get("/models")):
        name = quote(str(model["name"]), safe="")
        get(f"/models/{name}/promotions")
        for version in _items(get(f"/models/{name}/versions")):
            own = f"/models/{name}/versions/{version['version']}"
            _version(get, own)
    for monitor in _items(get("/monitors")):
        own = f"/monitors/{quote(str(monitor['name']), safe='')}"
        for part in ("", "/windows", "/signals", "/jobs", "/backfills"):
            get(own + part)
    for alert in [*_items(get("/alerts")), *_items(get("/alerts?closed=true"))]:
        get(f"/alerts/{alert['id']}")
        get(f"/alerts/{alert['id']}/samples")
    return found


def _version(get: Any, own: str) -> None:
    told = get(own) or {}
    if digest := told.get("suite_digest"):
        get(f"/suites/{digest}")
    for decision in _items(get(f"{own}/decisions")):
        get(f"/decisions/{decision['id']}")
    for evaluation in _items(get(f"{own}/evaluations")):
        get(f"/evaluations/{evaluation['id']}")
        get(f"/evaluations/{evaluation['id']}/estimates")
    get(f"{own}/approvals")


def _items(said: Any) -> list[dict[str, Any]]:
    if isinstance(said, list):
        return said
    lists = [value for value in (said or {}).values() if isinstance(value, list)]
    return lists[0] if lists else []


def mlflow(url: str) -> dict[str, str]:
    """What MLflow's own client tells: experiments, runs with every step of each metric, models, traces, assessments."""
    from mlflow import MlflowClient

    client, found = MlflowClient(url, url), dict[str, str]()
    experiments = sorted(client.search_experiments(view_type=3), key=lambda one: one.experiment_id)
    ids = [one.experiment_id for one in experiments]
    for experiment in experiments:
        found[f"experiment {experiment.experiment_id}"] = _told(experiment)
    for run in client.search_runs(ids, run_view_type=3, max_results=1000):
        found[f"run {run.info.run_id}"] = _sorted(run.to_dictionary())
        for metric in sorted(run.data.metrics):
            history = client.get_metric_history(run.info.run_id, metric)
            found[f"run {run.info.run_id} {metric}"] = str([(m.step, m.timestamp, m.value.hex()) for m in history])
    for model in client.search_registered_models():
        found[f"model {model.name}"] = _told(model)
    for version in client.search_model_versions():
        found[f"version {version.name}/{version.version}"] = _told(version)
    for logged in client.search_logged_models(ids):
        found[f"logged model {logged.model_id}"] = _told(logged)
    token: str | None = None
    while True:
        page = client.search_traces(locations=ids, max_results=200, page_token=token)
        for trace in page:
            found[f"trace {trace.info.trace_id}"] = _sorted(json.loads(trace.to_json()))
        token = page.token
        if not token:
            return {name: plain(url, said) for name, said in found.items()}


def _sorted(value: Any) -> str:
    """JSON with every list sorted: MLflow asks for inputs and assessments in no order, so no database owes it one."""
    if isinstance(value, dict):
        return "{" + ",\n".join(f"{json.dumps(key)}: {_sorted(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",\n".join(sorted(map(_sorted, value))) + "]"
    return json.dumps(value, default=str)


def _told(entity: Any) -> str:
    return "\n".join(f"{name}: {value}" for name, value in sorted(_public(entity).items()))


def _public(entity: Any) -> dict[str, Any]:
    found = {}
    for name in dir(type(entity)):
        if not name.startswith("_") and isinstance(getattr(type(entity), name), property):
            value = getattr(entity, name)
            found[name] = sorted(map(str, value)) if isinstance(value, list) else value
    return found


def everything(url: str, limit: int) -> dict[str, dict[str, str]]:
    """All that a server tells, by where it was asked."""
    return {"pages": pages(url, limit), "api": api(url), "mlflow": mlflow(url)}


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Where two answers differ, a line each."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            found.append(f"{name}: only {'before' if name in before else 'after'}")
        elif before[name] != after[name]:
            old, new = before[name].splitlines(), after[name].splitlines()
            line = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
            said = [lines[line].strip()[:160] if line < len(lines) else "" for lines in (old, new)]
            found.append(f"{name}: line {line + 1}: {said[0]!r} is {said[1]!r}")
    return found


@contextmanager
def served(folder: Path, **environment: str) -> Iterator[str]:
    """An `evalkit server --no-jobs` over a project; its address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "EVALKIT_"))}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "evalkit.cli", "server", "--port", "0", "--no-jobs"],
            cwd=folder, env={**inherited, "PYTHONPATH": str(ROOT), **environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            first = next((line for line in process.stdout if "evalkit serves at " in line), None)
            if first is None:
                raise SystemExit(f"the server did not start: {(folder / 'server.log').read_text()[-2000:]}")
            yield first.rpartition("evalkit serves at ")[2].strip()
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def without_caches(folder: Path) -> Path:
    """Take away what pages have drawn before, so that everything is drawn again."""
    for name in CACHES:
        shutil.rmtree(folder / ".evalkit" / name, ignore_errors=True)
    return folder


def move(folder: Path, target: str) -> dict[str, Any]:
    """Run `evalkit db move`, and put the SQLite files out of the way; what it told."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "EVALKIT_"))}
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "db", "move", "--to", target, "--json"],
        cwd=folder, env={**inherited, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    for name in DATABASES:
        for file in (folder / ".evalkit").glob(f"{name}*"):
            file.rename(file.with_name(f"{file.name}.moved"))
    told: dict[str, Any] = json.loads(done.stdout)
    (folder / "evalkit.toml").write_text("\n".join(told["settings"]) + "\n")
    return told


def compare(folder: Path, target: str, limit: int) -> tuple[dict[str, Any], dict[str, int], list[str]]:
    """Serve, move, serve again: what the move told, how many answers of each kind were compared, and what differs."""
    with served(without_caches(folder)) as url:
        before = everything(url, limit)
    told = move(folder, target)
    with served(without_caches(folder)) as url:
        after = everything(url, limit)
    wrong = [f"{kind} {line}" for kind in before for line in differences(before[kind], after[kind])]
    return told, {kind: len(answers) for kind, answers in before.items()}, wrong


def main() -> int:
    """Compare, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--pages", type=int, default=2000, help="how many pages at most")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evalkit-move-") as scratch, postgres.server() as target:
        folder = Path(scratch) / "project"
        shutil.copytree(given.project, folder)
        began = time.monotonic()
        told, counts, wrong = compare(folder, target.replace("+psycopg", ""), given.pages)
        print(f"{told['rows']:,} rows of {len(told['tables'])} tables moved; audit {told['audit']}")
        print(f"compared {counts} in {time.monotonic() - began:.0f} s: {len(wrong)} differ")
        for line in wrong[:50]:
            print(" ", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
