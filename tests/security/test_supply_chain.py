"""The pinned versions, the advisories that they are checked against, and what answers pip-audit."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("evalkit_tools_audit", ROOT / "tools" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _load()
CONTENT = json.loads(tool.DATABASE.read_text())
RECORD = {
    "id": "X-1",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Some.Name"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [
                    {"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1.1"},
                    {"introduced": "3"}, {"last_affected": "3.5"},
                ]},
                {"type": "GIT", "events": [{"introduced": "0"}]},
            ],
            "versions": ["9.9.dev1"],
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "bad"),
    [("0.1", True), ("1.2rc1", True), ("1.2", False), ("1.9", False), ("2.0", True), ("2.1", True), ("2.1.1", False),
     ("3.5", True), ("3.5.1", False), ("9.9.dev1", True)],
)  # fmt: skip
def test_a_version_is_affected_as_osv_says(version: str, bad: bool) -> None:
    assert tool.affects(RECORD, "some-name", version) is bad
    assert not tool.affects(RECORD, "another", version)
    assert not tool.affects(RECORD | {"withdrawn": "2026-01-01T00:00:00Z"}, "some-name", version)


def test_the_file_is_one_of_advisories_of_what_is_pinned() -> None:
    names = set(tool.pinned(tool.REQUIREMENTS))
    assert len(CONTENT["advisories"]) >= 20 and CONTENT["note"]
    for record in CONTENT["advisories"]:
        assert re.match(r"^(GHSA(-[0-9a-z]{4}){3}|PYSEC-\d+-\d+|CVE-\d+-\d+)$", record["id"])
        assert record["references"] if "written by hand" in CONTENT["note"] else True
        for affected in record["affected"]:
            assert affected["package"]["name"] in names
            for event in (e for r in affected["ranges"] for e in r["events"]):
                assert all(Version(at) for at in event.values())


def test_no_pinned_version_is_in_the_file() -> None:
    found = [
        f"{name} {version}: {record['id']}"
        for name, version in tool.pinned(tool.REQUIREMENTS).items()
        for record in CONTENT["advisories"]
        if tool.affects(record, name, version)
    ]
    assert found == []


def test_an_affected_version_would_be_found() -> None:
    for record in CONTENT["advisories"]:
        (affected,) = record["affected"]
        fixed = [event["fixed"] for event in affected["ranges"][0]["events"] if "fixed" in event]
        assert tool.affects(record, affected["package"]["name"], f"{fixed[-1]}.dev0"), record["id"]
        assert not tool.affects(record, affected["package"]["name"], fixed[-1])


def test_queries_are_answered_as_osv_does() -> None:
    server = tool.serve([RECORD])
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        for version, count in (("2.0", 1), ("1.9", 0)):
            query = json.dumps({"package": {"name": "some-name", "ecosystem": "PyPI"}, "version": version}).encode()
            told = json.loads(urllib.request.urlopen(url, query, timeout=30).read())
            assert len(told.get("vulns", [])) == count
    finally:
        server.shutdown()
        server.server_close()


def test_osvs_dump_is_reduced_to_what_is_pinned(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("# pins\nsome_name==2.0  # why\n")
    other = RECORD | {"id": "X-2", "affected": [{"package": {"ecosystem": "PyPI", "name": "other"}}]}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("X-1.json", json.dumps(RECORD | {"details": "long", "database_specific": {}}))
        archive.writestr("X-2.json", json.dumps(other))
        archive.writestr("X-3.json", json.dumps(RECORD | {"id": "X-3", "withdrawn": "2026-01-01T00:00:00Z"}))
    content = tool.reduce(tmp_path / "all.zip", tmp_path / "pins.txt")
    assert [record["id"] for record in content["advisories"]] == ["X-1"]
    assert "details" not in content["advisories"][0]


STAND_IN = """import json, sys, urllib.request
given = sys.argv
url, file = given[given.index("--osv-url") + 1], given[given.index("--requirement") + 1]
bad = 0
for line in open(file):
    name, _, version = line.strip().partition("==")
    query = json.dumps({"package": {"name": name, "ecosystem": "PyPI"}, "version": version}).encode()
    bad += bool(json.loads(urllib.request.urlopen(url, query, timeout=30).read()))
sys.exit(min(bad, 1))
"""


@pytest.mark.parametrize(("version", "status"), [("2.0", 1), ("2.2", 0)])
def test_pip_audit_is_pointed_at_the_file(tmp_path: Path, version: str, status: int) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(0o755)
    (tmp_path / "pins.txt").write_text(f"some-name=={version}\n")
    database = tmp_path / "a.json"
    database.write_text(json.dumps({"as_of": "today", "note": "", "advisories": [RECORD]}))
    assert tool.audit(str(program), tmp_path / "pins.txt", database, online=False) == status


def test_everything_that_is_installed_is_pinned_exactly() -> None:
    for file in (tool.REQUIREMENTS, ROOT / "tools" / "requirements.txt"):
        lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
        assert all(re.match(r"^[A-Za-z0-9._-]+==[\w.+!]+$", line) for line in lines if line), file
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint constraints.txt" in makefile and "tools/requirements.txt" in makefile
