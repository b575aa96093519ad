"""The project that the workload works on: models, suites, a monitor and policies, the same in every run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEY = "sk-faults-4f1c9a7e2b"
PASSWORD = "pw-faults-81d3c05e"
WEBHOOK_SECRET = "hook-faults-77b1e9f0c2a4d6885310"
SECRETS = (KEY, PASSWORD, WEBHOOK_SECRET)
"""What must not stand in any log."""

MODEL = '''\
"""Models that answer and paint: what they give follows from the prompt and the seed."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

_PAUSE = float(Path(__file__).with_name("pause.txt").read_text())


def _answer(prompt: str, every: int) -> str:
    time.sleep(_PAUSE)
    number = int(prompt.split("-")[1])
    return "no idea" if number % every == 0 else f"answer {number}"


def _paint(seed: int, level: int) -> Image.Image:
    time.sleep(_PAUSE)
    noise = np.random.default_rng(seed).integers(0, 200, (4, 4, 3)) + level
    return Image.fromarray(noise.astype(np.uint8))

'''
_VARIANTS = 6
TEXT_SUITE = """\
suite: questions
tasks:
  golden:
    data: questions.jsonl
    columns: {id: id, prompt: question, expected: answers, slices: [part]}
    generate: {time_limit: 120}
    score: [exact_match, token_f1, empty, {judge: judges/right.md}]
judge: {model: "openai:/fake@http://127.0.0.1:PORT/v1", budget: 1000000 requests}
gate:
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""
JUDGE = """\
---
name: right
kind: pass_fail
---
Is this right?
{{ prompt }}
{{ output }}
"""
IMAGE_SUITE = """\
suite: pictures
tasks:
  paint:
    reference: real.npz
    n: IMAGES
    extractor: pixels
    score: [fid, {kid: {subset_size: 50, subsets: 5}}]
gate:
  rules:
    - {metric: paint/kid, max: 10}
"""
FILE_SUITE = """\
suite: stored
tasks:
  golden:
    data: golden.jsonl
    columns: {id: id, prompt: question, expected: answers}
    score: [exact_match]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.8}
"""
MONITOR = """\
monitor: prod
source:
  stream: bot
  columns: {slices: [language]}
every: "*/5 * * * *"
start: "START"
lateness: 1s
minimum: 5
retention: {raw: 3000d}
checks:
  - {operational: [length, latency]}
  - {groups: {by: [language], of: [length, latency]}}
"""
STREAM = "bot"
FILE_ROWS = 60
_BEFORE = 150
"""Minutes before now at which the first generation was made: a clock that is an hour behind has seen all of them."""


@dataclass(frozen=True)
class Size:
    """How much one evaluation is.

    Attributes:
        questions, images: samples.
        pause: seconds that a model takes for each.
    """

    questions: int = 300
    images: int = 300
    pause: float = 0.01


@dataclass
class Files:
    """A project's folder.

    Attributes:
        root: the folder.
        judge_port: where the judge listens.
        size: of evaluations.
        begin: when the monitor's first window begins, UTC milliseconds.
        begin: when the monitor's first window begins, UTC milliseconds.
    """

    root: Path
    judge_port: int
    size: Size = field(default_factory=Size)
    begin: int = field(default_factory=lambda: (int(time.time()) // 300 * 5 - _BEFORE) * 60_000)

    def write(self, pause: float | None = None) -> None:
        """Write everything that a user would have written."""
        import numpy as np

        (self.root / "judges").mkdir(parents=True)
        (self.root / "stored").mkdir()
        (self.root / "evalkit.toml").touch()
        (self.root / "pause.txt").write_text(str(self.size.pause if pause is None else pause))
        (self.root / "bot.py").write_text(MODEL + "\n".join(_variants()))
        (self.root / "questions.yaml").write_text(TEXT_SUITE.replace("PORT", str(self.judge_port)))
        (self.root / "judges" / "right.md").write_text(JUDGE)
        (self.root / "pictures.yaml").write_text(IMAGE_SUITE.replace("IMAGES", str(self.size.images)))
        real = np.random.default_rng(1).integers(0, 220, (300, 4, 4, 3), dtype=np.uint8)
        np.savez(self.root / "real.npz", images=real)
        rows = [
            {
                "id": f"q{i}", "question": f"item-{i}-{'bad' if i % 5 == 0 else 'good'}", "answers": [f"answer {i}"],
                "part": "ab"[i % 2],
            }
            for i in range(self.size.questions)
        ]  # fmt: skip
        _write_lines(self.root / "questions.jsonl", rows)
        (self.root / "stored" / "suite.yaml").write_text(FILE_SUITE)
        golden = [{"id": f"q{i}", "question": f"{i} + 1?", "answers": [str(i + 1)]} for i in range(FILE_ROWS)]
        _write_lines(self.root / "stored" / "golden.jsonl", golden)
        start = datetime.fromtimestamp(self.begin / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
        (self.root / "monitor.yaml").write_text(MONITOR.replace("START", start))

    def outputs(self, name: str, right: int) -> Path:
        """A file of stored outputs of which so many are right; files of other names have other digests."""
        path = self.root / f"{name}.jsonl"
        rows = [{"id": f"q{i}", "output": str(i + 1) if i < right else f"no {name}"} for i in range(FILE_ROWS)]
        _write_lines(path, rows)
        return path


def evaluated(count: int) -> list[tuple[str, str, str]]:
    """Model, its variant's address and its suite's file, in the order in which they are evaluated."""
    found = []
    for i in range(count):
        text = i % 3 != 2
        number = i // 3 * 2 + i % 3 + 1 if text else i // 3 + 1
        name, call, suite = ("bot", "answer", "questions.yaml") if text else ("painter", "paint", "pictures.yaml")
        found.append((name, f"call:bot:{call}_{number}", suite))
    return found


def _variants() -> list[str]:
    lines = []
    for i in range(1, _VARIANTS + 1):
        lines += [
            f"\ndef answer_{i}(prompt: str) -> str:\n    return _answer(prompt, {i + 6})\n",
            f"\ndef paint_{i}(seed: int) -> Image.Image:\n    return _paint(seed, {4 * i})\n",
        ]
    return lines


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
