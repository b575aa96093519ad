"""Pictures stay behind, whatever number of shards they are in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from evalkit.bundles import pack
from evalkit.outputs import SCHEMA, read_shard, write_shard


def _shard(path: Path, start: int, stop: int) -> None:
    ids = list(range(start, stop))
    columns: dict[str, Any] = {name: [None] * len(ids) for name in SCHEMA.names}
    columns |= {"sample_id": [f"q{i}" for i in ids], "position": ids, "seed": ids, "image": [b"png"] * len(ids)}
    write_shard(pa.table(columns, schema=SCHEMA), path, {})


def test_each_shard_is_packed_without_its_pictures(tmp_path: Path) -> None:
    digest = "sha256:" + "ab" * 32
    for start in (0, 10):
        _shard(tmp_path / f"outputs/abababababab/rows-{start:09d}-{start + 10:09d}.parquet", start, start + 10)
    record = {"outputs": digest, "target": 20, "metrics": {}}
    plan: Any = SimpleNamespace(suite=SimpleNamespace(spec=SimpleNamespace(tasks={})))
    evaluation: Any = SimpleNamespace(details={"tasks": {"pictures": record}})
    found = sorted(pack._files(tmp_path, plan, evaluation, tmp_path / "scratch"))
    tables = [read_shard(path)[0] for _, path in found]
    assert [i for table in tables for i in table["sample_id"].to_pylist()] == [f"q{i}" for i in range(20)]
    assert all(table["image"].null_count == len(table) for table in tables)
