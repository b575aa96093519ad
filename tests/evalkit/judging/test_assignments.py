"""What a labeller chooses from, and what an answer counts as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.judging.assignments import Key, choices_of, keys
from evalkit.judging.labelling import PAIRS, PASS_FAIL, Shown, show, value_of
from judges.base import Sample
from judges.sampling import Draw
from metrics.errors import InputError
from registry.judged import Judged

LABELS = """---
name: tone
kind: labels
labels: {rude: 0, cold: 0.5, kind: 1}
---
How does it sound?
{{ output }}
"""


def chosen(judged: Judged | None, folder: Path, **settings: Any) -> list[tuple[str, float, str]]:
    return [(one.key, one.value, one.title) for one in choices_of(judged, folder, settings)]


def test_labels_of_the_judge_are_the_answers(tmp_path: Path) -> None:
    (tmp_path / "tone.md").write_text(LABELS)
    found = chosen(Judged(judge="tone.md"), tmp_path, low=0.0, high=1.0)
    assert found == [("1", 0.0, "rude"), ("2", 0.5, "cold"), ("3", 1.0, "kind")]


def test_scale_is_what_the_judge_has(tmp_path: Path) -> None:
    found = chosen(Judged(judge="gone.md"), tmp_path, low=1.0, high=5.0)
    assert [key for key, _, _ in found] == ["1", "2", "3", "4", "5"]
    assert [value for _, value, _ in found] == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    "scale", [{}, {"low": 0.0, "high": 1.0}, {"low": 0.0, "high": 100.0}, {"low": -3.0, "high": 3.0}]
)
def test_anything_else_passes_or_fails(tmp_path: Path, scale: dict[str, float]) -> None:
    assert {key for key, _, _ in chosen(None, tmp_path, **scale)} == {"p", "f"}


def test_pairs_are_compared_and_the_swap_is_taken_back(tmp_path: Path) -> None:
    judged = Judged(judge="preferred", baseline="old")
    assert {key: value for key, value, _ in chosen(judged, tmp_path)} == dict(PAIRS)
    sample = Sample("s", "mine", others=("theirs",))
    sides = {}
    for place in range(20):
        shown = show(sample, Draw("s", 0.5, place), seed=1)
        mine = "a" if dict(shown.parts)["answer A"] == "mine" else "b"
        sides[mine] = value_of(mine, PAIRS, shown)
    assert sides == {"a": (1.0, None), "b": (1.0, None)}  # whichever side it is shown on, the judged output wins


def test_pass_and_fail_are_never_swapped() -> None:
    assert value_of("p", PASS_FAIL, Shown((), swapped=True)) == (1.0, None)
    assert value_of("s", PASS_FAIL, Shown((), swapped=True)) == (None, "cannot tell")
    with pytest.raises(InputError, match="expected one of p, f, s"):
        value_of("a", PASS_FAIL, Shown((), swapped=False))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "\0", "", "ü" * 300])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    key = Key(name, name, name, 0)
    file = key.file(tmp_path, name)
    assert file.parent.parent == tmp_path / "labels"
    assert file.resolve().is_relative_to(tmp_path)
    assert file != key.file(tmp_path, name + " ")


def test_what_is_no_label_is_passed_over(tmp_path: Path) -> None:
    for place, content in enumerate((b"", b"{}", b"not json", b'{"version": 1, "task": 2, "metric": "", "seed": "x"}')):
        folder = tmp_path / "labels" / str(place)
        folder.mkdir(parents=True)
        (folder / "about.json").write_bytes(content)
    assert keys(tmp_path) == []
