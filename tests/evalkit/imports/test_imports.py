"""Results of other tools, written here as the tools write them, become rows whose scores count in a suite."""

from __future__ import annotations

import csv
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evalkit import limits
from evalkit.cli.app import run
from evalkit.imports import files, import_results
from evalkit.runner import file_subject, score
from metrics.errors import InputError
from registry.suite import Suite

LONG = "attachment://0123456789abcdef"


def _inspect_sample(sample: str | int, completion: str, scores: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": sample,
        "epoch": 1,
        "input": [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"question {sample}"}],
        "target": ["x", "y"],
        "output": {
            "model": "mockllm/model",
            "choices": [{"message": {"role": "assistant", "content": completion}, "stop_reason": "stop"}],
            "completion": completion,
            "usage": {"input_tokens": 2, "output_tokens": 7, "total_tokens": 9},
        },
        "scores": scores,
        "total_time": 0.5,
        "working_time": 0.25,
        "attachments": {"0123456789abcdef": "a long text"},
        **more,
    }


INSPECT = [
    _inspect_sample(
        "q1", LONG, {"match": {"value": "C", "explanation": "right"}, "parts": {"value": {"a": 1, "b": 0.5}}}
    ),
    _inspect_sample(
        2, "no", {"match": {"value": "P"}, "length": {"value": float("nan"), "reason": "grader_failed", "history": []}}
    ),
    _inspect_sample(3, "", {}, error={"message": "timed out", "traceback": "…"}),
]
HEADER = {"version": 2, "status": "success", "eval": {"task": "t", "model": "mockllm/model"}}


def _zip(path: Path, method: int = zipfile.ZIP_DEFLATED, samples: Any = None) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("_journal/start.json", "{}")
        for sample in INSPECT if samples is None else samples:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        archive.writestr("header.json", json.dumps(HEADER))
    return path


def _zstandard(path: Path, members: dict[str, bytes], *, said: int | None = None) -> Path:
    """An archive with method 93, as Inspect writes it; `said` is a wrong size for the directory."""
    body, directory = b"", b""
    for name, data in members.items():
        packed = pa.compress(data, "zstd", asbytes=True)
        common = struct.pack(
            "<HHHHHIIIHH", 63, 0, 93, 0, 0, zlib.crc32(data), len(packed), said or len(data), len(name), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += name.encode()
        body += b"PK\x03\x04" + common + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


def _inspect_files(folder: Path) -> list[Path]:
    document = folder / "log.json"
    document.write_text(json.dumps({**HEADER, "samples": INSPECT}))
    members = {f"samples/{s['id']}_epoch_1.json": json.dumps(s).encode() for s in INSPECT}
    packed = _zstandard(folder / "log93.eval", {**members, "header.json": json.dumps(HEADER).encode()})
    return [_zip(folder / "log.eval"), document, packed]


def test_inspect(tmp_path: Path):
    for file in _inspect_files(tmp_path):
        found = import_results([file])
        first, second, failed = found.rows
        assert found.tool == "inspect"
        assert (first["id"], first["prompt"], first["output"]) == ("q1", "question q1", "a long text")
        assert (first["expected"], first["latency"], first["output_tokens"]) == (["x", "y"], 0.25, 7)
        assert (first["match"], first["match_rationale"], first["parts_a"], first["parts_b"]) == (
            1.0,
            "right",
            1.0,
            0.5,
        )
        assert (second["match"], second["length"], second["length_reason"]) == (0.5, None, "grader_failed")
        assert ("output" in failed, failed["error"], failed["match"]) == (False, "timed out", None)
        assert found.scores == {"match": 2, "parts_a": 1, "parts_b": 1, "length": 0}


def test_repeats_of_a_sample_share_a_cluster(tmp_path: Path):
    epochs = [{**INSPECT[0], "epoch": epoch} for epoch in (1, 2)]
    found = import_results([_zip(tmp_path / "log.eval", samples=[*epochs, INSPECT[1]])])
    assert [row["id"] for row in found.rows] == ["q1", "q1#2", "2"]
    assert [row["sample"] for row in found.rows] == ["q1", "q1", "2"]
    assert any("cluster: sample" in note for note in found.notes)


LM_EVAL = [
    {
        "doc_id": 0,
        "doc": {"q": "capital?"},
        "target": "1",
        "arguments": {
            "gen_args_0": {"arg_0": "capital?", "arg_1": " Rome"},
            "gen_args_1": {"arg_0": "capital?", "arg_1": " Paris"},
        },
        "resps": [[["-4.5", "False"]], [["-1.25", "True"]]],
        "filtered_resps": [["-4.5", "False"], ["-1.25", "True"]],
        "filter": "none",
        "metrics": ["acc", "acc_norm", "byte_perplexity"],
        "doc_hash": "a",
        "prompt_hash": "b",
        "target_hash": "c",
        "acc": 1.0,
        "acc_norm": 0.0,
        "byte_perplexity": [-3.5, 12],
    },
]
GENERATED = {
    **{key: LM_EVAL[0][key] for key in ("doc", "resps", "doc_hash")},
    "doc_id": 0,
    "target": "18",
    "arguments": {"gen_args_0": {"arg_0": "9+9?", "arg_1": {"until": ["\n"], "temperature": 0.0}}},
    "filtered_resps": ["18"],
    "filter": "strict-match",
    "metrics": ["exact_match"],
    "exact_match": 1.0,
}


def test_lm_eval(tmp_path: Path):
    file = tmp_path / "samples_capitals_2026-01-02T03-04-05.123456.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in LM_EVAL))
    found = import_results([file])
    (row,) = found.rows
    assert (found.tool, row["id"], row["prompt"]) == ("lm_eval", "0", "capital?")
    assert (row["output"], row["expected"]) == (" Paris", [" Paris"])
    assert (row["acc"], row["acc_norm"], row["byte_perplexity"]) == (1.0, 0.0, None)
    file.write_text(json.dumps(GENERATED) + "\n" + json.dumps({**GENERATED, "filter": "flexible"}) + "\n")
    with pytest.raises(InputError, match="--only filter=strict-match"):
        import_results([file])
    (row,) = import_results([file], only={"filter": "flexible"}).rows
    assert (row["output"], row["expected"], row["exact_match"]) == ("18", ["18"], 1.0)
    with pytest.raises(InputError, match="no result has filter=none; there are filter: strict-match, flexible"):
        import_results([file], only={"filter": "none"})


def test_lm_eval_averages_are_no_scores(tmp_path: Path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"results": {}, "versions": {}, "configs": {}}))
    with pytest.raises(InputError, match="--log_samples"):
        import_results([file])
    samples = {"arith": [{**GENERATED, "arguments": [["9+9?", {"until": []}]]}]}
    file.write_text(json.dumps({"results": {}, "versions": {}, "configs": {}, "samples": samples}))
    assert import_results([file]).rows[0]["prompt"] == "9+9?"


def _promptfoo(**more: Any) -> dict[str, Any]:
    return {
        "promptIdx": 0,
        "testIdx": 0,
        "testCase": {"vars": {"topic": "fruit", "expected": "banana"}, "assert": []},
        "provider": {"id": "openai:gpt-x", "label": ""},
        "prompt": {"raw": "About fruit", "label": "About {{topic}}"},
        "vars": {"topic": "fruit", "expected": "banana"},
        "response": {"output": "yellow", "tokenUsage": {"total": 9, "prompt": 4, "completion": 5}, "cached": False},
        "success": False,
        "score": 0.75,
        "namedScores": {"Tone": 0.5},
        "latencyMs": 1500,
        "failureReason": 1,
        "error": "Contains banana",
        "gradingResult": {
            "pass": False,
            "score": 0.75,
            "reason": "Contains banana",
            "componentResults": [
                {"pass": True, "score": 1, "reason": "ok", "assertion": {"type": "llm-rubric", "value": "nice"}},
                {"pass": False, "score": 0.5, "reason": "so so", "assertion": {"type": "llm-rubric", "value": "short"}},
                {"pass": True, "score": 0.5, "reason": "", "assertion": {"type": "python", "metric": "Tone"}},
            ],
        },
        **more,
    }


FAILED_CALL = _promptfoo(
    testIdx=1, response={"error": "429"}, failureReason=2, error="429 too many", score=0, gradingResult=None
)


def test_promptfoo(tmp_path: Path):
    rows = [_promptfoo(), FAILED_CALL]
    document, lines = tmp_path / "results.json", tmp_path / "results.jsonl"
    document.write_text(json.dumps({"evalId": "e", "results": {"version": 3, "results": rows}, "config": {}}))
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for file in (document, lines):
        found = import_results([file])
        first, failed = found.rows
        assert (found.tool, first["id"], first["prompt"], first["output"]) == (
            "promptfoo",
            "0",
            "About fruit",
            "yellow",
        )
        assert (first["expected"], first["latency"], first["prompt_tokens"]) == (["banana"], 1.5, 4)
        assert (first["score"], first["success"], first["tone"], first["llm_rubric"]) == (0.75, 0.0, 0.5, 0.75)
        assert first["llm_rubric_rationale"] == "ok; so so"
        assert (failed["score"], failed["score_reason"], failed["error"]) == (None, "429 too many", "429 too many")


def test_several_models_are_never_mixed(tmp_path: Path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"results": {"results": [_promptfoo(), _promptfoo(provider="other", promptIdx=1)]}}))
    with pytest.raises(InputError, match=r"2 values of 'provider'.*--only provider=openai:gpt-x"):
        import_results([file])
    assert len(import_results([file], only={"provider": "other"}).rows) == 1


def test_deepeval(tmp_path: Path):
    case = {
        "name": "test_case_0",
        "input": "What is it?",
        "actualOutput": "A pear.",
        "expectedOutput": "A pear",
        "retrievalContext": ["pears are fruit"],
        "success": False,
        "completionTime": 1.25,
        "metricsData": [
            {"name": "Answer Relevancy", "threshold": 0.5, "success": True, "score": 0.75, "reason": "to the point"},
            {"name": "Correctness [GEval]", "threshold": 0.5, "success": False, "error": "no key", "score": 0.0},
        ],
    }
    right = {**case, "name": "test_case_1", "success": True, "metricsData": case["metricsData"][:1]}  # type: ignore[index]
    run = {"testCases": [case, right], "conversationalTestCases": [{"name": "c"}], "metricsScores": []}
    for content in (run, {"testRunData": run}):
        file = tmp_path / "test_run.json"
        file.write_text(json.dumps(content))
        found = import_results([file])
        row, other = found.rows
        assert (found.tool, row["id"], row["output"], row["context"]) == (
            "deepeval", "test_case_0", "A pear.", ["pears are fruit"],
        )  # fmt: skip
        assert (row["answer_relevancy"], row["answer_relevancy_rationale"]) == (0.75, "to the point")
        assert (row["correctness_geval"], row["correctness_geval_reason"]) == (None, "no key")
        assert (row["success"], other["success"], other["correctness_geval"]) == (None, 1.0, None)
        assert any("1 conversations are left out" in note for note in found.notes)


TRACE = {
    "id": "t1",
    "timestamp": "2026-01-01T00:00:00Z",
    "name": "chat",
    "input": {"question": "why?"},
    "output": {"answer": "because"},
    "latency": 0.5,
}
SCORES = [
    {"id": "s1", "traceId": "t1", "name": "Helpful", "value": 1, "dataType": "NUMERIC", "comment": "nice"},
    {"id": "s2", "traceId": "t1", "name": "Helpful", "value": 0, "dataType": "NUMERIC", "comment": None},
    {"id": "s3", "traceId": "t1", "name": "mood", "value": 2, "stringValue": "sad", "dataType": "CATEGORICAL"},
]


def _table(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in row.items()})
    return path


def _snake(row: dict[str, Any]) -> dict[str, Any]:
    names = {"traceId": "trace_id", "dataType": "data_type", "stringValue": "string_value"}
    return {names.get(key, key): value for key, value in row.items()}


def test_langfuse(tmp_path: Path):
    trace, page, traces, scores = (tmp_path / f"{name}.json" for name in ("trace", "page", "traces", "scores"))
    trace.write_text(json.dumps({"trace": TRACE, "observations": [], "scores": SCORES}))
    page.write_text(json.dumps({"data": [{**TRACE, "scores": SCORES}], "meta": {"page": 1}}))
    blob = {**TRACE, "input": json.dumps(TRACE["input"]), "output": json.dumps(TRACE["output"])}
    traces.write_text(json.dumps([blob]))
    scores.write_text(json.dumps([_snake(row) for row in SCORES]))
    for given in ([trace], [page], [traces, scores]):
        found = import_results(given)
        (row,) = found.rows
        assert (found.tool, row["id"], row["prompt"], row["output"]) == ("langfuse", "t1", "why?", "because")
        assert (row["helpful"], row["helpful_rationale"], row["latency"]) == (0.5, "nice", 0.5)
        assert (row["mood"], row["mood_reason"]) == (None, "the value 'sad' is no number")
        assert any("1 scores repeat" in note for note in found.notes)
    (alone,) = import_results([scores]).rows
    assert (alone["id"], alone["helpful"]) == ("t1", 0.5)


def test_langfuse_tables_have_a_column_for_each_score(tmp_path: Path):
    rows = [{**TRACE, "Helpful": [1, 0], "mood": ["sad"]}, {**TRACE, "id": "t2", "Helpful": [], "mood": []}]
    for file in (_table(tmp_path / "traces.csv", rows), tmp_path / "traces.json"):
        if file.suffix == ".json":
            file.write_text(json.dumps(rows))
        found = import_results([file])
        assert found.scores == {"helpful": 1}
        assert [row["helpful"] for row in found.rows] == [0.5, None]


def test_langfuse_observations_count_by_their_root(tmp_path: Path):
    root = {"id": "o1", "trace_id": "t1", "type": "SPAN", "parent_observation_id": "", "start_time": "2026", **{
        key: TRACE[key] for key in ("input", "output")
    }}  # fmt: skip
    inner = {**root, "id": "o2", "parent_observation_id": "o1", "output": "inner"}
    file = tmp_path / "observations.jsonl"
    file.write_text(json.dumps(inner) + "\n" + json.dumps(root) + "\n")
    found = import_results([file])
    assert [(row["id"], row["output"]) for row in found.rows] == [("t1", "because")]
    assert found.notes == ("1 observations within traces are left out; their root counts",)


SUITE = """
suite: imported
tasks:
  taken:
    outputs: outputs.jsonl
    score: [token_f1, {replay: [outputs.jsonl], column: match}, {replay: [outputs.jsonl], column: length}]
gate:
  rules: [{metric: taken/match, min: 0.2}]
"""


def test_imported_scores_are_scores_of_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = _inspect_files(tmp_path)[2]
    target = tmp_path / "outputs.jsonl"
    assert run(["import", str(log), "--as", str(target)]) == 0
    said = capsys.readouterr().out
    assert "3 rows from inspect" in said
    assert "{replay: [outputs.jsonl], column: match}: 2 of 3 scored" in said
    (tmp_path / "suite.yaml").write_text(SUITE)
    evaluation, work = score(file_subject(), Suite.load(tmp_path / "suite.yaml"), tmp_path / "home")
    work.close()
    found = {stored.name: stored.estimate for stored in evaluation.estimates}
    assert (found["taken/match"].value, found["taken/match"].coverage) == (0.75, pytest.approx(2 / 3))
    assert found["taken/length"].coverage == 0  # nobody scored: neither 0 nor 1
    assert found["taken/latency"].value == pytest.approx(0.25)


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = _zip(tmp_path / "log.eval")
    kept = tmp_path / "outputs.jsonl"
    kept.write_text("mine")
    assert run(["import", str(log), "--as", str(kept)]) == 2
    assert run(["import", str(log), "--as", str(tmp_path / "outputs.csv")]) == 2
    assert run(["import", str(log), "--as", str(tmp_path / "new.jsonl"), "--only", "model"]) == 2
    assert kept.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.eval", "outputs.jsonl"]
    assert capsys.readouterr().err.count("error: ") == 3
    assert run(["import", str(log), "--as", str(tmp_path / "new.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == {"match": 2, "parts_a": 1, "parts_b": 1, "length": 0}


def _bomb(folder: Path, method: str) -> Path:
    data = b'{"id": 1, "epoch": 1, "input": "' + b"a" * 4_000_000 + b'"}'
    if method == "zstd":
        return _zstandard(folder / "bomb.eval", {"samples/1_epoch_1.json": data}, said=10)
    with zipfile.ZipFile(folder / "bomb.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1_epoch_1.json", data)
    return folder / "bomb.eval"


@pytest.mark.parametrize("method", ["zstd", "deflate"])
def test_archives_that_swell_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str):
    file = _bomb(tmp_path, method)
    assert file.stat().st_size < 50_000
    monkeypatch.setattr(files, "MAX_DOCUMENT", 1_000_000)
    with pytest.raises(InputError, match="unpacks to more than 1,000,000 bytes"):
        import_results([file])
    monkeypatch.setattr(files, "MAX_DOCUMENT", 8_000_000)
    monkeypatch.setattr(files, "MAX_UNPACKED", 2_000_000)
    with pytest.raises(InputError, match="unpacks to more than 2,000,000 bytes"):
        import_results([file])


def test_archives_with_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = _zip(tmp_path / "log.eval")
    monkeypatch.setattr(limits, "MEMBERS", 3)
    with pytest.raises(InputError, match="5 members; at most 3"):
        import_results([file])


def test_large_documents_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "MAX_DOCUMENT", 10)
    file = tmp_path / "large.json"
    file.write_text(json.dumps({**HEADER, "samples": INSPECT}))
    with pytest.raises(InputError, match="larger than 10 bytes"):
        import_results([file])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", b"{", "not valid JSON"),
        ("x.json", b"[" * 100_000, "not valid JSON"),
        ("x.json", b"\xff\xfe", "not valid JSON"),
        ("x.json", b"{}", "no tool's results are recognised"),
        ("x.json", b"[]", "no tool's results are recognised"),
        ("x.json", b"[1, null]", "no tool's results are recognised"),
        ("x.json", b'"text"', "no tool's results are recognised"),
        ("x.json", b'{"eval": {}, "status": "success", "samples": []}', "inspect: no results"),
        ("x.json", b'{"eval": {}, "status": "success", "samples": [1, {}, null]}', "inspect: no results"),
        ("x.jsonl", b'{"a": 1}\n', "no tool's results are recognised"),
        ("x.txt", b"text", "unknown kind of file"),
        ("x.eval", b"PK\x05\x06" + b"\0" * 18, "no tool's results are recognised"),
        ("x.pkl", b"\x80\x04.", "unknown kind of file"),
    ],
)
def test_what_is_no_file_of_results_is_one_line(tmp_path: Path, name: str, content: bytes, message: str):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        import_results([file])
    assert "\n" not in str(caught.value)


def test_broken_archives_are_refused(tmp_path: Path):
    whole = _zstandard(tmp_path / "a.eval", {"samples/1_epoch_1.json": json.dumps(INSPECT[0]).encode()})
    data = bytearray(whole.read_bytes())
    data[60] ^= 0xFF
    whole.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"not a readable archive|broken|not valid JSON"):
        import_results([whole])


@pytest.mark.parametrize("tool", ["inspect", "lm_eval", "promptfoo", "deepeval", "langfuse", "ragas"])
def test_the_wrong_tool_is_refused(tmp_path: Path, tool: str):
    file = tmp_path / "x.json"
    file.write_text('{"something": "else"}')
    with pytest.raises(InputError, match=r"no results of|there is no tool"):
        import_results([file], tool=tool)
    with pytest.raises(InputError, match="there is no file"):
        import_results([tmp_path / "none.json"], tool=tool)


def test_hostile_values_stay_values(tmp_path: Path):
    odd = {
        "id": {"a": 1}, "epoch": None, "input": 5, "target": {"x": [1]}, "output": {"choices": ["x"]},
        "attachments": [],
        "scores": {"text": {"value": "text"}, "huge": {"value": 10**400}, "none": 3, "Output": {"value": True},
                   "output": {"value": 0}, "": {"value": 1}},
    }  # fmt: skip
    file = tmp_path / "x.json"
    file.write_text(json.dumps({**HEADER, "samples": [odd]}))
    found = import_results([file])
    (row,) = found.rows
    assert (row["output_score"], row["output_score_2"], row["score"]) == (1.0, 0.0, 1.0)
    assert (row["text_score"], row["huge"], row["prompt"]) == (None, None, "5")
    assert row["text_score_reason"] == "the value 'text' is no number"
    assert found.scores["huge"] == 0
    assert "output" not in row
