"""Metrics, datasets, checks of suites and imports over the API, and their commands against a server."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.app import run
from evalkit.portable.export import export
from evalkit.server.api.routes import UploadRoute
from registry.suite import Suite


@pytest.fixture
def same(remotely: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command against the server and without it; it says the same."""

    def check(*arguments: str, by: str = "viewer") -> str:
        status, there, _ = remotely(*arguments, by=by)
        with monkeypatch.context() as patch:
            patch.delenv("EVALKIT_SERVER")
            assert run(list(arguments)) == status
            assert capsys.readouterr().out == there
        return str(there)

    return check


def test_metrics_are_those_of_the_server(served: Any, same: Any):
    assert "exact_match" in same("metrics")
    assert len(json.loads(same("metrics", "--json"))) > 50
    assert "Fréchet" in same("metrics", "fid")
    same("metrics", "fid", "--json")
    assert same("metrics", "fiddd") == ""
    told = served.request("GET", "/metrics/fiddd", "viewer")
    assert (told.status_code, "did you mean" in told.json()["message"]) == (404, True)


def test_datasets_without_where_they_lie(served: Any, remotely: Any, tmp_path: Path):
    served.project.registry.add_dataset(
        "faces", "train", digest="sha256:" + "1" * 64, location="/srv/secret/place", rows=7, labels={"a": "b"}
    )
    status, out, _ = remotely("dataset", "list", "--json", by="viewer")
    (found,) = json.loads(out)
    assert (status, found["name"], found["rows"], found["labels"], found["location"]) == (0, "faces", 7, {"a": "b"}, "")
    assert "faces@train" in remotely("dataset", "list", by="viewer")[1]
    assert "secret" not in served.request("GET", "/datasets", "admin").text
    (tmp_path / "rows.jsonl").write_text("{}")
    status, _, err = remotely("dataset", "add", "mine", str(tmp_path / "rows.jsonl"))
    assert (status, "server's machine" in err) == (2, True)
    assert len(served.project.registry.datasets()) == 1


def test_a_suite_is_checked_by_the_server(served: Any, project_files: Any, tmp_path: Path):
    project_files(tmp_path)
    text = (tmp_path / "suite.yaml").read_text()
    told = served.request("POST", "/suites/checks", "evaluator", json={"suite": text})
    digest = Suite.from_text(text, tmp_path).digest
    assert (told.status_code, told.json()["digest"], told.json()["tasks"][0]) == (200, digest, "golden"), told.text
    assert told.json()["registered"] is True
    other = served.request("POST", "/suites/checks", "evaluator", json={"suite": text.replace("answers", "others", 1)})
    assert other.json()["registered"] is False
    wrong = served.request("POST", "/suites/checks", "evaluator", json={"suite": text.replace("exact_match", "exct")})
    assert wrong.status_code == 422 and "suite.yaml:" in wrong.json()["message"]


def test_a_suite_is_planned_with_what_the_server_has(
    served: Any, bundled: Any, remotely: Any, project_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert served.submit(bundled.path).status_code == 201
    folder = tmp_path / "client"
    folder.mkdir()
    project_files(folder)
    monkeypatch.chdir(folder)
    (folder / "evalkit.toml").write_text("")
    asked = ("suite", "check", "suite.yaml", "--model", "bot", "--json")
    status, out, err = remotely(*asked)
    assert status == 0, err
    there = json.loads(out)
    assert there["based_on"] == "models:/bot/1"
    assert next(task for task in there["tasks"] if task["task"] == "golden")["n"] > 0
    assert remotely("suite", "check", "suite.yaml", "--json")[0] == 0
    (folder / "suite.yaml").write_text("suite: x\n")
    assert remotely("suite", "check", "suite.yaml")[0] == 2


@pytest.fixture
def archive(bundled: Any, tmp_path: Path) -> Path:
    """The archive of a version with its evaluation."""
    file = tmp_path / "bot.zip"
    export(bundled.session, bundled.version, file)
    return file


def test_an_exported_version_is_taken_to_the_server(served: Any, remotely: Any, archive: Path):
    status, _, err = remotely("import", str(archive), "--name", "taken", by="viewer")
    assert (status, "role" in err) == (1, True)
    status, out, err = remotely("import", str(archive), "--name", "taken")
    assert status == 0, err
    assert "models:/taken/1 from models:/bot/1: a record without the model's files" in out
    assert "stored in http://server.example.org" in err
    version = served.project.registry.version("models:/taken/1")
    (found,) = served.project.registry.evaluations(version)
    assert (found.status, found.details["submission"]["by"]) == ("imported", "eva")
    refused = served.request("PUT", "/models/taken/aliases/champion", "admin", json={"version": 1, "override": "now"})
    assert refused.status_code in {403, 422}, refused.text
    status, out, _ = remotely("import", str(archive), "--name", "taken")
    assert (status, "everything in bot.zip is here already" in out) == (0, True)
    assert not list((served.project.settings.home / "submitted").glob(".*")), "nothing is left of the uploads"


def test_an_archive_that_was_changed_is_refused(served: Any, remotely: Any, archive: Path):
    with zipfile.ZipFile(archive) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    name = next(name for name in members if name.startswith("evaluations/"))
    members[name] = members[name].replace(b'"look":1', b'"look":2').replace(b"0.", b"1.", 1)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as changed:
        for member, data in members.items():
            changed.writestr(member, data)
    status, _, err = remotely("import", str(archive), "--name", "taken")
    assert (status, name in err) == (2, True), err
    assert not served.project.registry.versions("taken")
    assert not list((served.project.settings.home / "submitted").glob(".*"))
    broken = served.request("POST", "/imports", "evaluator", content=b"no zip", headers=_ZIP)
    assert broken.status_code == 422 and broken.json()["message"].startswith("archive.zip is damaged"), broken.text
    odd = served.request("POST", "/imports?name=a%2Fb", "evaluator", content=b"x", headers=_ZIP)
    assert odd.status_code == 422


def test_an_archive_has_a_size(served: Any, archive: Path, remotely: Any):
    told = served.request(
        "POST", "/imports", "evaluator", content=b"x", headers={**_ZIP, "content-length": str(UploadRoute.limit + 1)}
    )
    assert (told.status_code, told.json()["error"]) == (413, "too_large")
    with archive.open("r+b") as file:
        file.truncate(UploadRoute.limit + 1)  # sparse: it takes no room
    status, _, err = remotely("import", str(archive))
    assert (status, "import it on the server's machine" in err) == (2, True)


def test_results_of_other_tools_stay_here(remotely: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    row = {
        "doc_id": 1, "doc": {}, "target": "b", "arguments": [["q", "x"]], "resps": [["a"]], "filtered_resps": ["a"],
        "exact_match": 1.0,
    }  # fmt: skip
    (tmp_path / "samples_t.jsonl").write_text(json.dumps(row))
    assert remotely("import", "samples_t.jsonl", "--as", "outputs.jsonl")[0] == 0
    assert json.loads((tmp_path / "outputs.jsonl").read_text())["output"] == "a"


_ZIP = {"content-type": "application/zip"}
