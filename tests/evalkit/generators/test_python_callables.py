"""Callables: the signature decides how they are called, and what they return is understood or told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evalkit.generators.base import Generation, Request
from evalkit.generators.catalogue import adapt
from metrics.errors import InputError

REQUESTS = [Request(f"s{i}", i, 100 + i, f"p{i}", {"lang": "en", "k": i}) for i in range(3)]


def run(function: Any, settings: Mapping[str, Any] | None = None) -> list[Generation]:
    return adapt(function).generate(REQUESTS, settings or {})


def test_prompt_only() -> None:
    assert [g.text for g in run(lambda prompt: prompt + "!")] == ["p0!", "p1!", "p2!"]


def test_named_parts_and_settings() -> None:
    def answer(question: str, *, seed: int, row: Mapping[str, Any], temperature: float = 1.0) -> str:
        return f"{question} {seed} {row['k']} {temperature}"

    assert run(answer, {"temperature": 0.5})[2].text == "p2 102 2 0.5"
    assert run(answer)[0].text == "p0 100 0 1.0"


def test_no_prompt_parameter() -> None:
    assert run(lambda seed: f"{seed}")[1].text == "101"
    assert run(lambda *, prompt: prompt)[1].text == "p1"
    assert run(lambda request: request.sample_id)[1].text == "s1"


def test_batch_of_requests() -> None:
    calls: list[int] = []

    def batch(requests: list[Request], settings: Mapping[str, Any]) -> list[str]:
        calls.append(len(requests))
        return [str(settings["k"]) + str(r.prompt) for r in requests]

    assert [g.text for g in run(batch, {"k": 7})] == ["7p0", "7p1", "7p2"] and calls == [3]


def test_coroutine_function() -> None:
    async def answer(prompt: str) -> str:
        return prompt[::-1]

    assert run(answer)[0].text == "0p"


def test_dictionaries_and_images() -> None:
    made = run(lambda p: {"answer": "yes", "output_tokens": 3, "latency": 0.25})[0]
    assert (made.text, made.output_tokens, made.latency) == ("yes", 3, 0.25)
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for value in (pixels, Image.fromarray(pixels), {"image": pixels}, Generation(image=pixels)):
        np.testing.assert_array_equal(run(lambda p, value=value: value)[0].image, pixels)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "empty output"),
        (5, "wrong type int"),
        ({"score": 1}, "a dictionary without any of"),
        (np.zeros((3, 8), np.uint8), r"wrong shape [3, 8]; expected height x width x 3"),
        ({"error": "rate limited"}, "rate limited"),
    ],
)
def test_what_is_no_output(value: Any, error: str) -> None:
    assert str(run(lambda p: value)[0].error).startswith(error)


def test_image_modality_by_annotation() -> None:
    def paint(prompt: str) -> Image.Image:
        raise NotImplementedError

    assert adapt(paint).modality == "image" and adapt(lambda p: p).modality == "text"
    assert adapt(lambda p: p, {"modality": "image"}).modality == "image"


def test_missing_argument_is_named() -> None:
    def answer(prompt: str, index: str) -> str:
        return index

    with pytest.raises(InputError, match="argument 'index'"):
        run(answer)


def test_settings_of_evalkit_are_not_the_models() -> None:
    def answer(prompt: str, settings: Mapping[str, Any]) -> str:
        return repr(sorted(settings))

    generator = adapt(answer, {"env": ["KEY"], "time_limit": 3, "call": "a:b", "top": 1})
    assert generator.generate(REQUESTS, {})[0].text == "['top']"


def test_not_callable() -> None:
    with pytest.raises(InputError, match="cannot generate"):
        adapt(3)
