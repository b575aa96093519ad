"""The hallucination rate is pooled over a trailing window; what its alert reads is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.monitoring.definition import Definition
from evalkit.monitoring.followed import source_key

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, context: context, label: label}
lateness: 1h
retention: {raw: 60d}
checks: [{hallucination: {trailing: 3d}, alert: {max: 0.3}}]
"""


def day_of(day: int, labels: int = 20, n: int = 60) -> list[dict[str, Any]]:
    """Every sixth answer contradicts its context; some answers have a person's label."""
    rows = []
    for row in range(n):
        wrong = row % 6 == 0
        rows.append(
            {
                "id": f"{day}-{row}",
                "time": START + day * DAY + row * (DAY // n),
                "question": "What is the capital of France?",
                "answer": "Bananas grow on Mars." if wrong else "The capital of France is Paris.",
                "context": "The capital of France is Paris.",
                **({"label": float(wrong)} if row < labels else {}),
            }
        )
    return rows


def test_labels_are_pooled_over_the_trailing_window(local: Any):
    for day in range(6):
        local.write(f"day-{day}", day_of(day))
    local.apply(MONITOR)
    local.run(6)
    rates = local.values("hallucination", "hallucination")
    embedded = local.values("hallucination", "embedded")
    assert [n for _, n in embedded] == [60] * 6, "each window by itself"
    assert [n for _, n in rates] == [60, 60, 60, 80, 80, 80], "from 50 labels on: this window's and three days' before"


def test_the_detector_reads_each_window_by_itself(tmp_path: Path):
    def source(settings: str) -> str:
        text = MONITOR.replace("{trailing: 3d}", settings)
        (check,) = (c for c in Definition.from_text(text, tmp_path).checks if c.kind == "hallucination")
        return source_key(check, "hallucination")

    assert source("{judge: told}") == "judge"
    assert source("{}") == "embedded"
