from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from werkzeug.serving import make_server

from metrics.errors import InputError
from registry import artifact_store
from registry.artifact_store import MANIFEST, download, read_manifest, upload

FILES = 9


class Flaky:
    """A client whose connection breaks for good after some uploads, manifests counted in; counts what it sends."""

    def __init__(self, inner: MlflowClient, lasts: int = 10**9) -> None:
        self._inner, self._left = inner, lasts
        self.sent: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _use(self) -> None:
        if self._left == 0:
            raise ConnectionError("the store is gone")
        self._left -= 1

    def log_artifact(self, run_id: str, local: str, path: str | None = None) -> None:
        self._use()
        self._inner.log_artifact(run_id, local, path)
        self.sent.append(Path(local).name)

    def log_text(self, run_id: str, text: str, path: str) -> None:
        self._use()
        self._inner.log_text(run_id, text, path)


@pytest.fixture(params=["folder", "proxied"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, empty_store: Path, monkeypatch: Any
) -> Iterator[MlflowClient]:
    """A folder of this machine, and `mlflow-artifacts:` over HTTP as S3 and others are reached."""
    database = tmp_path / "mlflow.db"
    database.write_bytes(empty_store.read_bytes())
    if request.param == "folder":
        yield MlflowClient(f"sqlite:///{database}")
        return
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{database}")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "bucket"))
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    from mlflow.server import app, handlers

    for held in ("_tracking_store", "_artifact_repo"):
        monkeypatch.setattr(handlers, held, None)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield MlflowClient(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run_id(store: MlflowClient, tmp_path: Path) -> str:
    location = None if store.tracking_uri.startswith("http") else (tmp_path / "artifacts").as_uri()
    found: str = store.create_run(store.create_experiment("uploads", artifact_location=location)).info.run_id
    return found


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for number in range(FILES):
        path = tmp_path / f"shard-{number}.bin"
        path.write_bytes(bytes([number]) * (1000 + number))
        made[f"outputs/task/shard-{number}.bin"] = path
    return made


def test_an_upload_that_was_cut_off_goes_on_and_is_verified_when_it_is_fetched(
    store: MlflowClient, run_id: str, files: dict[str, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(artifact_store, "_FILES_BETWEEN", 2)
    killed = Flaky(store, lasts=7)  # 2 files and a manifest, twice over, and one file that no manifest tells of
    with pytest.raises(ConnectionError):
        upload(killed, run_id, files)
    assert len(killed.sent) == 5
    assert len(read_manifest(store, run_id)) == 4
    again = Flaky(store)
    assert len(upload(again, run_id, files).there) == 4
    assert again.sent == [f"shard-{number}.bin" for number in range(4, FILES)]
    idle = Flaky(store)
    assert upload(idle, run_id, files).sent == []
    assert idle.sent == []

    fetched = download(store, run_id, tmp_path / "back", below="outputs")
    assert [path.read_bytes() for path in fetched] == [path.read_bytes() for path in files.values()]
    files["outputs/task/shard-3.bin"].write_bytes(b"changed since")
    assert upload(store, run_id, files).sent == ["outputs/task/shard-3.bin"]


def test_a_file_that_was_changed_in_the_store_is_refused_and_not_left_behind(
    store: MlflowClient, run_id: str, files: dict[str, Path], tmp_path: Path
) -> None:
    upload(store, run_id, files)
    broken = tmp_path / "shard-1.bin"
    broken.write_bytes(b"\xff" * 1001)  # of the same length
    store.log_artifact(run_id, str(broken), "outputs/task")
    with pytest.raises(InputError, match="changed in the artifact store"):
        download(store, run_id, tmp_path / "back")
    assert not (tmp_path / "back/outputs/task/shard-1.bin").exists()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / MANIFEST).write_text('{"version": 1, "fil')
    store.log_artifact(run_id, str(tmp_path / "cut" / MANIFEST))
    assert len(upload(store, run_id, files).sent) == FILES
    assert len(download(store, run_id, tmp_path / "back")) == FILES


def test_a_manifest_that_leads_out_of_the_folder_is_refused(store: MlflowClient, run_id: str, tmp_path: Path) -> None:
    store.log_text(run_id, '{"files": {"../../escape.txt": {"sha256": "sha256:00", "bytes": 1}}}', MANIFEST)
    with pytest.raises(InputError, match="leads out of its folder"):
        download(store, run_id, tmp_path / "back")
    with pytest.raises(InputError, match="nothing can be verified"):
        download(store, run_id, tmp_path / "back", below="outputs")
