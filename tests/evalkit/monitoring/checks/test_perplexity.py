"""Perplexity of a window: that of the metric, from a model of one's own and from logged log-probabilities."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.config import Settings
from evalkit.ingest.records import Generation
from evalkit.monitoring.checks.base import Beside
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import rows_of, table_of, to_table
from evalkit.monitoring.logprobs import logprob_sums
from evalkit.monitoring.spec import Columns
from evalkit.monitoring.states import merge_all, pack, unpack
from evalkit.monitoring.tools import ProjectTools
from judges.base import Usage
from metrics.base import PRIMARY
from metrics.errors import InputError
from metrics.text.perplexity import BITS, Perplexity, perplexity, perplexity_of_logprobs

_path = Path(__file__).parents[2] / "generators" / "conftest.py"
_spec = importlib.util.spec_from_file_location("generators_fixtures_of_checks", _path)
assert _spec is not None and _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
language_model = _fixtures.language_model

LOGGED = "id: id, time: time, output: output, logprobs: lp"
TEXTS = [
    "a cat sat",
    "the end is near",
    "zzz",
    "where is my order",
    "on its way to you today and no later than that",
] * 8


def tools_of(bench: Any, check_text: str) -> ProjectTools:
    text = f"monitor: m\nsource: {{files: x, columns: {{time: time}}}}\nminimum: 2\nchecks:\n  - {check_text}\n"
    url = f"sqlite:///{bench.folder / 'unused.db'}"
    definition = Definition.from_text(text, bench.folder)
    return ProjectTools(Settings(bench.folder, url, url, url, advisory=False), definition, Usage(), bench.start)


def test_it_is_the_metric_s_perplexity_under_the_named_model(bench: Any, language_model: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shutil.copytree(language_model, bench.folder / "lm")
    text = "{perplexity: {model: lm, max_length: 16}}"
    tools = tools_of(bench, text)
    rows = [{"output": one, "prompt": "how"} for one in TEXTS] + [{"output": None, "prompt": "how"}]
    try:
        found = bench.signals(bench.check(text), rows, tools)
    finally:
        tools.close()
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(language_model),
        AutoTokenizer.from_pretrained(language_model),
    )
    expected = perplexity(model, tokenizer, TEXTS, max_length=16)
    for key, of in (("perplexity", PRIMARY), ("bits_per_byte", BITS)):
        made = found[key, ""].estimate
        assert made.value == pytest.approx(expected[of].value, rel=1e-5)
        assert (made.low, made.high) == pytest.approx((expected[of].low, expected[of].high), rel=1e-3)
        assert made.n == len(TEXTS)
        assert made.coverage == pytest.approx(40 / 41)


def test_logged_log_probabilities_give_the_metric_s_perplexity(bench: Any):
    random = np.random.default_rng(3)
    logged = [[None, *(-random.exponential(1.5, size=1 + k % 9)).tolist()] for k in range(60)]
    outputs = ["ü" * (2 + k % 7) for k in range(60)]
    rows = [{"output": text, "lp": each} for text, each in zip(outputs, logged, strict=True)]
    found = bench.signals(bench.check("perplexity", LOGGED), rows)
    expected = perplexity_of_logprobs(logged, outputs)
    for key, of in (("perplexity", PRIMARY), ("bits_per_byte", BITS)):
        made = found[key, ""].estimate
        assert (made.value, made.low, made.high) == pytest.approx(
            (expected[of].value, expected[of].low, expected[of].high)
        )


def test_a_planted_change_moves_it_and_the_worst_rows_are_shown(bench: Any):
    random = np.random.default_rng(4)

    def rows(scale: float, n: int = 100) -> list[dict[str, Any]]:
        return [{"output": "x" * 20, "lp": (-random.exponential(scale, size=20)).tolist()} for _ in range(n)]

    check = bench.check("perplexity", LOGGED)
    before, after = bench.signals(check, rows(1.0)), bench.signals(check, rows(1.3))
    assert before["perplexity", ""].estimate.high < after["perplexity", ""].estimate.low
    planted = rows(1.0)
    planted[17]["lp"] = [-9.0] * 20
    measured = check.measure(bench.window(check, planted), bench.tools())
    assert measured.samples["perplexity", ""][0] == "0-17"


def test_windows_merge_to_what_all_rows_give(bench: Any):
    random = np.random.default_rng(5)
    days = [[{"output": "abc", "lp": (-random.exponential(1, size=3)).tolist()} for _ in range(n)] for n in (30, 50)]
    check = bench.check("perplexity", LOGGED)
    parts = [check.measure(bench.window(check, rows, day), bench.tools()).states for day, rows in enumerate(days)]
    merged = check.signals(merge_all([unpack(pack(part)) for part in parts]), Beside())
    at_once = bench.signals(check, [row for rows in days for row in rows])
    for signal in merged:
        want = at_once[signal.key, signal.slice].estimate
        assert (signal.estimate.value, signal.estimate.low) == pytest.approx((want.value, want.low))


def test_slices_and_the_sample_of_a_model(bench: Any):
    check = bench.check("{perplexity: {model: lm, sample: 50/day}}", "id: id, time: time, slices: [language]")
    asked: list[str] = []

    class Reader:
        def log_likelihoods(self, model: str, texts: Any, settings: Any) -> Any:
            asked.extend(texts)
            return [(2.0 * len(text), len(text)) if text != "bad" else (math.nan, 0) for text in texts]

    rows = [{"output": "bad" if k % 10 == 0 else f"text {k}", "language": "de" if k % 4 else "en"} for k in range(200)]
    found = bench.signals(check, rows, Reader())
    assert len(asked) == 50
    assert found["perplexity", ""].estimate.value == pytest.approx(math.exp(2))
    assert found["perplexity", ""].estimate.coverage == pytest.approx(1 - asked.count("bad") / 50, abs=0.05)
    assert found["perplexity", "language=de"].estimate.value == pytest.approx(math.exp(2))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("perplexity", "id: id, time: time", "needs a `model:`"),
        ("{perplexity: {of: prompt}}", LOGGED, "those of outputs"),
        ("{perplexity: {model: lm, sample: 0/day}}", "time: time", "expected a number of rows"),
    ],
)
def test_what_cannot_be_read_is_refused(bench: Any, text: str, columns: str, message: str):
    with pytest.raises(InputError, match=message):
        bench.check(text, columns)


@pytest.mark.parametrize(
    ("model", "message"), [("../lm", "leads out"), ("/lm", "absolute"), ("lm", "there is no model")]
)
def test_a_model_lies_below_the_monitor_s_folder(bench: Any, model: str, message: str):
    tools = tools_of(bench, "toxicity")
    with pytest.raises(InputError, match=message):
        tools.log_likelihoods(model, ["text"], {})


def test_a_folder_of_outputs_is_no_reader(bench: Any):
    (bench.folder / "outputs.jsonl").write_text(json.dumps({"output": "x"}) + "\n")
    with pytest.raises(InputError, match="no Hugging Face language model"):
        tools_of(bench, "toxicity").log_likelihoods("outputs.jsonl", ["text"], {})


entries = st.one_of(
    st.none(),
    st.text(max_size=5),
    st.lists(
        st.one_of(st.none(), st.floats(-50, 1e-4), st.just(0.5), st.just(-math.inf), st.just(math.nan)), max_size=5
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(entries, max_size=8))
def test_sums_are_those_of_the_metric(given_rows: list[Any]):
    from metrics.scoring import batch_of

    nats, tokens = logprob_sums(given_rows, len(given_rows))
    lists = [row if isinstance(row, list) else None for row in given_rows]
    scores = Perplexity(logprobs="lp").score(batch_of({"lp": lists}, len(lists)))
    known = np.isfinite(scores.values)
    assert np.array_equal(np.isfinite(nats), known)
    assert nats[known] == pytest.approx(scores.values[known])
    assert tokens[known] == pytest.approx(scores.denominators[known])


def test_hostile_entries_are_missing_and_arrow_lists_read_alike():
    hostile = [{"a": 1}, "[" * 100_000, '["x"]', [True], [10**400], [["nested"]], "[-1, null]", [None], [], "[-1, -2]"]
    nats, tokens = logprob_sums(hostile, len(hostile))
    assert np.isnan(nats[:-1]).all()
    assert (nats[-1], tokens[-1]) == (3.0, 2.0)
    rows = [[-1.0, -2.0], None, [None, -3.0], [-1.0, None], []]
    arrow = logprob_sums(pa.array(rows, pa.list_(pa.float32())), len(rows))
    for made, want in zip(arrow, logprob_sums(rows, len(rows)), strict=True):
        np.testing.assert_array_equal(made, want)


def test_sources_bring_them_and_streams_too():
    columns = Columns(logprobs="choice.logprobs", time="t")
    moment = 1_777_593_600_000
    rows = [{"id": "a", "t": moment, "choice": {"logprobs": [-1.0, -0.5]}}, {"id": "b", "t": moment}]
    nested = pa.Table.from_pylist(rows)
    for read in (rows_of(rows), table_of(nested)):
        table = to_table(read, columns, now=moment, refused=Counter())
        assert table.select(["nats", "scored_tokens"]).to_pylist() == [
            {"nats": 1.5, "scored_tokens": 2.0},
            {"nats": None, "scored_tokens": None},
        ]
    assert Generation(id="a", time=moment, output="x", logprobs=[None, -1.0]).logprobs == [None, -1.0]
    assert "nats" not in to_table(rows_of(rows), Columns(time="t"), now=moment, refused=Counter()).column_names
