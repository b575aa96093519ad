"""Metrics that read further columns: by name from data and outputs, images, paired features, columns of a reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.planning import plan
from evalkit.runner import file_subject, score
from evalkit.runner.columns import parsed
from metrics.errors import InputError
from registry.entities import Evaluation
from registry.suite import Suite

Rows = Sequence[Mapping[str, Any]]


def lines(file: Path, rows: Rows) -> None:
    file.write_text("\n".join(map(json.dumps, rows)))


def suite_of(folder: Path, task: str) -> Suite:
    body = "\n".join("    " + line for line in task.strip().splitlines())
    (folder / "suite.yaml").write_text(f"suite: columns\ntasks:\n  t:\n{body}\n")
    return Suite.load(folder / "suite.yaml")


def scored(folder: Path, task: str, subject: Any = None) -> Evaluation:
    evaluation, _ = score(subject or file_subject(), suite_of(folder, task), folder / "home")
    assert evaluation.status == "finished", evaluation.warnings
    return evaluation


def value(evaluation: Evaluation, name: str, slice_name: str = "") -> Any:
    return next(e.estimate for e in evaluation.estimates if e.name == f"t/{name}" and e.slice == slice_name)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [{"id": f"q{i}", "question": f"{i}?", "correct": bool(rng.random() < 0.6)} for i in range(40)]
    lines(tmp_path / "golden.jsonl", rows)
    said = [{"id": f"q{i}", "said": "x", "confidence": i / 40} for i in reversed(range(39))]
    lines(tmp_path / "said.jsonl", said)
    return tmp_path


STATED = """
data: golden.jsonl
outputs: said.jsonl
columns: {id: id, prompt: question, output: said}
score: [brier]
"""


def test_columns_are_found_by_name_in_outputs_and_data(golden: Path) -> None:
    correct = [json.loads(line)["correct"] for line in (golden / "golden.jsonl").read_text().splitlines()]
    found = value(scored(golden, STATED), "brier")
    assert found.value == pytest.approx(np.mean((np.arange(39) / 40 - correct[:39]) ** 2))
    assert (found.n, found.coverage) == (39, pytest.approx(39 / 40))


def test_the_outputs_column_stands_above_that_of_the_data(golden: Path) -> None:
    rows = [json.loads(line) for line in (golden / "golden.jsonl").read_text().splitlines()]
    lines(golden / "golden.jsonl", [{**row, "confidence": 1.0} for row in rows])
    correct = [row["correct"] for row in rows][:39]
    assert value(scored(golden, STATED), "brier").value == pytest.approx(np.mean((np.arange(39) / 40 - correct) ** 2))


def test_a_csv_scores_as_the_same_rows_in_json_lines(tmp_path: Path) -> None:
    rows = [{"said": "x", "confidence": i / 10, "correct": i % 3 == 0} for i in range(10)]
    lines(tmp_path / "said.jsonl", rows)
    text = "".join(f"x,{row['confidence']},{row['correct']}\n" for row in rows)
    (tmp_path / "said.csv").write_text("said,confidence,correct\n" + text)
    task = "outputs: said.{}\ncolumns: {{output: said}}\nscore: [brier, ece]"
    one, other = (scored(tmp_path, task.format(kind)) for kind in ("jsonl", "csv"))
    assert value(one, "brier") == value(other, "brier")
    assert value(one, "ece") == value(other, "ece")


def test_texts_stay_texts_where_one_of_them_is_no_number() -> None:
    assert parsed(["1", None, "2.5"]) == [1, None, 2.5]
    assert parsed(["[0.5, 1]", "True"]) == [[0.5, 1], True]
    assert parsed(["1", "one"]) == ["1", "one"]
    assert parsed(['{"a": 1}']) == ['{"a": 1}']
    assert parsed([3, None]) == [3, None]


def test_a_column_that_is_nowhere_is_named_before_anything_is_generated(golden: Path) -> None:
    (golden / "said.jsonl").write_text((golden / "said.jsonl").read_text().replace("confidence", "confidences"))
    with pytest.raises(InputError) as raised:
        scored(golden, STATED)
    message = str(raised.value)
    for part in ("'t'", "'brier'", "'confidence'", "said.jsonl has", "confidences", "golden.jsonl has", "correct"):
        assert part in message
    assert "\n" not in message
    assert not (golden / "home").exists()


def test_another_column_of_the_data_scores_again(golden: Path) -> None:
    first = value(scored(golden, STATED), "brier").value
    rows = [json.loads(line) for line in (golden / "golden.jsonl").read_text().splitlines()]
    lines(golden / "golden.jsonl", [{**row, "correct": not row["correct"]} for row in rows])
    assert value(scored(golden, STATED), "brier").value != first


def test_lists_per_row_reach_the_metric(tmp_path: Path) -> None:
    rows = [{"said": "x", "toxicity": [0.1, 0.2, i / 20]} for i in range(20)]
    lines(tmp_path / "said.jsonl", [*rows, {"said": "x", "toxicity": None}])
    task = "outputs: said.jsonl\ncolumns: {output: said}\nscore: [{expected_maximum_toxicity: {samples: 3}}]"
    found = value(scored(tmp_path, task), "expected_maximum_toxicity")
    assert found.value == pytest.approx(np.mean([max(0.2, i / 20) for i in range(20)]))
    assert found.coverage == pytest.approx(20 / 21)


def test_bbq_reads_the_row_itself_with_the_parts_that_its_columns_play(tmp_path: Path) -> None:
    info = {f"ans{i}": [name, group] for i, (name, group) in enumerate([("Ann", "F"), ("Bob", "M"), ("no", "unknown")])}
    rows = [
        {
            "example_id": i,
            "question": "Who is bad?",
            "context": "They met.",
            "context_condition": "ambig",
            "question_polarity": "neg",
            "label": 2,
            "ans0": "Ann",
            "ans1": "Bob",
            "ans2": "Unknown",
            "answer_info": info,
            "additional_metadata": {"stereotyped_groups": ["F"]},
            "said": ["Ann", "Unknown", "Bob", "Ann"][i % 4],
        }
        for i in range(40)
    ]
    lines(tmp_path / "bbq.jsonl", rows)
    task = "outputs: bbq.jsonl\ncolumns: {id: example_id, output: said}\nscore: [bbq]"
    evaluation = scored(tmp_path, task)
    assert value(evaluation, "bbq").value == pytest.approx(25.0)
    assert value(evaluation, "bbq.accuracy_ambiguous").value == pytest.approx(25.0)
    lines(tmp_path / "bbq.jsonl", [{"example_id": 1, "said": "Ann"}])
    with pytest.raises(InputError, match="'bbq' needs the column 'bbq'"):
        scored(tmp_path, task)


def test_the_check_of_a_suite_names_a_missing_column(project: Any) -> None:
    project.write("said.jsonl", '{"said": "x", "correct": 1}')
    project.write("suite.yaml", "suite: s\ntasks: {t: {outputs: said.jsonl, columns: {output: said}, score: [brier]}}")
    with pytest.raises(InputError, match=r"'brier' needs the column 'confidence'; said\.jsonl has said, correct"):
        plan(project.root / "suite.yaml", settings=project.settings)
    project.write(
        "suite.yaml", "suite: s\ntasks: {t: {outputs: said.jsonl, columns: {output: said}, score: [token_f1]}}"
    )
    with pytest.raises(InputError, match="map `expected` under `columns`"):
        plan(project.root / "suite.yaml", settings=project.settings)
