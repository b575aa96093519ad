"""Throughput of the Ray engine: two workers against one, and against the local engine, each with one thread.

Two workloads: a model that waits for an endpoint (the workers' waiting overlaps whatever the machine), and one that
computes (they share its cores). Runs alternate; printed are samples a second of an evaluation with the spread over
repeats, and whether the estimates are the local engine's. Starting Ray and its workers is timed apart.

    python benchmarks/ray_workers.py [--samples 2048] [--repeats 3] [--call waits|computes]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.engines.base import Engine

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ART = """
import time
import numpy as np

def _image(request):
    return {"image": np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)}

def waits(requests):
    time.sleep(0.01 * len(requests))
    return [_image(request) for request in requests]

def computes(requests):
    made = []
    for request in requests:
        square = np.random.default_rng(request.seed).normal(size=(160, 160))
        for _ in range(12):
            square = np.tanh(square @ square / 160)
        made.append(_image(request))
    return made
"""
SUITE = """
suite: throughput
tasks:
  images:
    reference: real.npz
    n: {samples}
    generate: {{batch_size: 32}}
    extractor: pixels
    score: [fid, kid]
"""
MEASURED = {"latency", "throughput", "peak_memory"}


ENGINES = {"local": None, "ray, 1 worker": 1, "ray, 2 workers": 2}


def main() -> None:
    """Run the workloads that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--call", choices=["waits", "computes"], action="append")
    options = parser.parse_args()
    for name in THREADS:
        os.environ[name] = "1"
    for call in options.call or ["waits", "computes"]:
        compare(call, options.samples, options.repeats)


def compare(call: str, samples: int, repeats: int) -> None:
    """Alternate between the engines and print what each one made in a second, and what starting Ray took."""
    from evalkit.engines.base import open_engine

    rates: dict[str, list[float]] = {name: [] for name in ENGINES}
    numbers: dict[str, set[str]] = {name: set() for name in ENGINES}
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, samples)
        for repeat in range(repeats):
            for name, workers in ENGINES.items():
                begun = time.perf_counter()
                with open_engine("local" if workers is None else "ray", workers=workers) as engine:
                    engine.start()
                    evaluate(root, engine, call, f"{name} {repeat} warm", 64 * (workers or 1))
                    if workers is not None:
                        starts.append(time.perf_counter() - begun)
                    before = time.perf_counter()
                    numbers[name].add(evaluate(root, engine, call, f"{name} {repeat}", samples))
                    rates[name].append(samples / (time.perf_counter() - before))
                    print(f"    {call}, {name}: {rates[name][-1]:.1f} samples/s", flush=True)
    print(f"{call}: {samples} samples, {repeats} repeats; Ray and its workers up in {statistics.median(starts):.1f} s")
    base = statistics.median(rates["ray, 1 worker"])
    for name, found in rates.items():
        same = "same numbers" if numbers[name] == numbers["local"] else "OTHER NUMBERS"
        print(
            f"  {name:15} {statistics.median(found):7.1f} samples/s [{min(found):.1f}, {max(found):.1f}]"
            f"  {statistics.median(found) / base:.2f} of one worker  {same}"
        )


def prepare(root: Path, samples: int) -> None:
    """Write the model, the suite and the real images."""
    import numpy as np

    (root / "art.py").write_text(ART)
    for n in (64, 128, samples):
        (root / f"{n}.yaml").write_text(SUITE.format(samples=n))
    images = np.random.default_rng(1).integers(0, 256, (512, 32, 32, 3), dtype=np.uint8)
    np.savez(root / "real.npz", images=images)


def evaluate(root: Path, engine: Engine, call: str, home: str, samples: int) -> str:
    """Evaluate into a store of its own; returns the estimates."""
    from evalkit.generators.process import GeneratorProcess
    from evalkit.runner.engine import score
    from evalkit.runner.subjects import ShardWriter, Subject
    from registry.suite import Suite

    @contextlib.contextmanager
    def opened(task: object) -> Iterator[ShardWriter]:
        with GeneratorProcess({"adapter": "callable", "call": f"art:{call}", "settings": {}}, cwd=root) as process:
            yield process

    subject = Subject("art", "art", f"sha256:{call}", {"adapter": "callable"}, (), opened)
    evaluation, _ = score(subject, Suite.load(root / f"{samples}.yaml"), root / home, engine=engine)
    return str(
        [e.to_json() for e in (found.estimate for found in evaluation.estimates if found.metric not in MEASURED)]
    )


if __name__ == "__main__":
    main()
