"""The example of docs/monitoring/logging.md runs as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from evalkit.config import load_settings
from evalkit.ingest.buffer import Buffer

ROOT = Path(__file__).parents[2]


def test_the_example_leaves_a_generation_and_its_feedback(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "monitoring" / "logging.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "MLFLOW"))}
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    buffer = Buffer.of(load_settings(tmp_path))
    asked, said = buffer.read("support-bot")
    buffer.close()
    assert asked.values["slices"] == {"language": "en", "tenant": "acme"}
    assert said.values["of"] == asked.id
