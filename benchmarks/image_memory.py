"""Peak memory and seconds of FID, KID, precision and recall on the states of two float32 feature sets.

    python -m benchmarks.image_memory [--rows 50000] [--width 2048] [--shard 5000] [METRIC ...]

The generated and the reference set are stored on disk in shards and read by reference, as a run does; the peak is
the process's resident maximum, the interpreter and its libraries included.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import metrics
from metrics.base import Batch, Metric, State


def _peak() -> float:
    """Resident maximum so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def write_shards(prefix: Path, shape: tuple[int, int], shard: int, scale: float) -> list[Path]:
    """Write float32 features, correlated and mostly non-negative, a shard at a time."""
    rows, width = shape
    mixing = np.random.default_rng(99).standard_normal((width, width), dtype=np.float32) / np.float32(np.sqrt(width))
    rng = np.random.default_rng(len(prefix.name))
    paths = []
    for start in range(0, rows, shard):
        drawn = rng.standard_normal((min(shard, rows - start), width), dtype=np.float32)
        path = Path(f"{prefix}-{start:08d}.npy")
        np.save(path, np.maximum(drawn @ mixing + np.float32(0.1), 0) * np.float32(scale))
        paths.append(path)
    return paths


def state_of(metric: Metric, paths: list[Path]) -> State:
    """The merged state of all shards."""
    state = metric.init()
    for path in paths:
        rows = np.load(path)
        names = [f"{path.stem}-{i}" for i in range(len(rows))]
        batch = Batch(sample_ids=names, columns={"features": rows}, source=str(path))
        state = metric.update(state, batch)
    return state


def main() -> None:
    """Run the metrics in turn in this process and print each one's time and the peak so far."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("metrics", nargs="*", metavar="METRIC", help="names; fid, kid, precision and recall if none")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--shard", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [
            write_shards(Path(folder, name), (given.rows, given.width), given.shard, scale)
            for name, scale in (("real", 1.0), ("generated", 1.1))
        ]
        print(f"two sets of {given.rows} x {given.width} float32 written: peak {_peak():.2f} GB")
        for name in given.metrics or ("fid", "kid", "precision", "recall"):
            plain = metrics.get(name)
            reference, generated = (state_of(plain, paths) for paths in sets)
            started = time.perf_counter()
            found = metrics.get(name, reference=reference).compute(generated, load=np.load)
            seconds = time.perf_counter() - started
            print(f"{name}: {found['value'].value:.6g} in {seconds:.1f} s, peak {_peak():.2f} GB", flush=True)


if __name__ == "__main__":
    main()
