"""Files that travel to a worker which does not share them, and what a worker makes of a model's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evalkit.engines import parcels
from evalkit.engines.actor import Luggage, ShardActor, _read_plain_file
from evalkit.engines.folders import own_folder
from evalkit.engines.parcels import Parcel, pack, pack_code, unpack
from evalkit.generators.base import GenerationFailed
from evalkit.generators.process import Recipe
from evalkit.generators.seeds import unconditional_requests
from metrics.errors import InputError

from .conftest import ART


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardActor]:
    (tmp_path / "worker").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "worker"))
    made = ShardActor(bytes)
    yield made
    made._put_down()


def test_a_folder_arrives_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "CHUNK", 7)
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / "weights.bin").write_bytes(bytes(range(100)))
    (source / "deep" / "empty").write_bytes(b"")
    (source / "link").symlink_to(source / "weights.bin")
    there = unpack(pack(source, bytes), tmp_path / "there", bytes)
    assert {path.name for path in there.rglob("*") if path.is_file()} == {"weights.bin", "empty", "link"}
    assert (there / "link").read_bytes() == bytes(range(100)) and not (there / "link").is_symlink()
    file = unpack(pack(source / "weights.bin", bytes), tmp_path / "file", bytes)
    assert file.name == "weights.bin" and file.read_bytes() == bytes(range(100))


def test_only_a_suites_own_code_travels_and_not_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("art.py", "parts/brush.py", ".venv/lib.py", "data.jsonl", "__pycache__/art.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1")
    assert [name for name, _ in pack_code(tmp_path, bytes).files] == ["art.py", "parts/brush.py"]
    monkeypatch.setattr(parcels, "MOST_CODE", 9)
    with pytest.raises(InputError, match="Python files, more than"):
        pack_code(tmp_path, bytes)


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_parcel_does_not_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the folder"):
        unpack(Parcel(((name, (b"x",)),)), tmp_path / "there", bytes)
    assert not (tmp_path / "out").exists()


def test_a_call_runs_from_code_that_travelled_with_the_variables_that_it_names(
    actor: ShardActor, tmp_path: Path
) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "art.py").write_text(ART)
    recipe = Recipe({"adapter": "callable", "call": "art:draw", "settings": {}}, ("ART_KEY",), None, False, Path("/no"))
    luggage = Luggage(None, pack_code(tmp_path / "suite", bytes))
    assert actor.load_generator(recipe, {"ART_KEY": "k"}, luggage)["ok"]["name"] == "draw"
    assert "ART_KEY" not in os.environ
    data = actor.generate(unconditional_requests(0, 0, 5), {}, "generate")["ok"]
    assert data[:4] == b"PAR1"
    (log,) = (tmp_path / "worker").rglob("calls.log")
    assert {line.split()[2] for line in log.read_text().splitlines()} == {"k"}


def test_what_goes_wrong_on_a_worker_is_one_line(actor: ShardActor, tmp_path: Path) -> None:
    recipe = Recipe({"adapter": "callable", "call": "art:draw", "settings": {}}, (), None, False, tmp_path)
    reply = actor.load_generator(recipe, {}, None)
    assert reply["failed"] in {True, False} and "art" in reply["error"] and "\n" not in reply["error"]
    assert "no images" in actor_with_pixels(actor, tmp_path).extract([])["error"]


def actor_with_pixels(actor: ShardActor, folder: Path) -> ShardActor:
    identity = actor.load_extractor("pixels", folder)["ok"]
    assert identity["extractor"] == "pixels"
    extracted, probabilities = actor.extract([np.zeros((2, 2, 3), np.uint8)])["ok"]
    assert extracted.shape == (1, 12) and probabilities is None
    return actor


def test_links_and_pipes_that_a_model_left_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nothing"):
        with pytest.raises(GenerationFailed, match="no outputs that can be read"):
            _read_plain_file(tmp_path / name)
    assert _read_plain_file(secret) == b"s"


def test_folders_of_the_dead_are_removed(tmp_path: Path) -> None:
    dead, alive = tmp_path / "ek-99999999-x", tmp_path / f"ek-{os.getpid()}-x"
    dead.mkdir()
    alive.mkdir()
    made = own_folder("ek-", tmp_path)
    assert made.is_dir() and alive.is_dir() and not dead.exists()
