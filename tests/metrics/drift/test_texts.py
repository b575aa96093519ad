from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metrics.drift import text_drift
from metrics.errors import InputError

COMMON = [f"word{i}" for i in range(200)]


def texts(seed: int, n: int, extra: str = "", share: float = 0.0) -> list[str | None]:
    rng = np.random.default_rng(seed)
    made: list[str | None] = [" ".join(rng.choice(COMMON, 12)) for _ in range(n)]
    return [f"{text} {extra}" if rng.random() < share else text for text in made]


def test_words_and_examples_tell_the_windows_apart() -> None:
    current = texts(2, 300, "Refund the INVOICE now", 0.4)
    found = text_drift(texts(1, 600), current)
    assert found.estimates["p_value"].value < 1e-3
    assert found.estimates["value"].low is not None and found.estimates["value"].low > 0.55
    assert {w.word for w in found.words[:4]} == {"refund", "the", "invoice", "now"}
    assert all(w.reference == 0 and w.current == pytest.approx(0.4, abs=0.12) for w in found.words[:4])
    assert len(found.examples) == 10
    assert all("INVOICE" in str(current[i]) for i in found.examples)


def test_words_that_vanish_are_named_too() -> None:
    found = text_drift(texts(3, 400, "please", 0.6), texts(4, 400))
    assert found.words[0].word == "please"
    assert found.words[0].reference > 0.4 > found.words[0].current == 0


def test_without_drift_words_are_hardly_ever_named() -> None:
    """Twenty windows: words that the training half made up do not survive the held-out half."""
    named, alarms = 0, 0
    for seed in range(20):
        found = text_drift(texts(seed, 200), texts(seed + 100, 100), seed=seed)
        named += bool(found.words)
        alarms += found.estimates["p_value"].value < 0.05
    assert named <= 3
    assert alarms <= 4


def test_it_repeats_and_positions_count_missing_texts() -> None:
    current = texts(5, 120, "überweisung", 0.5)
    holes = [None, *current[:60], None, *current[60:]]
    a, b = text_drift(texts(6, 200), current), text_drift(texts(6, 200), holes)
    assert [current[i] for i in a.examples] == [holes[i] for i in b.examples]
    assert a.words == b.words and a.words[0].word == "überweisung"
    assert b.estimates["value"].coverage == pytest.approx(120 / 122)


def test_scripts_without_spaces_are_split_into_characters() -> None:
    reference = ["今日は天気がいい"] * 60
    found = text_drift(reference, ["明日は雨がふる"] * 60)
    assert found.estimates["value"].value == 1.0
    assert {"雨", "天"} <= {w.word for w in found.words}


@pytest.mark.parametrize("odd", ["", "!!! ???", "\x00\ud800", "a" * 50_000])
def test_texts_without_words_are_no_drift(odd: str) -> None:
    found = text_drift([odd] * 50, [odd] * 50)
    assert found.estimates["value"].value == 0.5
    assert found.words == ()


@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        (["a"] * 39, ["a"] * 50, "reference: 39 texts, 40 are needed"),
        (["a"] * 50, [None] * 50, "current: 0 texts"),
        ([b"a"] * 50, ["a"] * 50, "entry 0 is bytes"),
    ],
)
def test_bad_input_is_refused(reference: Any, current: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_drift(reference, current)
