"""The shipped weights of the injection detector's learned line are those that its training script makes."""

from __future__ import annotations

import os
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from benchmarks.injection import real_outputs
from judges.training.injection import DOCUMENTED, digest_of, fit, material
from judges.training.injection_grammar import ATTACKS, HONEST, attacks, honest, honest_paragraphs
from judges.training.injection_honest_prose import PROSE
from judges.weights import load_weights

_WORDS = 5


def test_the_texts_are_the_same_on_every_call() -> None:
    for made in (honest, honest_paragraphs):
        assert digest_of(made(200)) == digest_of(made(200))
    assert all(digest_of(attacks(kind, 40)) == digest_of(attacks(kind, 40)) for kind in ATTACKS)
    assert digest_of(["ab", "c"]) != digest_of(["a", "bc"])


def test_a_second_training_gives_the_shipped_weights() -> None:
    pytest.importorskip("sklearn")
    other = {name: metadata.version(name) for name in DOCUMENTED if metadata.version(name) != DOCUMENTED[name]}
    if other:
        pytest.skip(f"docstrings of other versions are installed: {other}")
    shipped = load_weights("injection")
    given = material()
    assert given.digest == shipped.facts["texts"]
    again = fit([given.real, *given.parts])
    assert float(again.facts["intercept"]) == pytest.approx(float(shipped.facts["intercept"]), abs=1e-3)
    for name, array in shipped.arrays.items():
        np.testing.assert_allclose(again.arrays[name], array, rtol=0, atol=1e-3)


@pytest.mark.data
def test_no_honest_sentence_is_taken_from_the_outputs_that_measure() -> None:
    folder = os.environ.get("EVALKIT_TEST_DATA")
    if not folder:
        pytest.skip("EVALKIT_TEST_DATA is not set")

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[at : at + _WORDS]) for at in range(len(words) - _WORDS + 1)}

    real = set().union(*map(runs, real_outputs(Path(folder))))
    pieces = [piece for sentence in (*HONEST, *PROSE) for piece in re.split(r"\{\w+\}", sentence)]
    assert [piece for piece in pieces if runs(piece) & real] == []
