"""Every kind of broken suite gives one line that names file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from judges.yaml_source import MAX_BYTES
from metrics.errors import InputError
from registry.suite import Suite

GOOD = """\
suite: answers
tasks:
  golden:
    outputs: outputs.jsonl
    columns: {expected: expected, slices: [language]}
    score: [exact_match, token_f1]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""


def _replace(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


BROKEN = {
    "not YAML": (_replace("suite: answers", "suite: [answers"), 2, "not valid YAML"),
    "tabs": (_replace("  golden:", "\tgolden:"), 3, "not valid YAML"),
    "a list": ("- a\n- b\n", 1, "a suite is a mapping"),
    "empty": ("# nothing\n", 1, "the file is empty"),
    "two documents": (GOOD + "---\nsuite: b\n", 10, "not valid YAML"),
    "unknown key": (_replace("gate:", "gates:"), 7, "unknown key 'gates'; did you mean 'gate'?"),
    "unknown task key": (_replace("outputs:", "output:"), 4, "did you mean 'outputs'?"),
    "unknown rule key": (_replace("min: 0.5", "minn: 0.5"), 9, "did you mean 'min'?"),
    "missing suite": (_replace("suite: answers\n", ""), 1, "`suite` is missing"),
    "misspelt score": (
        _replace("    score:", "    scoer:"),
        6,
        "unknown key 'scoer' in tasks.golden; did you mean 'score'?",
    ),
    "missing score": (_replace("    score: [exact_match, token_f1]\n", ""), 3, "`tasks.golden.score` is missing"),
    "duplicate key": (GOOD + "suite: again\n", 10, "the key 'suite' appears twice (first on line 1)"),
    "unknown metric": (_replace("token_f1]", "token_f2]"), 6, "unknown metric 'token_f2'; did you mean 'token_f1'?"),
    "unknown setting": (_replace("token_f1]", "{token_f1: {stemm: 1}}]"), 6, "no setting 'stemm'"),
    "scored twice": (_replace("token_f1]", "exact_match]"), 6, "scores 'exact_match' twice"),
    "rule without task": (_replace("golden/exact", "goldne/exact"), 9, "no task 'goldne'; did you mean 'golden'?"),
    "rule without metric": (_replace("golden/exact_match", "golden/empty"), 9, "does not score 'empty'"),
    "rule without key": (_replace("golden/exact_match", "golden/exact_match.p95"), 9, "has no 'p95'"),
    "rule on nothing": (_replace("golden/exact_match", "exact_match"), 9, "gate.rules.0.metric"),
    "rule without limit": (_replace(", min: 0.5", ""), 9, "give either `max`/`min` or `versus: champion`"),
    "rule with both": (_replace("min: 0.5", "min: 0.5, versus: champion, margin: 1%"), 9, "give either"),
    "versus without margin": (_replace("min: 0.5", "versus: champion"), 9, "needs a `margin`"),
    "versus whom": (_replace("min: 0.5", "versus: champoin, margin: 0"), 9, "did you mean 'champion'?"),
    "wrong unit": (_replace("min: 0.5", "min: 5 parsecs"), 9, "with one of the units s, ms"),
    "limit out of range": (_replace("min: 0.5", "min: 50"), 9, "outside the range"),
    "unknown slice": (_replace("min: 0.5", "min: 0.5, slice: langage"), 9, "did you mean 'language'?"),
    "same rule twice": (GOOD + "    - {metric: golden/exact_match, min: 0.6}\n", 10, "already on line 9"),
    "infinite": (_replace("min: 0.5", "min: .inf"), 9, "not a number that can be used"),
    "alpha": (_replace("  rules:", "  alpha: 0.9\n  rules:"), 8, "less than 0.5"),
    "spending": (_replace("  rules:", "  looks: 2\n  spending: [0.5]\n  rules:"), 7, "1 shares for 2 looks"),
    "required task": (_replace("  rules:", "  required: [gold]\n  rules:"), 8, "did you mean 'golden'?"),
    "missing file": (_replace("outputs.jsonl", "outptus.jsonl"), 4, "there is no file or folder 'outptus.jsonl'"),
    "climbing path": (_replace("outputs.jsonl", "../secret.jsonl"), 4, "leads out of its folder"),
    "absolute path": (_replace("outputs.jsonl", "/etc/passwd"), 4, "is absolute"),
    "drive letter": (_replace("outputs.jsonl", "'C:\\x.jsonl'"), 4, "is absolute"),
    "symbolic link": (_replace("outputs.jsonl", "link.jsonl"), 4, "leads out of its folder"),
    "call": (_replace("outputs: outputs.jsonl", "generate: {call: 'os.system(1)'}"), 4, "module:function"),
    "call of a file": (_replace("outputs: outputs.jsonl", "generate: {call: '../x.py:f'}"), 4, "leads out"),
    "extractor": (_replace("score:", "extractor: ../x.pt2\n    score:"), 6, "leads out"),
    "environment": (_replace("outputs: outputs.jsonl", "generate: {env: [A=1]}"), 4, "names of environment variables"),
    "python tag": (_replace("suite: answers", "suite: !!python/object/apply:os.system [id]"), 1, "the tag"),
    "task name": (_replace("golden:", "'a b':"), 3, "task name 'a b'"),
    "preset": (_replace("tasks:", "presets: {huge: {n: 1}}\ntasks:"), 2, "'huge' is not one of quick, full"),
    "two sources": (
        _replace("token_f1]", "{judge: correctness, classifier: a/b}]"),
        6,
        "give one of judge, cla",
    ),
    "no label": (_replace("token_f1]", "{classifier: a/b}]"), 6, "needs the `label`"),
    "unknown judge key": (_replace("token_f1]", "{classifier: a, labl: b, label: c}]"), 6, "did you mean 'label'?"),
    "label of a judge": (_replace("token_f1]", "{judge: correctness, label: x}]"), 6, "belongs to a `classifier`"),
    "complement of a classifier": (
        _replace("token_f1]", "{classifier: org/x, label: y, complement: true}]"),
        6,
        "`complement` belongs to a `judge`",
    ),
    "climbing judge": (_replace("token_f1]", "{judge: ../x.md}]"), 6, "leads out of its folder"),
    "missing replay": (_replace("token_f1]", "{replay: [no.jsonl]}]"), 6, "no file or folder 'no.jsonl'"),
    "empty scale": (_replace("token_f1]", "{replay: [outputs.jsonl], scale: [1, 1]}]"), 6, "[lowest, highest]"),
    "age": (_replace("token_f1]", "{replay: [outputs.jsonl], calibrated: {max_age: 90}}]"), 6, "such as 90d"),
    "demand": (_replace("token_f1]", "{replay: [outputs.jsonl], calibrated: {kapa: 1}}]"), 6, "did you mean 'kappa'?"),
    "budget": (_replace("tasks:", "judge: {budget: 5 EUR}\ntasks:"), 2, "cannot read '5 EUR'"),
    "judged twice": (_replace("token_f1]", "{replay: [outputs.jsonl], as: exact_match}]"), 6, "'exact_match' twice"),
    "deep": (_replace("suite: answers", "suite: " + "[" * 200 + "]" * 200), 1, "nested too deeply"),
    "very deep": (_replace("suite: answers", "suite: " + "[" * 20000 + "]" * 20000), 1, "nested too deeply"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_says_where_and_what(name: str, folder: Path, tmp_path: Path):
    text, line, message = BROKEN[name]
    (tmp_path / "secret.jsonl").write_text("{}\n")
    os.symlink(tmp_path / "secret.jsonl", folder / "link.jsonl")
    path = folder / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Suite.load(path)
    told = str(caught.value)
    assert told.startswith(f"{path}:{line}: "), told
    assert message in told, told
    assert "\n" not in told


def test_the_good_one_is_good(folder: Path):
    path = folder / "good.yaml"
    path.write_text(GOOD)
    assert Suite.load(path).warnings == ()


def test_anchor_bomb_is_refused_quickly(folder: Path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path = folder / "bomb.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="values once anchors are followed"):
        Suite.load(path)


def test_endless_anchor_is_refused(folder: Path):
    path = folder / "endless.yaml"
    path.write_text("suite: &a [*a]\n")
    with pytest.raises(InputError, match="nested too deeply"):
        Suite.load(path)


def test_anchors_within_reason_are_read(folder: Path):
    path = folder / "anchors.yaml"
    path.write_text(
        GOOD.replace("[exact_match, token_f1]", "&s [exact_match, token_f1]").replace(
            "gate:", "  again: {outputs: outputs.jsonl, score: *s}\ngate:"
        )
    )
    assert set(Suite.load(path).spec.tasks) == {"golden", "again"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"suite: \xff\n", "not UTF-8"), (b"#" * (MAX_BYTES + 1), "larger than")],
)
def test_unreadable_files(content: bytes, message: str, folder: Path):
    path = folder / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Suite.load(path)


def test_missing_suite_file(tmp_path: Path):
    with pytest.raises(InputError, match="no such suite file"):
        Suite.load(tmp_path / "none.yaml")


def test_words_stay_words(folder: Path):
    path = folder / "words.yaml"
    path.write_text(
        GOOD.replace("exact_match, token_f1]", "exact_match]\n    generate: {a: no, b: 2024-01-01, c: 1e-3}")
        .replace("    outputs: outputs.jsonl\n", "")
        .replace("gate:", "gate:")
    )
    assert Suite.load(path).spec.tasks["golden"].generate == {"a": "no", "b": "2024-01-01", "c": 0.001}
