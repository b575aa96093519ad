"""``evalkit evaluate --profile``: every kind of work has its stage, and the stages add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalkit.extractors.pixels import PixelExtractor

from .conftest import Project

BOT = """
import numpy as np

def answer(prompt):
    return "4"

def draw(seed):
    return np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
"""
SUITE = """\
suite: profiled
tasks:
  golden:
    data: questions.jsonl
    columns: {id: id, prompt: question, expected: answers}
    generate: {call: "bot:answer"}
    score: [exact_match]
  images:
    reference: real.npz
    n: 40
    extractor: pixels
    generate: {call: "bot:draw"}
    score: [fid]
"""


@pytest.fixture
def batched_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels in batches, as the networks have them."""
    added: dict[str, Any] = {
        "usual_batch": 16,
        "fixed_batch": False,
        "prepare": lambda self, images, position, first: np.stack(images).reshape(len(images), -1) / 255,
        "forward": lambda self, prepared: (prepared, None),
    }
    for name, value in added.items():
        monkeypatch.setattr(PixelExtractor, name, value, raising=False)


def test_the_profile_names_every_kind_of_work_and_adds_up(project: Project, batched_pixels: None) -> None:
    project.write("bot.py", BOT)
    project.write("suite.yaml", SUITE)
    np.savez(project.folder / "real.npz", images=np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), np.uint8))
    assert project.call("register", "both", "--model", "call:bot:answer", "--suite", "suite.yaml").code == 0
    found: Any = project.call("evaluate", "models:/both/1", "--profile", "--json").json()
    profile = found["profile"]
    stages = {(stage["task"], stage["stage"]): stage for stage in profile["stages"]}
    assert {
        ("", "reading data"), ("", "database"), ("", "MLflow logging"), ("", "everything else"),
        ("golden", "model load"), ("golden", "generation"), ("golden", "scoring exact_match"),
        ("golden", "estimating exact_match"), ("images", "generation"), ("images", "decode"),
        ("images", "preprocessing"), ("images", "network forward"), ("images", "scoring fid"), ("images", "reference"),
        ("images", "estimating fid"),
    } <= stages.keys()  # fmt: skip
    assert stages["golden", "generation"]["rows"] == 60
    assert stages["images", "decode"]["rows"] == stages["images", "network forward"]["rows"] == 40 + 50
    assert stages["images", "decode"]["ahead"] and not stages["images", "network forward"]["ahead"]
    inside = [stage for stage in profile["stages"] if not stage["ahead"]]
    assert sum(stage["share"] for stage in inside) == pytest.approx(1.0, abs=0.02)
    assert sum(stage["seconds"] for stage in inside) == pytest.approx(profile["seconds"], rel=0.02)

    told = project.call("evaluate", "models:/both/1", "--profile").out
    assert "Where" in told and "reading data" in told  # answered from the store: little is left to do
    plain: Any = project.call("evaluate", "models:/both/1", "--json").json()
    assert "profile" not in plain


def test_work_elsewhere_has_no_profile(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_SERVER", "http://127.0.0.1:1")
    refused = project.call("evaluate", "models:/both/1", "--profile", "--on-server")
    assert refused.code == 2
    assert "--profile tells about work on this machine" in refused.err
