"""Labels that were drawn with unequal chances count by them; those without a chance stay out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.config import Settings
from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Feedback, Generation
from evalkit.monitoring.checks.base import Beside
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import schema, to_table
from evalkit.monitoring.sources.stream import StreamReader
from evalkit.monitoring.spec import Columns
from evalkit.monitoring.states import merge_all, pack, unpack

GOOD, BAD = "The parcel arrives on Monday the fifth.", "Dragons eat seventeen purple parcels."
CONTEXT = "The parcel arrives on Monday the fifth of May."
RATE = 0.1
DAY = 86_400_000


def rows_of(seed: int, n: int = 600, **changes: Any) -> list[dict[str, Any]]:
    """Answers of which one in ten is wrong, though no judge tells; labels favour wrong ones by five to one."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        wrong = bool(random.random() < RATE)
        chance = 0.5 if wrong else 0.1
        row: dict[str, Any] = {"output": GOOD, "context": CONTEXT}
        if random.random() < chance:
            row |= {"label": float(wrong), "chance": chance}
        found.append({**row, **changes} if "label" in row else row)
    return found


def rate_of(bench: Any, rows: list[dict[str, Any]], columns: str) -> Any:
    found = bench.signals(bench.check("{hallucination: {}}", columns), rows)
    return found["hallucination", ""].estimate


def test_the_rate_is_that_of_all_answers_and_not_of_the_labels(bench: Any):
    rows = [row for seed in (1, 2, 3) for row in rows_of(seed)]
    weighted = rate_of(bench, rows, "id: id, time: time, label: label, label_probability: chance")
    plain = rate_of(bench, rows, "id: id, time: time, label: label")
    labels = [row["label"] for row in rows if "label" in row]
    assert weighted.n == plain.n == len(labels)
    assert plain.low > 2 * RATE, "labels alone say more than twice the rate"
    assert weighted.low < RATE < weighted.high
    chances = np.array([row["chance"] for row in rows if "label" in row])
    assert weighted.value == pytest.approx(np.average(labels, weights=1 / chances), abs=1e-9)
    assert "weighted" in weighted.method
    assert weighted.effective_n < plain.n


def test_a_judge_s_own_chances_multiply(bench: Any):
    class Judge:
        def judge(self, samples: Any) -> Any:
            from judges.base import Verdict

            return [Verdict(sample.id, 1.0) for sample in samples]

    tools = bench.tools()
    tools.judge = lambda name, model: Judge()
    columns = "id: id, time: time, label: label, label_probability: chance, slices: [language]"
    check = bench.check("{hallucination: {judge: any, sample: 800/day, floor: 0}}", columns)
    rows = [{**row, "language": "de"} for seed in (1, 2, 3) for row in rows_of(seed)]
    found = bench.signals(check, rows, tools)["hallucination", ""].estimate
    assert found.low < RATE < found.high
    assert found.n < sum("label" in row for row in rows), "only labels of judged answers count"


def test_labels_without_a_chance_stay_out_and_are_told(bench: Any):
    columns = "id: id, time: time, label: label, label_probability: chance"
    drawn = [row for seed in (1, 2, 3) for row in rows_of(seed)]
    reported = [{"output": GOOD, "context": CONTEXT, "label": 1.0, "chance": chance} for chance in (None, 0.0, 1.5)]
    check = bench.check("{hallucination: {}}", columns)
    alone, beside = (check.measure(bench.window(check, rows), bench.tools()) for rows in (drawn, drawn + reported))
    assert beside.notes == ["hallucination: 3 labels have no label_probability and count in no rate"]
    counted = [
        next(s.estimate for s in check.signals(measured.states, Beside()) if s.key == "hallucination").n
        for measured in (alone, beside)
    ]
    assert counted[0] == counted[1]


def test_windows_pool_labels_with_their_chances(bench: Any):
    check = bench.check("{hallucination: {}}", "id: id, time: time, label: label, label_probability: chance")
    parts = [check.measure(bench.window(check, rows_of(day), day), bench.tools()).states for day in range(1, 4)]
    before = merge_all([unpack(pack(part)) for part in parts[:2]])
    (pooled,) = [s for s in check.signals(parts[2], Beside(trailing=before)) if s.key == "hallucination"]
    rows = [row for day in range(1, 4) for row in rows_of(day)]
    at_once = rate_of(bench, rows, "id: id, time: time, label: label, label_probability: chance")
    assert pooled.estimate.value == pytest.approx(at_once.value, abs=1e-12)
    assert pooled.estimate.n == at_once.n


def test_states_of_weighted_labels_are_kept_apart_and_others_stay_as_they_were(bench: Any):
    plain = bench.check("{hallucination: {}}", "id: id, time: time, label: label")
    weighted = bench.check("{hallucination: {}}", "id: id, time: time, label: label, label_probability: chance")
    assert plain.identity != weighted.identity
    state = plain.measure(bench.window(plain, rows_of(1)), bench.tools()).states["hallucination", ""]
    assert set(state.arrays) == {"embedded", "claims", "judge", "chance", "label"}
    assert "label_probability" not in schema(bench.check("toxicity").monitor.source.columns).names


def test_feedback_of_a_stream_counts_by_its_probability(bench: Any):
    text = "monitor: m\nsource: {stream: s, columns: {label: hallucinated}}\nchecks: [{hallucination: {}}]\n"
    check = Definition.from_text(text, bench.folder).checks[0]
    rows = [row for seed in (1, 2, 3) for row in rows_of(seed)]
    for row in rows:
        if "label" in row:
            row |= {"hallucinated": row.pop("label"), "label_probability": row.pop("chance")}
    made = bench.signals(check, rows)["hallucination", ""].estimate
    assert made.low < RATE < made.high


def test_a_stream_brings_the_probability_of_labels_and_of_nothing_else(tmp_path: Path):
    buffer = Buffer(f"sqlite:///{tmp_path / 'ingest.db'}")
    moment = 1_777_593_600_000
    buffer.append("s", [Generation(id=f"g{k}", time=moment + k, output="yes") for k in range(3)])
    told = [("hallucinated", 0.25), ("helpful", 0.5), ("hallucinated", None)]
    buffer.append(
        "s",
        [
            Feedback(id=f"f{k}", time=moment + 10, of=f"g{k}", name=name, value=1, probability=chance)
            for k, (name, chance) in enumerate(told)
        ],
    )
    buffer.close()
    url = f"sqlite:///{tmp_path / 'unused.db'}"
    columns = Columns(label="hallucinated", fields=("helpful",))
    reader = StreamReader(Settings(tmp_path, url, url, url, advisory=False), "s", columns)
    (chunk,) = reader.read({})
    table = to_table(chunk.rows, columns, now=moment + DAY, refused=Counter())
    found = [row for row in table.select(["id", "label", "label_probability"]).to_pylist() if row["label"] is not None]
    assert found == [{"id": "g0", "label": 1.0, "label_probability": 0.25}]
    assert table["label_probability"].null_count == table.num_rows - 1
