"""Results as files and archives of versions over the API, and their commands against a server."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from evalkit.bundles.unpack import Limits
from evalkit.cli.app import run
from evalkit.evidence import results_home
from evalkit.portable.export import export
from evalkit.portable.formats import SENT
from evalkit.portable.manifest import read_manifest
from evalkit.server.api import exports
from metrics.errors import InputError
from registry.suite import Suite

ARCHIVE = "/models/bot/versions/1/export"


@pytest.fixture
def decided(served: Any, bundled: Any) -> str:
    """The key of an evaluation that the server has decided on."""
    assert served.submit(bundled.path).status_code == 201
    made = served.request("POST", "/models/bot/versions/1/decisions", "evaluator", json={})
    assert made.status_code == 201, made.text
    return str(made.json()["evaluation_id"])


@pytest.fixture
def here(served: Any, decided: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's own folder, where the same commands work without a server; the key is that of `decided`."""
    folder: Path = served.project.settings.home.parent
    (folder / "evalkit.toml").touch()
    monkeypatch.chdir(folder)
    return folder


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("form", sorted(SENT))
def test_results_are_those_of_the_command_without_a_server(
    here: Path, remotely: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
):
    for samples in ([], ["--samples"]) if form in {"csv", "json", "parquet"} else ([],):
        asked = ["results", "bot/1", "--format", form, *samples, "--to"]
        status, _, err = remotely(*asked, str(tmp_path / "there"), by="viewer")
        assert (status, "models:/bot/1: written to" in err) == (0, True), err
        with monkeypatch.context() as patch:
            patch.delenv("EVALKIT_SERVER")
            assert run([*asked, str(tmp_path / "here")]) == 0
        if form != "inspect":
            assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
            assert len((tmp_path / "there").read_bytes()) > 100
            continue
        (ours,), (theirs,) = ((tmp_path / place).iterdir() for place in ("here", "there"))
        assert ours.name == theirs.name
        there, local = (json.loads(path.read_text()) for path in (theirs, ours))
        assert sum(bool(sample.pop("target")) for sample in local["samples"]) == 60, "or nothing would be left out"
        assert not any(sample.pop("target") for sample in there["samples"]), "data are not read on a server"
        assert json.dumps(there) == json.dumps(local)


def test_files_have_safe_names_and_types(served: Any, decided: str):
    for form, sent in SENT.items():
        told = served.request("GET", f"/evaluations/{decided}/results?format={form}", "viewer")
        assert (told.status_code, told.headers["content-type"]) == (200, sent.media), told.text[:200]
        assert told.headers["content-disposition"] == f'attachment; filename="bot-1-results.{sent.suffix}"'
        again = served.request(
            "GET", f"/evaluations/{decided}/results?format={form}", "viewer",
            headers={"if-none-match": told.headers["etag"]},
        )  # fmt: skip
        assert again.status_code == 304
    version = served.project.registry.version("models:/bot/1")
    odd = type("Odd", (), {"name": '..\u202e "x"\r\nSet-Cookie; ☃', "version": version.version})
    assert exports._attachment(odd, "export", "zip") == 'attachment; filename="x-Set-Cookie-1-export.zip"'


def test_results_that_cannot_be_written(served: Any, bundled: Any, remotely: Any, monkeypatch: pytest.MonkeyPatch):
    served.submit(bundled.path)
    address = f"/evaluations/{bundled.evaluation.id}/results"
    for query, status, why in (
        ("?format=junit", 422, "no gate has decided"), ("?format=junit&samples=true", 422, "samples go with csv"),
        ("?format=xlsx", 422, "format"),
    ):  # fmt: skip
        told = served.request("GET", address + query, "viewer")
        assert (told.status_code, why in told.json()["message"]) == (status, True), told.text
    status, _, err = remotely("results", "bot/1", "--format", "markdown", by="viewer")
    assert (status, "no gate has decided" in err, len(err.strip().splitlines())) == (2, True, 1)
    assert remotely("results", "bot/1", "--preset", "quick")[0] == 2
    assert remotely("results", "bot/9")[0] == 2
    monkeypatch.setattr(exports, "_MOST", 100)
    assert served.request("GET", address, "viewer").status_code == 200, "estimates are few"
    for query in ("?samples=true", "?format=inspect"):
        assert served.request("GET", address + query, "viewer").status_code == 413


def test_an_archive_from_one_server_is_the_same_in_another_project(
    served: Any, here: Path, decided: str, remotely: Any, tmp_path: Path, empty_store: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    target = tmp_path / "bot.zip"
    status, out, err = remotely("export", "bot/1", str(target), "--json")
    assert status == 0, err
    told = json.loads(out)
    assert (told["version"], told["evaluations"], told["bytes"]) == (
        "models:/bot/1", [decided], target.stat().st_size,
    )  # fmt: skip
    version = served.project.registry.version("models:/bot/1")
    export(served.project.session, version, tmp_path / "local.zip")
    assert target.read_bytes() == (tmp_path / "local.zip").read_bytes()
    assert not list((served.project.settings.home / "submitted").glob(".*")), "nothing is left on the server"
    assert [path.name for path in tmp_path.glob(".*")] == []
    status, _, err = remotely("export", "bot/1", str(target))
    assert (status, "exists already" in err) == (2, True)

    monkeypatch.delenv("EVALKIT_SERVER")
    other = tmp_path / "other"
    (other / ".evalkit").mkdir(parents=True)
    (other / ".evalkit" / "mlflow.db").write_bytes(empty_store.read_bytes())
    (other / "evalkit.toml").touch()
    numbers = []
    for folder in (here, other):
        monkeypatch.chdir(folder)
        if folder is other:
            assert run(["import", str(target)]) == 0
        capsys.readouterr()
        for arguments in (["--format", "json"], ["--format", "json", "--samples"], ["--format", "junit"]):
            assert run(["results", "bot/1", *arguments]) == 0
            numbers.append(capsys.readouterr().out)
    (estimates, samples, cases), again = numbers[:3], numbers[3:]
    assert json.loads(estimates) == json.loads(again[0])
    assert json.loads(samples) == json.loads(again[1]), "in another order of columns"
    assert cases == again[2]
    assert len(json.loads(samples)) == 60


def test_options_and_roles_of_an_archive(
    served: Any, decided: str, remotely: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = members(served.request("GET", ARCHIVE, "evaluator").content)
    lean = members(served.request("GET", f"{ARCHIVE}?outputs=false", "evaluator").content)
    assert any("/outputs/" in name for name in whole) and not any("/outputs/" in name for name in lean)
    status, _, err = remotely("export", "bot/1", str(tmp_path / "x.zip"), by="viewer")
    assert (status, "role" in err) == (1, True)
    monkeypatch.setattr(exports, "Limits", lambda: Limits(packed=1000))
    large = served.request("GET", ARCHIVE, "evaluator")
    assert (large.status_code, "more than 1,000" in large.json()["message"]) == (413, True)
    assert remotely("export", "bot/1", str(tmp_path / "x.zip"))[0] == 2
    assert list(tmp_path.glob("*.zip")) == [] and list(tmp_path.glob(".*")) == []
    assert not list((served.project.settings.home / "submitted").glob(".*"))


def test_what_is_no_whole_archive_is_not_kept(
    served: Any, decided: str, remotely: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def half(stream: Any) -> Any:
        with stream:
            yield stream.read()[:-200]

    monkeypatch.setattr(exports, "_blocks", half)
    status, _, err = remotely("export", "bot/1", str(tmp_path / "x.zip"))
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert list(tmp_path.glob("*.zip")) == [] and list(tmp_path.glob(".*")) == []


SECRET = "the owner's secret, which no client may read"


def judged_by(suite: Suite, name: str) -> str:
    listed = "[exact_match, token_f1, distinct_n]"
    assert listed in suite.text
    return suite.text.replace(listed, f"[exact_match, token_f1, distinct_n, {{judge: '{name}', as: nosy}}]")


@pytest.mark.parametrize("where", ["secret.yaml", "../../secret.yaml", "inner/../secret.yaml", "absolute"])
def test_a_suite_that_names_a_file_of_the_server_gets_none(
    served: Any, bundled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
):
    """A client's suite names files of the server as its judge; the server's worker has evaluated by it."""
    inside = tmp_path / "a" / "b"
    (inside / "inner").mkdir(parents=True)
    monkeypatch.chdir(inside)
    for folder in (inside, tmp_path):
        (folder / "secret.yaml").write_text(SECRET)
    suite = judged_by(bundled.suite, str(inside / "secret.yaml") if where == "absolute" else where)
    bound = served.request("PUT", "/models/bot/versions/1/suite", "evaluator", json={"suite": suite})
    project = served.project
    assert served.submit(bundled.path).status_code == 201
    made = project.registry.evaluation_by_id(bundled.evaluation.id)
    if where in {"../../secret.yaml", "absolute"}:
        assert bound.status_code == 422
        with project.engine.begin() as connection:  # had it come in all the same
            connection.execute(text("UPDATE evalkit_suites SET text = :text"), {"text": suite})
        told = served.request("GET", ARCHIVE, "evaluator")
        assert (told.status_code, SECRET in told.text) == (422, False), told.text
        return
    mine = {name: value for name, value in made.details.items() if name != "submission"}
    home = results_home(project.settings.home, made)
    for part in home.iterdir():
        part.rename(project.settings.home / part.name)
    with project.engine.begin() as connection:
        connection.execute(
            text("UPDATE evalkit_evaluations SET suite_digest = :digest, details = :details"),
            {"digest": bound.json()["suite_digest"], "details": json.dumps(mine)},
        )
    version = project.registry.version("models:/bot/1")
    try:  # as the owner's own command may read files beside the suite: the fault is there
        export(project.session, version, tmp_path / "owner.zip")
        assert SECRET.encode() in (tmp_path / "owner.zip").read_bytes()
    except InputError as error:
        assert "leads out" in str(error) or "absolute" in str(error)
    told = served.request("GET", ARCHIVE, "evaluator")
    assert (told.status_code, told.headers["evalkit-missing-judges"]) == (200, "1"), told.text[:300]
    assert SECRET.encode() not in told.content
    assert not any("/suite/" in name for name in read_manifest(members(told.content)["manifest.json"]).files)
    for form in SENT:
        sent = served.request("GET", f"/evaluations/{made.id}/results?format={form}", "viewer")
        assert SECRET.encode() not in sent.content


def test_files_of_judges_that_came_with_a_submission_are_inside(served: Any, bundled: Any, tmp_path: Path):
    project = served.project
    assert served.submit(bundled.path).status_code == 201
    suite = {"suite": judged_by(bundled.suite, "judges/kind.md")}
    bound = served.request("PUT", "/models/bot/versions/1/suite", "evaluator", json=suite)
    assert bound.status_code == 200, bound.text
    made = project.registry.evaluation_by_id(bundled.evaluation.id)
    kept = results_home(project.settings.home, made) / "suite" / "judges"
    kept.mkdir(parents=True)
    (kept / "kind.md").write_text("Is it kind?")
    with project.engine.begin() as connection:
        digest = {"digest": bound.json()["suite_digest"]}
        connection.execute(text("UPDATE evalkit_evaluations SET suite_digest = :digest"), digest)
    told = served.request("GET", ARCHIVE, "evaluator")
    assert (told.status_code, told.headers["evalkit-missing-judges"]) == (200, "0"), told.text[:300]
    assert members(told.content)[f"files/{made.id}/suite/judges/kind.md"] == b"Is it kind?"
    (tmp_path / "secret.md").write_text(SECRET)
    (kept / "kind.md").unlink()
    (kept / "kind.md").symlink_to(tmp_path / "secret.md")
    refused = served.request("GET", ARCHIVE, "evaluator")
    assert (refused.status_code, "leads out" in refused.text, SECRET in refused.text) == (422, True, False)


def test_a_page_of_something_else_is_no_file(remotely: Any, decided: str, tmp_path: Path, served: Any):
    plain = served.request

    def page(method: str, path: str, *rest: Any, **more: Any) -> Any:
        answer = plain(method, path, *rest, **more)
        if path.endswith(("/results", "/export")):
            answer.headers["content-type"] = "text/html"
        return answer

    served.request = page
    for asked in (["results", "bot/1", "--to"], ["export", "bot/1"]):
        status, _, err = remotely(*asked, str(tmp_path / "file"))
        assert (status, "where evalkit's API was expected" in err) == (2, True), err
        assert not (tmp_path / "file").exists()
