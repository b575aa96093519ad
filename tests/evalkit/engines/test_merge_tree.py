"""States merge in a tree whose shape depends on their number alone."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.runner.scores import MergeTree


class Bracketing:
    """Stands for a metric: its states are texts that show who was merged with whom."""

    def merge(self, a: str, b: str) -> str:
        return f"({a}{b})"


@pytest.mark.parametrize(
    ("count", "shape"), [(1, "0"), (2, "(01)"), (3, "((01)2)"), (5, "(((01)(23))4)"), (7, "(((01)(23))((45)6))")]
)
def test_pairs_of_pairs_in_canonical_order(count: int, shape: str) -> None:
    metric: Any = Bracketing()
    tree = MergeTree(metric)
    for place in range(count):
        state: Any = str(place)
        tree.add(state)
    merged: Any = tree.merged()
    assert merged == shape
