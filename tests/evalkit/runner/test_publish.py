from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.evidence import StoredResults
from evalkit.runner import file_subject, plan, publish, score
from evalkit.runner.publish import with_expected, worst_samples
from registry.suite import Suite

SUITE = """
suite: shown
tasks:
  rows:
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: answer, output: output}
    score: [token_f1, exact_match]
"""
ROWS = 50


@pytest.mark.parametrize("at_once", [1, 7, 16, 1000])
def test_the_worst_samples_are_the_same_however_many_rows_are_looked_at_at_a_time(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "STORED_SHARD", 16)
    rows = [
        {"id": f"r{i}", "question": f"q{i}", "answer": "one two three", "output": ["one two", "one", "no"][i % 3]}
        for i in range(ROWS)
    ]
    rows[40]["output"] = ""
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "suite.yaml").write_text(SUITE)
    suite = Suite.load(tmp_path / "suite.yaml")
    evaluation, _ = score(file_subject(), suite, tmp_path / "home")
    results = StoredResults(tmp_path / "home", evaluation)
    monkeypatch.setattr(publish, "_ROWS_AT_ONCE", at_once)
    found = worst_samples(results, suite.spec, shown=20)
    values = [rows[int(sample.sample_id[1:])]["output"] for sample in found]
    assert values[:18] == sorted(values[:18], key=["", "no", "one", "one two"].index)
    wrong = [f"r{i}" for i in range(2, ROWS, 3)]
    assert [sample.sample_id for sample in found if rows[int(sample.sample_id[1:])]["output"] == "no"] == wrong
    assert len(found) == 20 and found[0].expected == ()
    assert {sample.expected for sample in with_expected(found, suite, None)} == {("one two three",)}
    (tmp_path / "outputs.jsonl").unlink()
    assert with_expected(found, suite, None) == found  # the data are gone: samples are shown without
    whole = results.rows("rows", "token_f1")
    some = results.some_rows("rows", "token_f1", 13, 37)
    assert whole is not None and some is not None
    assert list(some.sample_ids) == list(whole.sample_ids)[13:37] and list(some.values) == list(whole.values[13:37])
