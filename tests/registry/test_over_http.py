"""A managed MLflow: only its HTTP address is known, our tables are in a database of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.promotion import promote
from registry.store import Registry
from registry.suite import Suite


@pytest.mark.slow
def test_register_copy_and_promote(mlflow_server: str, suite: Suite, folder: Path, tmp_path: Path, capsys):
    registry = Registry(f"sqlite:///{tmp_path / 'own.db'}", mlflow_server)
    version = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    assert version.source.startswith("models:/m-")
    assert registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite).existing
    with registry.model_folder(version) as stored:
        assert (stored / version.generator["path"]).read_bytes() == (folder / "outputs.jsonl").read_bytes()
        assert [item.read_text() for item in (stored / "evalkit").iterdir()] == [suite.text]
    registry.mlflow.client.copy_model_version("models:/m/1", "production")
    copied = registry.version("models:/production/1")
    assert (copied.suite_digest, copied.artifact_digest) == (suite.digest, version.artifact_digest)
    promote(registry, version, override="seen by hand")
    assert registry.version("models:/m@champion").id == version.id
    assert registry.mlflow.version("m", 1).tags["evalkit.override"] == "seen by hand"
