"""What a bundle may not be: each guard has a bundle that only it stops."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.bundles import unpack
from evalkit.bundles.manifest import MANIFEST
from evalkit.bundles.unpack import Limits
from registry.digests import digest

Files = dict[str, bytes]
Change = Callable[[dict[str, Any], Files], None]


@pytest.fixture
def refused(served: Any, bundled: Any, tmp_path: Path, archive: Any) -> Any:
    """Submit a changed bundle, and return the sentence it was refused with; nothing may have been stored."""

    def check(change: Change, *, status: int = 422, honest: bool = True) -> str:
        manifest, files = archive.read(bundled.path)
        change(manifest, files)
        answer = served.submit(archive.write(tmp_path / "changed.zip", manifest, files, honest=honest))
        assert answer.status_code == status, answer.text
        page = served.request("GET", "/models/bot/versions/1/evaluations", "viewer").json()
        assert page["items"] == []
        folder = served.project.settings.home / "submitted"
        assert not folder.exists() or list(folder.iterdir()) == []
        return str(answer.json()["message"])

    return check


def edit_rows(files: Files, kind: str, change: Callable[[pa.Table], pa.Table], *, only: str = "") -> None:
    for name in list(files):
        if name.startswith(f"{kind}/") and name.endswith(".parquet") and only in name:
            table = change(pq.read_table(io.BytesIO(files[name])))
            buffer = io.BytesIO()
            pq.write_table(table, buffer)
            files[name] = buffer.getvalue()


def seal(manifest: dict[str, Any]) -> None:
    """Make the evaluation's own digests those of the changed designs."""
    manifest["details"]["design"] = digest(manifest["designs"])


def test_an_unchanged_one_is_taken(served: Any, bundled: Any, tmp_path: Path, archive: Any):
    manifest, files = archive.read(bundled.path)
    assert served.submit(archive.write(tmp_path / "same.zip", manifest, files)).status_code == 201


def _set(*path: str | int, to: Any) -> Change:
    def change(manifest: dict[str, Any], _files: Files) -> None:
        place: Any = manifest
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = to

    return change


OTHER = "sha256:" + "1" * 64
CHANGES: list[tuple[str, Change, str]] = [
    ("version", _set("version_id", to="0190b0c8-7c1a-7000-8000-000000000000"), "version: the server has no such"),
    ("files", _set("artifact_digest", to=OTHER), "artifact digest"),
    ("suite", _set("suite_digest", to=OTHER), "suite digest"),
    ("evaluation", _set("digest", to=OTHER), "evaluation digest"),
    ("design digest", _set("details", "design", to=OTHER), "design: its digest"),
    ("seed", _set("details", "seed", to=12), "seed: the suite's seed is"),
    ("look", _set("look", to=2), "look 2 needs look 1"),
    ("looks", _set("look", to=3), "the suite declares 2"),
    ("preset", _set("preset", to="tiny"), "no preset 'tiny'"),
    ("quick as full", _set("preset", to="quick"), "target"),
    ("task left out", lambda m, _: m["details"]["tasks"].clear(), "tasks: expected the suite's tasks golden"),
    ("columns", _set("designs", "golden", "task", "columns", "expected", to="output"), "golden/task"),
    ("product", _set("designs", "golden", "product", to="generate"), "golden/product"),
    ("settings", _set("designs", "golden", "metrics", 0, "settings", "normalisation", to="none"), "golden/metrics"),
    ("metric left out", lambda m, _: m["details"]["tasks"]["golden"]["metrics"].pop("token_f1"), "golden/metrics"),
    ("fewer samples", _set("details", "tasks", "golden", "target", to=40), "golden/target"),
    ("other data", _set("details", "tasks", "golden", "data", "digest", to=OTHER), "golden/data"),
    ("outputs", _set("details", "tasks", "golden", "outputs", to=OTHER), "golden/outputs"),
    ("scores", _set("details", "tasks", "golden", "metrics", "token_f1", "scores", to=OTHER), "token_f1"),
    ("version of a metric", _set("details", "tasks", "golden", "metrics", "token_f1", "version", to=9), "token_f1"),
    ("kind", _set("details", "tasks", "golden", "metrics", "token_f1", "per_shard", to=True), "token_f1"),
    ("reference", _set("details", "tasks", "golden", "metrics", "token_f1", "reference_state", to=OTHER), "token_f1"),
    ("slices", _set("details", "tasks", "golden", "slices", to={"language": ["en"]}), "slices"),
    ("value", _set("estimates", 0, "estimate", "value", to=0.99), "estimates: golden/exact_match"),
    ("bound", _set("estimates", 0, "estimate", "low", to=0.98), "estimates: golden/exact_match"),
    ("n", _set("estimates", 0, "estimate", "n", to=6000), "estimates: golden/exact_match"),
    ("estimate left out", lambda m, _: m["estimates"].pop(), "is not what its scores give"),
    ("estimate added", lambda m, _: m["estimates"].append({**m["estimates"][0], "key": "better"}), "no scores behind"),
    ("unknown field", _set("outcome", to="pass"), "outcome"),
    ("a path as digest", _set("details", "tasks", "golden", "outputs", to="sha256:../../../x"), "outputs"),
    ("format", _set("format", to=2), "format 2"),
    ("infinite", _set("designs", "golden", "x", to=float("inf")), "not readable JSON"),
    ("large", _set("details", "seed", to=2**60), "beyond 2^53"),
    ("half a character", _set("warnings", to=["\ud800"]), "half a character"),
    ("zero byte", _set("warnings", to=["a\0b"]), "zero byte"),
    ("odd designs", _set("designs", "golden", "metrics", 0, to=7), "golden/metrics"),
    ("odd settings", _set("details", "tasks", "golden", "metrics", "token_f1", "settings", to={"no": 1}), "token_f1"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [item[1:] for item in CHANGES], ids=[item[0] for item in CHANGES])
def test_what_does_not_fit_is_refused(refused: Any, change: Change, expected: str):
    assert expected in refused(change)


def test_better_scores_do_not_fit_their_estimates(refused: Any):
    def change(_: Any, files: Files) -> None:
        def perfect(table: pa.Table) -> pa.Table:
            place = table.schema.get_field_index("value")
            return table.set_column(place, "value", pa.array(np.ones(len(table))))

        edit_rows(files, "scores", perfect)

    assert "is not what its scores give" in refused(change)


def test_a_sample_counted_twice(refused: Any):
    def change(_: Any, files: Files) -> None:
        def doubled(table: pa.Table) -> pa.Table:
            ids = table.column("sample_id").to_pylist()
            place = table.schema.get_field_index("sample_id")
            return table.set_column(place, table.schema.field(place), pa.array([ids[0], *ids[:-1]]))

        edit_rows(files, "outputs", doubled)
        edit_rows(files, "scores", doubled)

    assert "not one for each sample" in refused(change)


def test_scores_of_other_samples(refused: Any):
    def change(_: Any, files: Files) -> None:
        def renamed(table: pa.Table) -> pa.Table:
            place = table.schema.get_field_index("sample_id")
            return table.set_column(place, "sample_id", pa.array([f"x{i}" for i in range(len(table))]))

        edit_rows(files, "scores", renamed)

    assert "other samples" in refused(change)


def test_a_shard_left_out(refused: Any):
    def change(_: Any, files: Files) -> None:
        for name in [name for name in files if name.startswith("scores/")]:
            del files[name]

    assert "cannot be read" in refused(change)


def test_another_design_under_digests_of_its_own(refused: Any):
    """The whole chain of digests is made anew, but the suite says otherwise."""

    def change(manifest: dict[str, Any], _: Files) -> None:
        manifest["designs"]["golden"]["task"]["n"] = 10
        seal(manifest)

    assert "golden/task" in refused(change)


# The archive itself


@pytest.mark.parametrize(
    "name",
    ["../../evil.parquet", "/etc/passwd", "scores/../../x.parquet", "scores\\x.parquet", "model.pkl",
     "outputs/0123456789ab/rows-000000000-000000060.pkl", "suite/.hidden/judge.md", "suite/../x.md",
     "outputs/0123456789ab/rows-000000000-000000060.parquet\n"],
)  # fmt: skip
def test_only_known_names(refused: Any, name: str):
    assert "no part of an evaluation" in refused(lambda _, files: files.update({name: b"x"}))


def test_a_file_that_is_not_in_the_manifest(refused: Any):
    extra = "scores/0123456789ab/rows-000000000-000000060.parquet"
    assert "not those of its manifest" in refused(lambda _, files: files.update({extra: b"x"}), honest=False)


def test_a_file_that_is_another_one(refused: Any):
    def change(_: Any, files: Files) -> None:
        name = next(name for name in files if name.startswith("scores/"))
        files[name] = files[name] + b" "

    assert "not the file that the manifest names" in refused(change, honest=False)


def test_a_link(served: Any, bundled: Any, tmp_path: Path, archive: Any):
    manifest, files = archive.read(bundled.path)
    name = next(name for name in files if name.startswith("scores/"))
    link = zipfile.ZipInfo(name)
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
        made.writestr(MANIFEST, json.dumps(manifest))
    answer = served.submit(tmp_path / "link.zip")
    assert (answer.status_code, "not a plain file" in answer.text) == (422, True)


def test_a_name_that_is_there_twice(served: Any, bundled: Any, tmp_path: Path, archive: Any):
    manifest, files = archive.read(bundled.path)
    name = next(iter(files))
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "twice.zip", "w") as made:
        made.writestr(name, files[name])
        made.writestr(name, b"other")
        made.writestr(MANIFEST, json.dumps(manifest))
    assert "twice" in served.submit(tmp_path / "twice.zip").json()["message"]


def test_a_bomb(refused: Any):
    name = "scores/0123456789ab/rows-000000000-000000060.states"
    message = refused(lambda _, files: files.update({name: bytes(20 * 2**20)}), status=413)
    assert "times its size" in message


def test_texts_that_share_one_stored_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A column of the same long text is small in a file, and huge when it is read."""
    path = tmp_path / "rows-000000000-000004096.parquet"
    pq.write_table(pa.table({"text": ["x" * 100_000] * 4096}), path)
    assert path.stat().st_size < 2**20
    with pytest.raises(unpack.TooLargeError):
        unpack._check_table(path, "outputs", Limits(file=100 * 2**20))


def test_arrays_that_unpack_into_more(tmp_path: Path):
    path = tmp_path / "state.npz"
    np.savez_compressed(path, a=np.zeros(40_000_000))
    with pytest.raises(unpack.TooLargeError):
        unpack._check_arrays(path, "states", Limits())


def test_a_pickle_among_arrays(tmp_path: Path, bundled: Any, served: Any, archive: Any):
    manifest, files = archive.read(bundled.path)
    name = next(name for name in files if name.endswith(".states"))
    inner = io.BytesIO()
    np.savez(inner, header=np.array([{"run": "me"}], dtype=object))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("index.json", '[""]')
        made.writestr("0.npz", inner.getvalue())
    files[name] = buffer.getvalue()
    answer = served.submit(archive.write(tmp_path / "pickle.zip", manifest, files))
    assert (answer.status_code, "distinct_n" in answer.json()["message"]) == (422, True), answer.text


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18)])
def test_no_zip(served: Any, tmp_path: Path, data: bytes):
    (tmp_path / "x.zip").write_bytes(data)
    assert served.submit(tmp_path / "x.zip").status_code == 422


def test_too_many_bytes(served: Any, bundled: Any, monkeypatch: pytest.MonkeyPatch):
    from evalkit.server.api.routes import UploadRoute

    monkeypatch.setattr(UploadRoute, "limit", 1000)
    assert served.submit(bundled.path).status_code == 413

    def pieces() -> Any:
        yield from (bundled.path.read_bytes()[i : i + 500] for i in range(0, 5000, 500))

    headers = {"content-type": "application/zip"}
    chunked = served.request("POST", "/evaluations", "evaluator", content=pieces(), headers=headers)
    assert (chunked.status_code, chunked.json()["error"]) == (413, "too_large")
