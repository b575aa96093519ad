"""A digit that a disk has changed is noticed wherever numbers are read back from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.runner.scores import MetricScores
from evalkit.runner.shards import Rows, ShardFolder
from metrics.base import Estimate

DIGEST = "sha256:" + "a" * 64


def test_estimates_with_another_digit_are_made_again(tmp_path: Path) -> None:
    class Counted(MetricScores):
        made = 0

        def __init__(self) -> None:
            self.folder = ShardFolder(tmp_path, DIGEST, {})

        def estimates(self, *_: Any, **__: Any) -> Any:
            self.made += 1
            return {"": {"value": Estimate(0.25, 0.125, 0.5, n=7)}}

    scores = Counted()
    first = scores.stored_estimates(7, 4, None)
    assert (scores.stored_estimates(7, 4, None), scores.made) == (first, 1)
    (path,) = scores.folder.path.glob("estimates-*.json")
    path.write_text(path.read_text().replace("0.25", "0.75"))
    assert (scores.stored_estimates(7, 4, None), scores.made) == (first, 2)
    assert (scores.stored_estimates(7, 4, None), scores.made) == (first, 2)


@pytest.mark.parametrize("damaged", ['"rows": 4', "without"])
def test_facts_with_another_digit_are_read_from_the_shard(tmp_path: Path, damaged: str) -> None:
    path = ShardFolder(tmp_path, DIGEST, {}).file(Rows(0, 3), "bin")
    ShardFolder(tmp_path, DIGEST, {}).write(path, b"anything", {"rows": 3})
    seal = path.with_name(path.name + ".seal")
    told = json.loads(seal.read_text())
    seal.write_text(json.dumps(told).replace('"rows": 3', damaged) if damaged != "without" else json.dumps(
        {name: value for name, value in told.items() if name != "check"}  # as older versions wrote it
    ))  # fmt: skip
    assert ShardFolder(tmp_path, DIGEST, {}).check(path, lambda _: {"rows": 3, "read": True}) == {
        "rows": 3,
        "read": True,
    }
