"""What is mutated, and the commands that read it: a small project of valid files."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import fuzz_mutators as m
from benchmarks.fuzz_mutators import Mutator

ROWS = tuple(
    {
        "id": f"r{n}", "time": 1_767_225_600 + 3600 * n, "question": f"What is {n} plus one?", "answers": [str(n + 1)],
        "output": f"It is {n + 1}.", "context": [f"{n} plus one is {n + 1}."], "language": ("de", "en")[n % 2], "latency": 0.1 * n,
        "user": f"u{n % 5}", "weight": 1.5, "label": n % 2, "verdict": {"value": 1}, "score": 0.5,
    }
    for n in range(60)
)  # fmt: skip

SUITE = b"""suite: fuzzed
description: what is mutated
presets: {quick: {n: 5}, full: {n: 20}}
tasks:
  golden:
    data: rows.jsonl
    outputs: rows.jsonl
    columns: {id: id, prompt: question, expected: answers, context: context, slices: [language], cluster: user}
    score:
      - token_f1
      - exact_match
      - {refusal: {patterns: ["I (am|was) sorry", "cannot help"]}}
      - {schema_conformance: {schema: {type: object, properties: {a: {type: string}}}}}
      - {judge: judge.yaml}
      - {replay: [verdicts.jsonl], column: value}
      - {rouge1: {stem: true}}
  asked:
    data: rows.jsonl
    columns: {prompt: question}
    n: 10
    generate: {call: "app:answer", env: [HOME], temperature: 0.5, time_limit: 30}
    score: [distinct_n, word_count]
judge: {budget: 5 USD}
gate:
  seed: 7
  alpha: 0.05
  looks: 2
  coverage: 0.9
  rules:
    - {metric: golden/token_f1, min: 0.2, slice: language=de}
    - {metric: golden/exact_match, versus: champion, margin: 5%, anchor: 0.1}
    - {metric: asked/latency.p95, max: 4 s}
"""
JUDGE = b"""name: helpful
kind: scale
scale: [1, 5]
passes: {min: 4}
optional: [prompt]
sampling: {temperature: 0}
prompt: |
  Is this helpful?
  {{ prompt }}
  {{ output }}
"""
MONITOR = b"""monitor: fuzzed
description: what is mutated
source:
  files: rows.jsonl
  columns: {id: id, time: time, prompt: question, output: output, latency: latency, user: user, slices: [language], fields: [score]}
every: day at 06:00 Europe/Berlin
start: 2026-01-01
lateness: 1h
retention: {raw: 3000d, states: 4000d}
redact: [email, phone]
minimum: 5
baseline: 1d
checks:
  - {refusal: {}, alert: {max: 0.5}, slices: [language]}
  - {drift: [prompt, output, score], against: [baseline, previous], every: week}
  - {operational: {}, alert: {versus: baseline, key: latency.p95, smallest: 100 ms}}
budget: 10 USD/day
notify: [{log: true}]
"""
CONTRACT = b"""contract: fuzzed
volume: {min: 1, max: 5000}
expectations:
  - expect_column_to_exist: {column: output}
  - expect_column_values_to_not_be_null: {column: output, mostly: 0.5}
  - expect_column_value_lengths_to_be_between: {column: output, min_value: 1, max_value: 500}
"""
SETTINGS = b'# settings\ntracking_uri = "sqlite:///.evalkit/mlflow.db"\n'
MLMODEL = b"""artifact_path: model
flavors:
  evalkit:
    generator: {adapter: outputs, path: model/rows.jsonl, settings: {batch_size: 5}}
    kind: outputs
mlflow_version: 3.0.0
metadata: {a: [1, 2], when: 2026-01-01}
"""
EXPORTED, BUNDLE, CONTRACTED = "@exported", "@bundle", "@contract"
"""Functions: what checks a ``.pt2`` file, what opens a bundle that a server was sent, what reads a data contract."""


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _lines(rows: Sequence[object]) -> bytes:
    return b"".join(_json(row) + b"\n" for row in rows)


def _csv() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "time", "question", "output", "answers", "weight"])
    writer.writerows(
        [row["id"], f"2026-01-01T{n % 24:02}:00Z", row["question"], row["output"], "one", 1.5]
        for n, row in enumerate(ROWS)
    )
    return text.getvalue().encode()


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(ROWS)), buffer)
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((4, 8, 8, 3), np.uint8), labels=np.arange(4))
    return buffer.getvalue()


def _png() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _inspect_log() -> bytes:
    samples = {
        f"samples/{n}_epoch_1.json": _json(
            {
                "id": n, "epoch": 1, "input": [{"role": "user", "content": f"q{n}"}], "target": ["a"],
                "output": {"completion": "a", "choices": [{"message": {"content": "a"}}], "usage": {"input_tokens": 3}},
                "scores": {"match": {"value": "C", "explanation": "attachment://x"}}, "attachments": {"x": "long"},
            }
        )
        for n in range(4)
    }  # fmt: skip
    return _zip({"header.json": _json({"status": "success", "eval": {"model": "m", "task": "t"}}), **samples})


_LM_EVAL = [
    {"doc_id": n, "doc": {"question": "q"}, "target": "a", "arguments": [["p", "x"]], "resps": [["a"]], "filtered_resps": ["a"],
     "exact_match": 1.0, "filter": "none", "metrics": ["exact_match"]}
    for n in range(4)
]  # fmt: skip
_PROMPTFOO = {
    "version": 3,
    "results": {
        "version": 3,
        "results": [
            {"promptIdx": 0, "testIdx": n, "vars": {"q": "x"}, "prompt": {"raw": "x"}, "response": {"output": "a", "tokenUsage": {"prompt": 1}},
             "provider": {"id": "p"}, "success": True, "score": 1, "namedScores": {"a": 1}, "gradingResult": {"pass": True, "score": 1}}
            for n in range(3)
        ],
    },
}  # fmt: skip
_DEEPEVAL = {
    "testCases": [
        {"name": "t", "input": "x", "actualOutput": "a", "expectedOutput": "a", "context": ["c"], "success": True,
         "metricsData": [{"name": "Answer Relevancy", "score": 0.5, "success": True, "reason": "r"}]}
    ],
    "metricsScores": [{"metric": "Answer Relevancy", "scores": [0.5]}],
}  # fmt: skip
_LANGFUSE = [
    {"id": "t1", "timestamp": "2026-01-01T00:00:00Z", "input": {"q": "x"}, "output": "a", "latency": 1.5,
     "scores": [{"name": "quality", "value": 0.5, "dataType": "NUMERIC"}]}
]  # fmt: skip


def _exported() -> bytes:
    node = {"target": "torch.ops.aten.relu.default", "inputs": [{"name": "x", "arg": {"as_tensor": {"name": "x"}}}]}
    graph = {"graph_module": {"graph": {"nodes": [node]}}, "range_constraints": {"s0": {"expr_str": "s0 + 1"}}}
    weights = {"config": {"w": {"path_name": "weight_0", "use_pickle": False}}}
    return _zip(
        {
            "m/models/model.json": _json(graph), "m/data/weights/model_weights_config.json": _json(weights),
            "m/data/weights/weight_0": bytes(64), "m/archive_format": b"pt2", "m/archive_version": b"0", "m/byteorder": b"little",
        }
    )  # fmt: skip


def _bundle() -> bytes:
    """The shape of a bundle; no evaluation that would be believed."""
    rows = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"sample_id": "a", "output": "x"}]), rows)
    name, zero = "outputs/0123456789ab/rows-000000000-000000024.parquet", "sha256:" + "0" * 64
    key = "01890000-0000-7000-8000-000000000000"
    manifest = {
        "format": 1, "id": key, "version_id": key, "artifact_digest": zero, "suite_digest": zero, "digest": zero, "look": 1,
        "preset": None, "targets": {"golden": 24}, "started_at": 1, "finished_at": 2, "warnings": [], "run_id": None,
        "details": {"seed": 0, "design": zero, "counts": {}, "tasks": {}}, "designs": {}, "identities": {}, "estimates": [],
        "files": {name: "sha256:" + hashlib.sha256(rows.getvalue()).hexdigest()},
    }  # fmt: skip
    return _zip({"manifest.json": _json(manifest), name: rows.getvalue()})


BESIDE = {
    "rows.jsonl": _lines(ROWS),
    "verdicts.jsonl": _lines([{"id": row["id"], "value": 3} for row in ROWS]),
    "labels.csv": b"id,label\n" + b"".join(f"{row['id']},{row['label']}\n".encode() for row in ROWS),
    "model/MLmodel": MLMODEL,
    "model/model/rows.jsonl": _lines(ROWS),
    "judge.yaml": JUDGE,
    "contract.yaml": CONTRACT,
    "suite.yaml": SUITE,
    "monitor.yaml": MONITOR,
    "app.py": b"raise SystemExit('a suite was read, and its code ran')\n",
}
_TABLE = (*m.BYTES, *m.LINES, m.as_rows, m.as_rows, m.as_rows)
_YAML = (*m.BYTES, *m.LINES, m.yaml_trick, m.yaml_trick, m.as_yaml, m.as_yaml, m.as_yaml)
_ARCHIVE = (*m.BYTES, m.odd_zip, m.odd_zip, m.odd_members, m.odd_members, m.odd_members)


@dataclass(frozen=True)
class Target:
    """A kind of file and what reads it.

    Attributes:
        group: suite, monitor, dataset or archive.
        file: name of the file, in a folder that also has the project's other files.
        content: the valid file.
        mutators: what is done to it.
        commands: each reads the mutated file; ``{n}`` is the case's number.
        keeps_rows: a command that stores what it read before it failed, as monitors do with rows.
    """

    group: str
    file: str
    content: bytes
    mutators: tuple[Mutator, ...]
    commands: tuple[tuple[str, ...], ...]
    keeps_rows: bool = False

    def files(self, random: Random) -> dict[str, bytes]:
        """The case's files, the mutated one among them."""
        content = random.choice(self.mutators)(self.content, random)
        if random.random() < 0.15 and len(content) < 10**6:
            content = random.choice(m.BYTES)(content, random)
        return {**BESIDE, self.file: content}


_SUITE_CHECK = ("suite", "check", "suite.yaml")
_REGISTER = ("register", "fuzzed-{n}", "--model", "rows.jsonl", "--suite", "suite.yaml")
_APPLY = ("monitor", "apply", "monitor.yaml")
_RUN = ("monitor", "run", "fuzzed")


def _data(file: str) -> tuple[tuple[str, ...], ...]:
    return (
        ("dataset", "add", "fuzzed-{n}", file),
        ("check", file, "--baseline", "../keep/rows.jsonl", "--json"),
        ("check", file),
        ("monitor", "contract", "--from", file, "--out", "made.yaml"),
        ("register", "fuzzed-{n}", "--model", file, "--suite", "suite.yaml"),
    )


def _imports(tool: str, file: str) -> tuple[tuple[str, ...], ...]:
    return (("import", file, "--as", "out.jsonl"), ("import", file, "--as", "out.jsonl", "--tool", tool, "--json"))


def _labels(file: str) -> tuple[tuple[str, ...], ...]:
    return (
        ("judge", "calibrate", "helpful", "--verdicts", "verdicts.jsonl", "--labels", file, "--no-save"),
        ("judge", "calibrate", "helpful", "--verdicts", file, "--labels", "labels.csv", "--no-save"),
    )


TARGETS: tuple[Target, ...] = (
    Target("suite", "suite.yaml", SUITE, _YAML, (_SUITE_CHECK, _SUITE_CHECK, _REGISTER)),
    Target("suite", "suite.yaml", SUITE, (m.as_yaml, m.yaml_trick), (_SUITE_CHECK, (*_SUITE_CHECK, "--json"), _REGISTER)),
    Target("suite", "judge.yaml", JUDGE, _YAML, (_SUITE_CHECK,)),
    Target("suite", "verdicts.jsonl", BESIDE["verdicts.jsonl"], _TABLE, (_SUITE_CHECK, *_labels("verdicts.jsonl"))),
    Target("monitor", "monitor.yaml", MONITOR, _YAML, (_APPLY,)),
    Target("monitor", "monitor.yaml", MONITOR, (m.as_yaml, m.yaml_trick), (_APPLY,)),
    Target("monitor", "contract.yaml", CONTRACT, _YAML, ((CONTRACTED, "contract.yaml"),)),
    Target("monitor", "rows.jsonl", BESIDE["rows.jsonl"], _TABLE, (_RUN,), keeps_rows=True),
    Target("monitor", "rows.parquet", _parquet(), (*m.BYTES, m.odd_parquet, m.odd_parquet, m.parquet_bomb), (_RUN,), keeps_rows=True),
    Target("dataset", "rows.jsonl", BESIDE["rows.jsonl"], _TABLE, (*_data("rows.jsonl"), _SUITE_CHECK)),
    Target("dataset", "rows.json", _json(list(ROWS)), (*m.BYTES, m.as_json, m.as_json), _data("rows.json")),
    Target("dataset", "rows.csv", _csv(), (*m.BYTES, *m.LINES, m.odd_csv, m.odd_csv), _data("rows.csv")),
    Target("dataset", "rows.parquet", _parquet(), (*m.BYTES, m.odd_parquet, m.odd_parquet, m.odd_parquet, m.parquet_bomb), _data("rows.parquet")),
    Target("dataset", "rows.jsonl.gz", gzip.compress(BESIDE["rows.jsonl"], mtime=0), (*m.BYTES, m.gzip_bomb), _data("rows.jsonl.gz")),
    Target("dataset", "images/a.png", _png(), (*m.BYTES, m.png_bomb, m.png_bomb), (("dataset", "add", "fuzzed-{n}", "images"),)),
    Target("archive", "images.npz", _npz(), _ARCHIVE, (("dataset", "add", "fuzzed-{n}", "images.npz"),)),
    Target("archive", "model.pt2", _exported(), _ARCHIVE, ((EXPORTED, "model.pt2"),)),
    Target("archive", "bundle.zip", _bundle(), _ARCHIVE, ((BUNDLE, "bundle.zip"),)),
    Target("archive", "version.zip", _bundle(), _ARCHIVE, (("import", "version.zip"), ("import", "version.zip", "--name", "fuzzed-{n}", "--json"))),
    Target("archive", "model/MLmodel", MLMODEL, _YAML, (("register", "fuzzed-{n}", "--model", "model", "--suite", "suite.yaml"),)),
    Target("archive", "log.eval", _inspect_log(), _ARCHIVE, _imports("inspect", "log.eval")),
    Target("archive", "lm.jsonl", _lines(_LM_EVAL), _TABLE, _imports("lm_eval", "lm.jsonl")),
    Target("archive", "promptfoo.json", _json(_PROMPTFOO), (*m.BYTES, m.as_json, m.as_json, m.as_json), _imports("promptfoo", "promptfoo.json")),
    Target("archive", "deepeval.json", _json(_DEEPEVAL), (*m.BYTES, m.as_json, m.as_json, m.as_json), _imports("deepeval", "deepeval.json")),
    Target("archive", "langfuse.json", _json(_LANGFUSE), (*m.BYTES, m.as_json, m.as_json, m.as_json), _imports("langfuse", "langfuse.json")),
)  # fmt: skip
