"""Peak memory of whole evaluations at two sizes, images and texts: registration, `evaluate`, MLflow's run, everything.

    python -m benchmarks.engine_memory [images] [texts] [--sizes SMALL LARGE] [--threads 2] [--json FILE]

Images are 8 x 8 PNG in a Parquet file of outputs, compared with as many reference images by FID, KID, precision and
recall on 2,048 features of a fixed random projection (5,000 and 50,000 by default). Texts are written by a GPT-2 of
one layer, made on the spot, and scored by token F1 and ROUGE; a second task asks the same model for the perplexity of
as many given texts (1,000 and 100,000). Each size runs in a process of its own.

The peak is the evaluating process's resident maximum plus the highest one of a child of it (the generator's process),
interpreter and libraries included. Exits with 1 where the larger size takes more than 1.15 times the smaller.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GROWTH = 1.15
SIZES = {"images": (5_000, 50_000), "texts": (1_000, 100_000)}
WIDTH = 2048
SIDE = 8
CHUNK = 10_000
LETTERS = "abcdefghijklmnopqrstuvwxyz "

IMAGE_SUITE = """
suite: images-memory
tasks:
  samples:
    outputs: generated.parquet
    columns: {id: id, image: image}
    reference: real.parquet
    extractor: projection.pt2
    score: [fid, kid, precision, recall]
"""
TEXT_SUITE = """
suite: texts-memory
tasks:
  answers:
    data: questions.parquet
    columns: {id: id, prompt: question, expected: answer}
    generate: {max_new_tokens: 4, batch_size: 256}
    score: [token_f1, rouge_l, rouge1]
  documents:
    data: documents.parquet
    columns: {id: id, text: text}
    generate: {batch_size: 256}
    score: [perplexity]
"""


def _png(pixels: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write_images(path: Path, rows: int, seed: int, contrast: float) -> None:
    """Write a Parquet file of images, smooth patterns with noise, a chunk at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(1).standard_normal((12, SIDE, SIDE, 3))
    schema = pa.schema([("id", pa.string()), ("image", pa.binary())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, CHUNK):
            n = min(CHUNK, rows - start)
            drawn = np.tensordot(rng.standard_normal((n, 12)) * contrast, patterns, axes=1) * 12
            pixels = np.clip(drawn + rng.standard_normal(drawn.shape) * 20 + 128, 0, 255).astype(np.uint8)
            ids = [f"{start + i}" for i in range(n)]
            writer.write_table(pa.table({"id": ids, "image": [_png(one) for one in pixels]}, schema=schema))


def write_projection(path: Path) -> None:
    """Export the extractor: a fixed random map of the pixels to 2,048 features, cut at 0."""
    import torch

    class Projection(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.map = torch.nn.Linear(SIDE * SIDE * 3, WIDTH)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.map(images.float().flatten(1) / 64 - 2))

    example = torch.zeros(4, 3, SIDE, SIDE, dtype=torch.uint8)
    program = torch.export.export(Projection().eval(), (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, path)


def write_language_model(folder: Path) -> None:
    """Save a GPT-2 of one layer over letters with its tokenizer."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    letters = ["<end>", *LETTERS, "?"]
    inner = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", bos_token="<end>", unk_token="?")
    size = {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = GPT2Config(vocab_size=len(letters), bos_token_id=0, eos_token_id=0, initializer_range=0.5, **size)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_texts(folder: Path, rows: int) -> None:
    """Write questions with answers, and documents, a chunk at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list(LETTERS[:-1]), size)) for size in rng.integers(1, 6, 300)]

    def text(longest: int) -> str:
        return " ".join(rng.choice(words, rng.integers(2, longest)))

    questions, documents = folder / "questions.parquet", folder / "documents.parquet"
    asked = pa.schema([("id", pa.string()), ("question", pa.string()), ("answer", pa.string())])
    given = pa.schema([("id", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(questions, asked) as first, pq.ParquetWriter(documents, given) as second:
        for start in range(0, rows, CHUNK):
            ids = [f"row-{i}" for i in range(start, min(start + CHUNK, rows))]
            columns = {"id": ids, "question": [text(5) for _ in ids], "answer": [text(3) for _ in ids]}
            first.write_table(pa.table(columns, schema=asked))
            second.write_table(pa.table({"id": ids, "text": [text(8) for _ in ids]}, schema=given))


def prepare(kind: str, folder: Path, rows: int) -> None:
    """Write a suite, what it reads and the model that it judges."""
    if kind == "images":
        write_images(folder / "real.parquet", rows, 11, 1.0)
        write_images(folder / "generated.parquet", rows, 22, 1.1)
        write_projection(folder / "projection.pt2")
        (folder / "suite.yaml").write_text(IMAGE_SUITE)
    else:
        write_texts(folder, rows)
        write_language_model(folder / "model")
        (folder / "suite.yaml").write_text(TEXT_SUITE)


class Watch:
    """Highest resident memory of this process by stage, and of its children, looked at every 20 ms."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.children = 0.0
        self.stage = "start"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.stages[self.stage] = max(self.stages.get(self.stage, 0.0), _status(os.getpid(), "VmRSS"))
            # a child's ru_maxrss would begin with its parent's size at the fork
            self.children = max([self.children, *(_status(pid, "VmHWM") for pid in _children())])

    def stop(self) -> None:
        """End the looking."""
        self._done.set()
        self._thread.join()


def _children() -> list[int]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += [int(pid) for pid in (task / "children").read_text().split()]
        except OSError:  # the thread has ended
            continue
    return found


def _status(pid: int, key: str) -> float:
    """An entry of a process's status in MB; 0 where it has ended, or has not begun its own program yet."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        if pid != os.getpid() and Path(f"/proc/{pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes():
            return 0.0
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:")), 0.0)


def evaluate(folder: Path, threads: int) -> dict[str, Any]:
    """Register and evaluate what lies in a folder; peak memory in MB, seconds, and the values."""
    import torch

    import evalkit

    torch.set_num_threads(threads)
    os.chdir(folder)
    model = "model" if (folder / "model").is_dir() else "generated.parquet"
    watch = Watch()

    def follow(progress: Any) -> None:
        watch.stage = f"{progress.task} {progress.stage}".strip()

    version = evalkit.register("memory", model=model, suite="suite.yaml")
    watch.stage = "plan"
    started = time.perf_counter()
    evaluation = evalkit.evaluate(version, progress=follow)
    seconds = time.perf_counter() - started
    watch.stop()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "peak_mb": own + watch.children,
        "own_mb": own,
        "child_mb": watch.children,
        "seconds": seconds,
        "stages_mb": {name: round(peak) for name, peak in watch.stages.items()},
        "values": {one.name: one.estimate.value for one in evaluation.estimates},
    }


def _in_process(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.engine_memory", *arguments]
    # the collector of telemetry would be a thread that comes and goes
    env = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout


def measured(kind: str, rows: int, threads: int) -> dict[str, Any]:
    """`evaluate` of so many rows in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        _in_process("--prepare", kind, folder, str(rows))
        printed = _in_process("--evaluate", folder, "--threads", str(threads))
    found: dict[str, Any] = {"kind": kind, "rows": rows, **json.loads(printed.splitlines()[-1])}
    return found


def compared(kind: str, sizes: tuple[int, ...], threads: int, say: Callable[[str], None]) -> tuple[float, list[Any]]:
    """Measure the sizes; the largest one's peak over the smallest one's, and all measurements."""
    found = []
    for rows in sizes:
        found.append(measured(kind, rows, threads))
        one = found[-1]
        say(
            f"{kind}, {rows:,}: peak {one['peak_mb']:,.0f} MB ({one['own_mb']:,.0f} MB itself, "
            f"{one['child_mb']:,.0f} MB the generator's process), {one['seconds']:,.0f} s"
        )
        say("   " + ", ".join(f"{stage} {peak:,}" for stage, peak in one["stages_mb"].items()))
    ratio = found[-1]["peak_mb"] / found[0]["peak_mb"]
    say(f"{kind}: ratio {ratio:.3f}, at most {GROWTH} is wanted")
    return ratio, found


def main() -> int:
    """Measure both kinds; return 1 where one of them grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="images or texts; both if none")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--prepare", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        kind, folder, rows = given.prepare
        prepare(kind, Path(folder), int(rows))
        return 0
    if given.evaluate:
        print(json.dumps(evaluate(given.evaluate, given.threads)))
        return 0
    ratios, found = {}, []
    for kind in given.kinds or SIZES:
        sizes = tuple(given.sizes or SIZES[kind])
        ratios[kind], some = compared(kind, sizes, given.threads, lambda line: print(line, flush=True))
        found += some
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if max(ratios.values()) > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
