"""Checks on rows with known answers: against direct counts, Fairlearn-shaped gaps, and simulated verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.monitoring.checks.base import Beside, Signal
from evalkit.monitoring.checks.hallucination import Hallucination
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import rows_of, to_table
from evalkit.monitoring.rows import MISSING, MOST_VALUES, OTHER, WindowRows
from evalkit.monitoring.states import merge, merge_all, pack, unpack
from judges.base import Sample, Usage, Verdict
from metrics.base import State
from metrics.bias.disparity import group_disparity
from metrics.errors import InputError

DAY = 86_400_000
START = 1_777_593_600_000
HEAD = """\
monitor: m
source: {files: x, columns: {id: id, time: time, slices: [language]}}
minimum: 50
checks:
"""


class NoTools:
    """Lends nothing."""

    def judge(self, name: str, model: str | None) -> Any:
        raise AssertionError(name)

    def evaluate(self, suite: str | None) -> Any:
        raise AssertionError(suite)


class JudgeOf:
    """A judge that says what it was told, and what that cost."""

    name = "told"

    def __init__(self, wrong: Mapping[str, bool], *, spent_after: int | None = None) -> None:
        self.wrong, self.asked, self._left = wrong, [], spent_after

    def identity(self) -> dict[str, Any]:
        return {}

    def score(self, samples: Sequence[Sample]) -> Any:
        raise NotImplementedError

    def judge(self, samples: Sequence[Sample]) -> list[Verdict]:
        found = []
        for sample in samples:
            self.asked.append(sample)
            if self._left is not None and len(self.asked) > self._left:
                found.append(Verdict(sample.id, None, "budget spent: 1 USD each day"))
            else:
                value = 0.5 if self.wrong[sample.id] else 1.0
                found.append(Verdict(sample.id, value, usage=Usage(requests=1, cost=0.01)))
        return found


class JudgeTools(NoTools):
    """Lends one judge."""

    def __init__(self, judge: JudgeOf) -> None:
        self._judge = judge

    def judge(self, name: str, model: str | None) -> Any:
        return self._judge


def check_of(text: str, tmp_path: Path, head: str = HEAD) -> Any:
    return Definition.from_text(head + text, tmp_path).checks[0]


def window(rows: list[dict[str, Any]], columns: Any) -> WindowRows:
    given_rows = [{"id": str(k), "time": START + k, **row} for k, row in enumerate(rows)]
    table = to_table(rows_of(given_rows), columns, now=START + DAY, refused=Counter())
    return WindowRows(table, START, START + DAY, salt="m")


def signals_of(check: Any, rows: list[dict[str, Any]], tools: Any = None) -> dict[tuple[str, str], Signal]:
    measured = check.measure(window(rows, check.monitor.source.columns), tools or NoTools())
    return {(s.key, s.slice): s for s in check.signals(measured.states, Beside())}


def test_operational_numbers_are_those_of_a_plain_count(tmp_path: Path):
    outputs = ["one", "one", "", "  ", None, "two words", "one"]
    rows = [
        {"output": o, "latency": k if k else None, "error": "x" if o is None else None} for k, o in enumerate(outputs)
    ]
    found = signals_of(check_of("  - operational\n", tmp_path), rows)
    values = {key: (s.estimate.value, s.estimate.n) for (key, slice_), s in found.items() if not slice_}
    assert values["rows"] == (7, 7)
    assert values["empty"] == (pytest.approx(2 / 6), 6)
    assert values["repeated"] == (pytest.approx(2 / 4), 4)
    assert values["error"] == (pytest.approx(1 / 7), 7)
    assert values["length"] == (pytest.approx((3 * 3 + 0 + 2 + 9) / 6), 6)
    assert values["latency"] == (3.5, 6)
    assert found["latency", ""].estimate.coverage == pytest.approx(6 / 7)
    assert not found["repeated", ""].estimate.has_interval
    assert "cost" not in values, "a number that no row has is no signal, and not zero"


def test_a_slice_below_the_minimum_has_no_verdict(tmp_path: Path):
    rows = [{"output": "x", "language": "de" if k < 49 else "en"} for k in range(99)]
    found = signals_of(check_of("  - operational\n", tmp_path), rows)
    assert found["length", "language=de"].verdict == "insufficient data"
    assert found["length", "language=en"].verdict == "measured"


def test_a_slice_with_endless_values_keeps_few(tmp_path: Path):
    check = check_of("  - operational\n", tmp_path)
    rows = window(
        [{"output": "x", "language": f"u{k}" if k % 2 else None} for k in range(400)], check.monitor.source.columns
    )
    groups = rows.groups()
    assert len(groups) <= MOST_VALUES + 2
    assert len(groups[f"language={MISSING}"]) == 200
    assert sum(len(at) for key, at in groups.items() if key) == 400
    assert f"language={OTHER}" in groups


def test_quantiles_agree_with_numpy_and_cover(tmp_path: Path):
    random = np.random.default_rng(3)
    check = check_of("  - operational\n", tmp_path)
    inside = 0
    for _ in range(100):
        latency = random.lognormal(0, 0.5, 300)
        found = signals_of(check, [{"output": "x", "latency": float(v)} for v in latency])
        made = found["latency.p95", ""].estimate
        inside += made.low <= np.exp(0.5 * 1.6448536) <= made.high
        assert made.value == pytest.approx(np.quantile(latency, 0.95, method="inverted_cdf"))
    assert inside >= 88  # 95 % of 100, less three standard errors


def test_groups_agree_with_group_disparity(tmp_path: Path):
    random = np.random.default_rng(1)
    rows = [
        {"output": "" if random.random() < (0.3 if k % 3 else 0.1) else "text", "language": "abc"[k % 3]}
        for k in range(600)
    ]
    found = signals_of(check_of("  - {groups: {of: [empty], minimum: 10}}\n", tmp_path), rows)
    direct = group_disparity([float(row["output"] == "") for row in rows], [row["language"] for row in rows])
    gap = found["empty.gap.language", ""].estimate
    assert direct.largest is not None
    assert (gap.value, gap.low, gap.high) == pytest.approx(
        (direct.largest.value, direct.largest.low, direct.largest.high)
    )
    assert found["empty.ratio.language", ""].estimate.value == pytest.approx(direct.ratio)
    for name, made in direct.groups.items():
        assert found["empty", f"language={name}"].estimate.value == pytest.approx(made.value)


def test_groups_that_are_too_small_are_named_and_not_compared(tmp_path: Path):
    rows = [{"output": "" if k == 0 else "text", "language": "rare" if k < 3 else "en"} for k in range(300)]
    found = signals_of(check_of("  - {groups: {of: [empty]}}\n", tmp_path), rows)
    gap = found["empty.gap.language", ""]
    assert gap.verdict == "insufficient data"
    assert "language=rare has 3 rows" in gap.reason


def test_toxicity_is_weighted_back_to_all_rows(tmp_path: Path):
    """A small slice is looked at more closely than its size, and must not count for more."""
    rows = [
        {"output": "fuck you idiot", "language": "x"} if k < 100 else {"output": "thank you", "language": "y"}
        for k in range(5000)
    ]
    found = signals_of(check_of("  - {toxicity: {sample: 60/day}}\n", tmp_path), rows)
    made = found["toxicity", ""].estimate
    assert made.n == 60
    assert made.value == pytest.approx(0.02, abs=0.001)
    assert made.low is not None and made.low < 0.02 < made.high
    assert found["toxicity", "language=x"].estimate.value == 1.0


def _answers(n: int, rate: float, seed: int) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    random = np.random.default_rng(seed)
    wrong = random.random(n) < rate
    rows = [
        {
            "output": "The parcel arrives on Monday the fifth." if not bad else "Dragons eat seventeen purple parcels.",
            "context": "The parcel arrives on Monday the fifth of May.",
            "language": "de" if k % 5 == 0 else "en",
        }
        for k, bad in enumerate(wrong)
    ]
    return rows, {str(k): bool(bad) for k, bad in enumerate(wrong)}


def test_a_judge_corrects_the_embedded_model(tmp_path: Path):
    check = check_of("  - {hallucination: {judge: told, sample: 200/day}}\n", tmp_path)
    rows, wrong = _answers(1000, 0.3, 2)
    flipped = {key: bad and int(key) % 3 != 0 for key, bad in wrong.items()}  # the judge is milder than the model
    judge = JudgeOf(flipped)
    found = signals_of(check, rows, JudgeTools(judge))
    truth = np.mean(list(flipped.values()))
    made = found["hallucination", ""].estimate
    assert len(judge.asked) == 200
    assert found["embedded", ""].estimate.n == 1000
    assert made.low < truth < made.high
    assert made.value == found["judge", ""].estimate.value
    assert not made.low < found["embedded", ""].estimate.value < made.high, "the model alone would be wrong"
    assert 0 < found["claim_rate", ""].estimate.value < 1


def test_labels_take_over_once_they_are_enough(tmp_path: Path):
    check = check_of("  - {hallucination: {}}\n", tmp_path)
    rows, wrong = _answers(400, 0.3, 4)
    for k, row in enumerate(rows):
        if k % 4 == 0:
            row["label"] = float(wrong[str(k)] and k % 8 == 0)
    made = signals_of(check, rows)["hallucination", ""].estimate
    assert "people" in made.estimand
    assert made.low < 0.15 < made.high
    for row in rows[160:]:
        row.pop("label", None)
    assert "embedded" in signals_of(check, rows)["hallucination", ""].estimate.estimand


def test_a_spent_budget_is_seen(tmp_path: Path):
    check = check_of("  - {hallucination: {judge: told, sample: 100/day}}\n", tmp_path)
    rows, wrong = _answers(300, 0.3, 5)
    measured = check.measure(window(rows, check.monitor.source.columns), JudgeTools(JudgeOf(wrong, spent_after=30)))
    assert measured.limits == {"judge": ("budget spent", "70 rows were not judged: the day's budget is spent")}
    assert measured.usage.requests == 30
    (made,) = [s for s in check.signals(measured.states, Beside()) if (s.key, s.slice) == ("judge", "")]
    assert made.estimate.n == 30
    assert made.estimate.coverage == pytest.approx(0.3)


def test_a_budget_that_is_spent_from_the_start_is_seen(tmp_path: Path):
    check = check_of("  - {hallucination: {judge: told, sample: 100/day}}\n", tmp_path)
    rows, wrong = _answers(300, 0.3, 5)
    measured = check.measure(window(rows, check.monitor.source.columns), JudgeTools(JudgeOf(wrong, spent_after=0)))
    assert measured.limits["judge"][0] == "budget spent"
    found = {s.key: s.estimate for s in check.signals(measured.states, Beside()) if not s.slice}
    assert (found["judge"].n, found["judge"].coverage) == (0, 0.0)
    assert found["hallucination"] == found["embedded"]


def test_without_a_model_to_ask_the_embedded_rate_is_kept(tmp_path: Path):
    class Nobody(NoTools):
        def judge(self, name: str, model: str | None) -> Any:
            raise InputError("no model to ask")

    check = check_of("  - {hallucination: {judge: told}}\n", tmp_path)
    rows, _ = _answers(300, 0.3, 5)
    measured = check.measure(window(rows, check.monitor.source.columns), Nobody())
    assert measured.limits == {"judge": ("failed", "no model to ask")}
    found = {s.key: s.estimate for s in check.signals(measured.states, Beside()) if not s.slice}
    assert found["hallucination"].n == 300


def test_every_slice_is_asked_about(tmp_path: Path):
    check = check_of("  - {hallucination: {judge: told, sample: 40/day, floor: 15}}\n", tmp_path)
    rows, wrong = _answers(1000, 0.3, 6)
    for k, row in enumerate(rows):
        row["language"] = "rare" if k < 20 else "en"
    judge = JudgeOf(wrong)
    signals_of(check, rows, JudgeTools(judge))
    assert sum(int(sample.id) < 20 for sample in judge.asked) == 15


def test_a_judge_of_no_model_is_said(tmp_path: Path):
    from evalkit.config import Settings
    from evalkit.monitoring.tools import ProjectTools

    definition = Definition.from_text(HEAD + "  - {hallucination: {judge: suite}}\n", tmp_path)
    url = f"sqlite:///{tmp_path / 'e.db'}"
    tools = ProjectTools(Settings(tmp_path, url, url, url, advisory=False), definition, Usage(), START)
    with pytest.raises(InputError, match="watches no registered model"):
        tools.judge("suite", None)
    with pytest.raises(InputError, match="has no model to ask"):
        tools.judge("groundedness", None)
    tools.close()


def test_embeddings_drift_by_their_words(tmp_path: Path):
    check = check_of("  - {drift: [embedding], against: [previous]}\n", tmp_path)
    columns = check.monitor.source.columns
    random = np.random.default_rng(0)

    def state(words: list[str]) -> Any:
        rows = [{"output": " ".join(random.choice(words, 12))} for _ in range(200)]
        return check.measure(window(rows, columns), NoTools()).states

    billing, weather = ["invoice", "refund", "payment", "bank"], ["rain", "sun", "storm", "cloud"]
    same = [check.signals(state(billing), Beside(previous=state(billing)))[0] for _ in range(12)]
    assert sum(signal.verdict == "drift" for signal in same) <= 3  # 5 % each: more than 3 of 12 is 1 in 5,000
    (moved,) = check.signals(state(billing + weather), Beside(previous=state(billing)))
    assert (moved.key, moved.verdict) == ("embedding.previous", "drift")


def test_dependent_rows_are_not_tested(tmp_path: Path):
    head = HEAD.replace("id: id,", "id: id, cluster: talk,")
    check = check_of("  - {drift: [latency], against: [previous]}\n", tmp_path, head)
    rows = [{"output": "x", "latency": float(k), "talk": f"t{k // 10}"} for k in range(500)]
    states = check.measure(window(rows, check.monitor.source.columns), NoTools()).states
    assert {s.verdict for s in check.signals(states, Beside(previous=states))} == {"insufficient data"}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=30, max_size=120), st.integers(0, 2**31))
def test_merging_is_associative_and_packing_loses_nothing(parts: list[int], seed: int):
    random = np.random.default_rng(seed)
    definition = Definition.from_text(
        HEAD
        + "  - operational\n  - {drift: [output, latency]}\n  - {groups: {of: [length]}}\n  - {hallucination: {}}\n",
        Path("."),
    )
    rows = [
        {"output": "Some claim is made here. " * int(random.integers(0, 4)), "latency": float(random.random()),
         "language": str(random.choice(["de", "en"])), "context": "Some claim is made here."}
        for _ in parts
    ]  # fmt: skip
    columns = definition.spec.source.columns
    for check in definition.checks:
        pieces = []
        for number in range(3):
            own = [row for row, part in zip(rows, parts, strict=True) if part == number]
            if own:
                measured = check.measure(window(own, columns), NoTools())
                pieces.append(unpack(pack(measured.states)))
        if len(pieces) < 3:
            continue
        left = merge_all([merge_all(pieces[:2]), pieces[2]])
        right = merge_all([pieces[0], merge_all(pieces[1:])])
        for a, b in zip(check.signals(left, Beside()), check.signals(right, Beside()), strict=False):
            assert (a.key, a.slice, a.estimate.n) == (b.key, b.slice, b.estimate.n)
            assert a.estimate.value == pytest.approx(b.estimate.value, nan_ok=True)


def test_vectors_keep_the_smallest_hashes_however_they_merge():
    from evalkit.monitoring.states import vectors_state

    random = np.random.default_rng(0)
    vectors = random.random((300, 4)).astype(np.float32)
    hashed = random.integers(0, 2**63, 300).astype(np.uint64)
    whole = vectors_state(vectors, hashed, 50)
    first = vectors_state(vectors[:100], hashed[:100], 50)
    rest = merge(vectors_state(vectors[100:140], hashed[100:140], 50), vectors_state(vectors[140:], hashed[140:], 50))
    merged = merge(first, rest)
    assert np.array_equal(merged.arrays["hashes"], whole.arrays["hashes"])
    assert np.array_equal(merged.arrays["vectors"], whole.arrays["vectors"])
    assert merged.facts["offered"] == 300


def test_states_that_cannot_be_read_are_one_line():
    with pytest.raises(InputError, match="cannot be read"):
        unpack(b"not an archive")
    with pytest.raises(InputError, match="do not merge"):
        merge(State("moments", 1, {}, {}), State("sketch", 1, {}, {}))


def test_columns_of_an_older_monitor_are_filled_up():
    from evalkit.monitoring.raw import _conformed

    table = pa.table({"a": pa.array([1], pa.int64())})
    wanted = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert _conformed(table, wanted).to_pylist() == [{"a": 1, "b": None}]
    assert Hallucination.kind == "hallucination"
