from __future__ import annotations

import numpy as np
import psutil
import pytest

from evalkit.runner import memory
from evalkit.runner.memory import give_back


def resident() -> float:
    return float(psutil.Process().memory_info().rss)


def test_holes_between_what_is_kept_are_given_back_to_the_system() -> None:
    if memory._trim() is None:
        pytest.skip("this C library has no malloc_trim")
    blocks = [np.ones(8_000) for _ in range(1_500)]  # 96 MB, each too small for a mapping of its own
    kept = blocks[::100] + blocks[-1:]
    del blocks
    held = resident()
    give_back()
    assert held - resident() > 50e6
    assert all(block.all() for block in kept)


def test_a_c_library_without_it_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_trim", lambda: None)
    give_back()
