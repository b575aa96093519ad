"""pip-audit over the pinned versions, against a pinned file of advisories where osv.dev is out of reach.

    python tools/audit.py --pip-audit .audit/bin/pip-audit [--online] [--requirements constraints.txt]
    python tools/audit.py --reduce all.zip      the file anew, from OSV's dump of PyPI

The file holds records in OSV's own format; a server on 127.0.0.1 answers pip-audit's queries from it as osv.dev would.
The dump is https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip; reducing keeps the advisories of packages
that are pinned, and of these what a check needs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
DATABASE = ROOT / "tools" / "advisories.json"
REQUIREMENTS = ROOT / "constraints.txt"
_KEPT = ("id", "aliases", "summary", "published", "withdrawn", "schema_version")
_MOST_BYTES = 64 * 2**20


def pinned(requirements: Path) -> dict[str, str]:
    """Canonical name to version of every line ``name==version``."""
    found = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            requirement = Requirement(text)
            found[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
    return found


def affects(record: dict[str, Any], name: str, version: str) -> bool:
    """Whether an OSV record says that a version of a package on PyPI is affected."""
    if record.get("withdrawn"):
        return False
    for affected in record.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI" or canonicalize_name(package.get("name", "")) != canonicalize_name(name):
            continue
        if version in affected.get("versions", []):
            return True
        if any(_within(r["events"], Version(version)) for r in affected.get("ranges", []) if r["type"] == "ECOSYSTEM"):
            return True
    return False


def _within(events: Sequence[dict[str, str]], version: Version) -> bool:
    """OSV's rule: the last event at or before the version decides."""
    inside = False
    known = [(kind, _version(at)) for event in events for kind, at in event.items()]
    for kind, at in sorted(known, key=lambda one: (one[1], one[0] == "introduced")):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str) -> Version:
    return Version("0.dev0") if text == "0" else Version(text)


def answer(records: Iterable[dict[str, Any]], query: dict[str, Any]) -> dict[str, Any]:
    """What ``/v1/query`` of osv.dev answers."""
    name, version = query["package"]["name"], query["version"]
    found = [record for record in records if affects(record, name, version)]
    return {"vulns": found} if found else {}


def serve(records: list[dict[str, Any]]) -> ThreadingHTTPServer:
    """A server on a free port of this machine, running in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            told = json.dumps(answer(records, json.loads(body))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def audit(program: str, requirements: Path, database: Path, *, online: bool) -> int:
    """Run pip-audit; its exit status is 1 where a pinned version is affected."""
    command = [program, "--requirement", str(requirements), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    if online:
        return subprocess.run([*command, "--vulnerability-service", "osv"], check=False).returncode
    content = json.loads(database.read_text(encoding="utf-8"))
    server = serve(content["advisories"])
    url = f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    print(f"{len(content['advisories'])} advisories in {database.name}, {content['as_of']}: {content['note']}")
    try:
        return subprocess.run([*command, "--vulnerability-service", "osv", "--osv-url", url], check=False).returncode
    finally:
        server.shutdown()
        server.server_close()


def reduce(dump: Path, requirements: Path) -> dict[str, Any]:
    """The advisories of pinned packages in OSV's dump, with what a check needs."""
    names, found = set(pinned(requirements)), []
    with zipfile.ZipFile(dump) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".json") or info.file_size > _MOST_BYTES:
                continue
            record = json.loads(archive.read(info))
            affected = [
                {"package": part["package"], "ranges": part.get("ranges", []), "versions": part.get("versions", [])}
                for part in record.get("affected", [])
                if canonicalize_name(part.get("package", {}).get("name", "")) in names
            ]
            if affected and not record.get("withdrawn") and _readable(affected):
                found.append({**{key: record[key] for key in _KEPT if key in record}, "affected": affected})
    return {
        "as_of": datetime.now(UTC).date().isoformat(),
        "note": "every advisory of the pinned packages in OSV's dump of PyPI",
        "advisories": sorted(found, key=lambda one: one["id"]),
    }


def _readable(affected: list[dict[str, Any]]) -> bool:
    try:
        for part in affected:
            for one in part["ranges"]:
                if one["type"] == "ECOSYSTEM":
                    _within(one["events"], Version("1"))
    except InvalidVersion as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip-audit", default="pip-audit")
    parser.add_argument("--requirements", type=Path, default=REQUIREMENTS)
    parser.add_argument("--database", type=Path, default=DATABASE)
    parser.add_argument("--online", action="store_true", help="ask osv.dev instead of the file")
    parser.add_argument("--reduce", type=Path, metavar="ALL.ZIP")
    given = parser.parse_args()
    if given.reduce:
        content = reduce(given.reduce, given.requirements)
        given.database.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{len(content['advisories'])} advisories")
        return 0
    return audit(given.pip_audit, given.requirements, given.database, online=given.online)


if __name__ == "__main__":
    sys.exit(main())
