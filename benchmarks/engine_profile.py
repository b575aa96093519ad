"""Where the time of two evaluations goes, and what decoding ahead of the network saves.

    python -m benchmarks.engine_profile [--images 400] [--side 512] [--texts 400] [--json FILE]

Images are PNG of `side` x `side` pixels in a Parquet file, compared by FID on the features of a small convolutional
network, once with threads that decode ahead and once without; texts are written by a GPT-2 of one layer in the order of
their lengths and, for comparison, in the order of the data. Weights are random: speed is that of the architecture.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engine_memory import write_language_model

SUITE = """
suite: images-profile
tasks:
  samples:
    outputs: generated.parquet
    columns: {id: id, image: image}
    reference: real.parquet
    extractor: network.pt2
    score: [fid]
"""


def write_pictures(path: Path, rows: int, side: int, seed: int) -> None:
    """Write smooth pictures with noise, so that PNG has something to unpack."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8)
    encoded = []
    for small in coarse:
        picture = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, np.int16) + rng.integers(-6, 7, (side, side, 3))
        buffer = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
        encoded.append(buffer.getvalue())
    pq.write_table(pa.table({"id": [str(i) for i in range(rows)], "image": encoded}), path)


def write_network(path: Path, side: int) -> None:
    """Export a convolutional network with 256 features."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            steps: list[nn.Module] = []
            for before, after in ((3, 16), (16, 32), (32, 64), (64, 256)):
                steps += [nn.Conv2d(before, after, 3, stride=2), nn.ReLU()]
            self.body = nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten())

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.body(images.float() / 255)
            return features

    example = torch.zeros(4, 3, side, side, dtype=torch.uint8)
    program = torch.export.export(Network().eval(), (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, path)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Prepare batches in so many threads; None leaves the usual number."""
    from evalkit.extractors import batched

    usual = batched.MOST_THREADS
    batched.MOST_THREADS = usual if count is None else count
    try:
        yield
    finally:
        batched.MOST_THREADS = usual


def images(folder: Path, ahead: bool) -> tuple[float, str, list[Any]]:
    """Seconds of an evaluation, its profile as a table, and its numbers."""
    from rich.console import Console

    from evalkit.cli.profile import profile_table
    from evalkit.runner import file_subject, score
    from evalkit.runner.profile import recording
    from registry.suite import Suite

    suite = Suite.load(folder / "suite.yaml")
    with tempfile.TemporaryDirectory() as home, threads(None if ahead else 0), recording() as profiler:
        evaluation, _ = score(file_subject(), suite, Path(home))
    console = Console(width=110, file=io.StringIO())
    console.print(profile_table(profiler))
    assert isinstance(console.file, io.StringIO)
    return profiler.seconds, console.file.getvalue(), [one.estimate.value for one in evaluation.estimates]


def texts(folder: Path, rows: int, by_length: bool) -> float:
    """Processor seconds to continue prompts of very different lengths."""
    import random

    from evalkit.generators.base import Request
    from evalkit.generators.causal_lm import CausalLanguageModel
    from evalkit.generators.shards import make_shard

    chance = random.Random(0)
    prompts = ["".join(chance.choices("abcdefgh ", k=chance.choice((3, 8, 50)))) for _ in range(rows)]
    model = CausalLanguageModel.from_description({"path": str(folder / "model")})
    model.buckets_by_length = by_length
    requests = [Request(str(i), i, i, prompt) for i, prompt in enumerate(prompts)]
    started = time.process_time()
    make_shard(model, requests, {"max_new_tokens": 8}, folder / "shard.parquet")
    return time.process_time() - started


def main() -> None:
    """Print profiles and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, seed in (("real.parquet", 1), ("generated.parquet", 2)):
            write_pictures(folder / file, given.images, given.side, seed)
        write_network(folder / "network.pt2", given.side)
        write_language_model(folder / "model")
        (folder / "suite.yaml").write_text(SUITE)
        values = []
        for _ in range(given.repeats):
            for what, ahead in (("in turn", False), ("ahead", True)):
                seconds, table, numbers = images(folder, ahead)
                found.setdefault(what, []).append(seconds)
                values.append(numbers)
            for what, by_length in (("by length", True), ("in order", False)):
                found.setdefault(what, []).append(texts(folder, given.texts, by_length))
        print(table)
    assert all(numbers == values[0] for numbers in values), "decoding ahead changed a number"
    middle = {what: statistics.median(seconds) for what, seconds in found.items()}
    cores = len(os.sched_getaffinity(0))
    print(f"{given.images} images of {given.side} x {given.side} and as many of the reference, {cores} cores:")
    print(
        f"  in turn {middle['in turn']:.2f} s, decoded ahead {middle['ahead']:.2f} s, the same numbers to the last bit"
    )
    print(f"{given.texts} prompts of 3 to 50 tokens: in order {middle['in order']:.2f} processor seconds, ", end="")
    print(f"by length {middle['by length']:.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
