"""The diffusers adapter against a small module of the same shape; diffusers itself is an optional extra."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.generators.base import Request
from evalkit.generators.catalogue import adapt, create
from evalkit.models import describe_model
from metrics.errors import InputError


class DiffusionPipeline:
    loaded: dict[str, Any]

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.calls: list[dict[str, Any]] = []

    @classmethod
    def from_pretrained(cls, source: str, **options: Any) -> DiffusionPipeline:
        made = cls()
        cls.loaded = {"source": source, **options}
        return made

    def to(self, device: str) -> DiffusionPipeline:
        return self

    def __call__(
        self,
        prompt: list[str],
        height: int = 8,
        width: int = 8,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        generator: list[torch.Generator] | None = None,
    ) -> types.SimpleNamespace:
        self.calls.append({"n": len(prompt), "size": (height, width), "steps": num_inference_steps})
        images = [torch.rand(height, width, 3, generator=g).numpy() for g in generator or []]
        flagged = [text == "nude" for text in prompt]
        return types.SimpleNamespace(images=images, nsfw_content_detected=flagged)


DiffusionPipeline.__module__ = "diffusers.pipelines.fake"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = types.ModuleType("diffusers")
    module.DiffusionPipeline = DiffusionPipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", module)
    (tmp_path / "model_index.json").write_text("{}")
    return tmp_path


def requests(**row: Any) -> list[Request]:
    return [Request(str(i), i, 50 + i, f"a cat {i}", row) for i in range(4)]


def test_loads_safely_and_each_sample_has_its_own_noise(folder: Path) -> None:
    generator = create(describe_model(folder))
    assert DiffusionPipeline.loaded["use_safetensors"] is True
    assert DiffusionPipeline.loaded["trust_remote_code"] is False
    together = generator.generate(requests(), {"steps": 3, "size": [4, 6]})
    alone = [generator.generate([request], {"steps": 3, "size": [4, 6]})[0] for request in requests()]
    for a, b in zip(together, alone, strict=True):
        assert a.image is not None and a.image.shape == (4, 6, 3)
        np.testing.assert_array_equal(a.image, b.image)


def test_sizes_differ_by_row(folder: Path) -> None:
    pipeline = DiffusionPipeline()
    asked = [*requests(size=[4, 4])[:2], *requests(size=[8, 4])[2:]]
    made = adapt(pipeline).generate(asked, {"steps": 2, "size": [2, 2]})
    assert [g.image.shape[:2] for g in made if g.image is not None] == [(4, 4), (4, 4), (8, 4), (8, 4)]
    assert [call["n"] for call in pipeline.calls] == [2, 2] and pipeline.calls[0]["steps"] == 2


def test_blanked_image_is_an_error(folder: Path) -> None:
    made = adapt(DiffusionPipeline()).generate([Request("0", 0, 0, "nude")], {})
    assert made[0].error == "blanked by the pipeline's safety checker"


def test_bad_settings_and_missing_prompts(folder: Path) -> None:
    with pytest.raises(InputError, match="takes no 'stepz'"):
        adapt(DiffusionPipeline()).generate(requests(), {"stepz": 3})
    with pytest.raises(InputError, match="sample '0' has no prompt"):
        adapt(DiffusionPipeline()).generate([Request("0", 0, 0)], {})


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r"evalkit\[diffusion\]"):
        create({"adapter": "diffusers", "path": str(tmp_path)})
