"""Judges from files: what is read, what is refused and where, and what the version depends on."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import judges
from judges.loading import builtin_names, parse_definition, read_definition
from metrics.errors import InputError

GOOD = """\
---
name: brevity
kind: scale
scale: [1, 5]
passes: {min: 4}
optional: [prompt]
examples:
  - {output: Yes., verdict: 5, rationale: one word}
---

Is this brief?

{{ prompt }}
{{ output }}
"""


def _replace(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


ANCHORS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in itertools.pairwise("abcdefg")
)

BROKEN = {
    "unknown key": (_replace("scale: [1, 5]", "scales: [1, 5]"), 4, "unknown key 'scales'; did you mean 'scale'?"),
    "unknown kind": (_replace("kind: scale", "kind: scal"), 3, "'scal' is not one of scale"),
    "unknown input": (_replace("{{ output }}", "{{ outputs }}"), 14, "no input 'outputs'; did you mean 'output'?"),
    "foreign input": (_replace("{{ output }}", "{{ answers }}"), 14, "a scale judge has no input 'answers'"),
    "no scale": (_replace("scale: [1, 5]\n", ""), 2, "`scale` belongs to a judge of kind scale"),
    "wrong scale": (_replace("[1, 5]", "[5, 1]"), 4, "lowest first"),
    "wrong type": (_replace("{min: 4}", "{min: four}"), 5, "`passes"),
    "wrong example": (_replace("verdict: 5", "verdict: 6"), 8, "'6' is not a verdict of this judge"),
    "wrong optional": (_replace("[prompt]", "[promt]"), 6, "'promt' is not an input of the prompt; did you mean"),
    "prompt twice": (_replace("kind: scale", "kind: scale\nprompt: x"), 4, "the prompt is the text below"),
    "no front matter": ("Is this brief? {{ output }}\n", 1, "starts with YAML between two lines"),
    "no prompt": (GOOD[: GOOD.rindex("---") + 4], 10, "`prompt`"),
    "no input": (_replace("{{ prompt }}\n{{ output }}\n", ""), 11, "the prompt names no input"),
    "bad name": (_replace("name: brevity", "name: ../x"), 2, "`name`"),
    "a list": ("---\n- a\n---\nx\n", 2, "a judge is a mapping"),
    "expanding anchors": (f"---\n{ANCHORS}---\nx\n", 2, "values once anchors are followed"),
}


@pytest.mark.parametrize(("text", "line", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    file = tmp_path / "brevity.md"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        judges.load(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{file}:{line}: ")


def test_markdown_and_yaml_give_the_same_judge() -> None:
    written = """\
name: brevity
kind: scale
scale: [1, 5]
passes: {min: 4}
optional: [prompt]
examples:
  - {output: Yes., verdict: 5, rationale: one word}
prompt: |-
  Is this brief?

  {{ prompt }}
  {{ output }}
"""
    assert parse_definition(written, "x.yaml") == parse_definition(GOOD, "x.md")
    broken = written.replace("{{ output }}", "{{ outputs }}")
    with pytest.raises(InputError, match=r"^x\.yaml:12: "):
        parse_definition(broken, "x.yaml")


def test_missing_files_and_names_say_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such judge file"):
        judges.load(tmp_path / "none.md")
    with pytest.raises(InputError, match=r"no judge 'helpfulnes'; known are .*; did you mean 'helpfulness'\?"):
        judges.load("helpfulnes")
    (tmp_path / "latin.md").write_bytes(b"---\nname: caf\xe9\n---\n")
    with pytest.raises(InputError, match="not UTF-8"):
        judges.load(tmp_path / "latin.md")


def test_every_judge_that_ships_can_be_loaded_under_its_name() -> None:
    assert {
        "helpfulness", "correctness", "relevance", "groundedness", "context_precision", "context_recall",
        "context_sufficiency", "toxicity", "bias", "refusal", "pairwise",
    } <= set(builtin_names())  # fmt: skip
    for name in builtin_names():
        definition = read_definition(name)
        assert definition.name == name
        assert definition.description


def test_the_version_follows_what_verdicts_depend_on_and_nothing_else() -> None:
    base = parse_definition(GOOD, "x.md")
    same = {
        "comment": _replace("kind: scale", "# note\nkind: scale"),
        "default": _replace("kind: scale", "kind: scale\nrepeats: 1"),
        "description": _replace("kind: scale", "kind: scale\ndescription: x"),
        "demand": _replace("kind: scale", "kind: scale\ncalibrated: {kappa: 0.6, max_age: 90d}"),
        "model": _replace("kind: scale", "kind: scale\nmodel: openai:/x"),
    }
    for text in same.values():
        assert parse_definition(text, "x.md").version == base.version
    other = {
        "prompt": _replace("brief?", "short?"),
        "scale": _replace("[1, 5]", "[0, 5]"),
        "sampling": _replace("kind: scale", "kind: scale\nsampling: {temperature: 0.5}"),
        "example": _replace("one word", "a word"),
    }
    for text in other.values():
        assert parse_definition(text, "x.md").version != base.version
        assert parse_definition(text, "x.md").request_digest != base.request_digest
    free = {"passes": _replace("min: 4", "min: 3"), "repeats": _replace("kind: scale", "kind: scale\nrepeats: 3")}
    for text in free.values():
        assert parse_definition(text, "x.md").version != base.version
        assert parse_definition(text, "x.md").request_digest == base.request_digest, "nothing is bought again"


def test_a_judge_written_in_python_is_checked_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^judge 'x': `prompt`: a scale judge has no input 'outptu'"):
        judges.Judge("x", "scale", None, "{{ outptu }}", scale=[1, 5])
    with pytest.raises(InputError, match="unknown key 'scal'; did you mean 'scale'"):
        judges.Judge("x", "scale", None, "{{ output }}", scal=[1, 5])
    with pytest.raises(InputError, match="has no desk"):
        judges.Judge("x", "pass_fail", None, "{{ output }}").score([])
