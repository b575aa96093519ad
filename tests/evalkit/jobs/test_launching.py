from __future__ import annotations

from pathlib import Path

import pytest
from dbos import DBOS

from evalkit.jobs.launching import launch, shut_down


def test_a_launch_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    store = tmp_path / "jobs.db"
    store.mkdir()  # nothing to be opened as a file
    for _ in range(2):
        with pytest.raises(Exception, match="unable to open database file"):
            launch(f"sqlite:///{store}")
    store.rmdir()
    try:
        assert launch(f"sqlite:///{store}").startswith("evalkit-")
        assert DBOS.list_schedules() == []
    finally:
        shut_down()
