from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.runner.shards import Rows, ShardFolder, cover, grid
from metrics.errors import InputError

RANGES = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda pair: Rows(pair[0], pair[0] + pair[1]))


@given(st.integers(0, 2000), st.integers(1, 300))
def test_a_grid_holds_every_row_once(rows: int, size: int) -> None:
    assert [i for part in grid(rows, size) for i in range(part.start, part.stop)] == list(range(rows))


@given(st.lists(RANGES, max_size=8), RANGES)
def test_a_cover_holds_every_wanted_row_once_and_says_who_has_it(existing: list[Rows], wanted: Rows) -> None:
    runs = list(cover(sorted(existing), wanted))
    assert [i for run, _ in runs for i in range(run.start, run.stop)] == list(range(wanted.start, wanted.stop))
    for run, holding in runs:
        if holding is None:
            assert not any(set(range(run.start, run.stop)) & set(range(r.start, r.stop)) for r in existing)
        else:
            assert holding.start <= run.start and run.stop <= holding.stop


def readable(path: Path) -> dict[str, object]:
    if path.read_bytes() != b"sound":
        raise ValueError("damaged")
    return {"adopted": True}


def test_seals_prove_shards_to_another_process(tmp_path: Path) -> None:
    path = ShardFolder(tmp_path, "sha256:" + "a" * 64, {}).file(Rows(0, 3), "bin")
    ShardFolder(tmp_path, "sha256:" + "a" * 64, {}).write(path, b"anything", {"rows": 3})
    assert ShardFolder(tmp_path, "sha256:" + "a" * 64, {}).check(path, readable) == {"rows": 3}
    path.write_bytes(b"anythinG")
    assert ShardFolder(tmp_path, "sha256:" + "a" * 64, {}).check(path, readable) is None
    assert not path.exists()


def test_an_unsealed_shard_is_adopted_only_when_it_reads(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "sha256:" + "b" * 64, {})
    sound, damaged = (folder.file(Rows(i, i + 1), "bin") for i in range(2))
    sound.write_bytes(b"sound")
    damaged.write_bytes(b"soun")
    assert folder.check(sound, readable) == {"adopted": True}
    assert folder.check(damaged, readable) is None
    assert folder.existing("bin") == [Rows(0, 1)]


def test_partial_files_are_no_shards(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "sha256:" + "c" * 64, {})
    folder.path.joinpath(".rows-000000000-000000001.bin.12.partial").write_bytes(b"so")
    assert folder.existing("bin") == []


def test_a_folder_of_another_digest_is_refused(tmp_path: Path) -> None:
    ShardFolder(tmp_path, "sha256:" + "d" * 64, {})
    with pytest.raises(InputError, match="were expected"):
        ShardFolder(tmp_path, "sha256:" + "d" * 12 + "e" * 52, {})
