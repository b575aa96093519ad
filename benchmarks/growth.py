"""How time, memory and storage grow: three sizes of each, a power law through them, and what that gives further on.

    PYTHONPATH=. python -m benchmarks.growth [--what samples|models|versions|signals|workers] [--sizes 1,2,4]
        [--postgres] [--json FILE]

Every size runs in a process and a folder of its own. The exponent is the slope of the least-squares line through the
logarithms; its spread is the lowest and highest slope between neighbouring sizes. With ``--postgres`` `signals` and
`workers` run on a PostgreSQL server of their own instead of SQLite, and signals also in partitions by month.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.postgres import server

SIZES: Mapping[str, Sequence[int]] = {
    "samples": (1_000, 4_000, 16_000),
    "models": (20, 80, 320),
    "versions": (100, 400, 1_600),
    "signals": (100_000, 300_000, 900_000),
    "workers": (1, 2, 4),
}
FURTHER = {"samples": 1_000_000, "models": 10_000, "versions": 50_000, "signals": 100_000_000, "workers": 16}


@dataclass(frozen=True)
class Fit:
    """A power law ``value = factor * size ** exponent``, and the lowest and highest slope between neighbours."""

    exponent: float
    lowest: float
    highest: float
    factor: float

    def at(self, size: float) -> float:
        """What it gives at a size."""
        return self.factor * size**self.exponent


def fit(points: Sequence[tuple[float, float]]) -> Fit | None:
    """Fit positive values; None where one is zero or less."""
    if any(value <= 0 for _, value in points):
        return None
    logs = [(math.log(size), math.log(value)) for size, value in points]
    mean_x, mean_y = (sum(pair[i] for pair in logs) / len(logs) for i in (0, 1))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    between = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(logs)]
    return Fit(slope, min(between), max(between), math.exp(mean_y - slope * mean_x))


def measure(what: str, size: int, *, postgres: bool = False) -> dict[str, float]:
    """Run one size in a process of its own; its peak resident set is among the numbers."""
    database = server() if postgres and what in {"signals", "workers"} else nullcontext("")
    with tempfile.TemporaryDirectory(prefix="growth-") as folder, database as url:
        command = [sys.executable, "-m", "benchmarks.growth_runs", what, str(size), folder, *([url] if url else [])]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "EVALKIT_"))}
        environment = {**inherited, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Measure, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=sorted(SIZES), help="one of them; all by default")
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")], help="other sizes")
    parser.add_argument("--postgres", action="store_true", help="signals and workers on PostgreSQL")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report = {}
    for what in [given.what] if given.what else list(SIZES):
        sizes = given.sizes or SIZES[what]
        rows = []
        for size in sizes:
            rows.append(measure(what, size, postgres=given.postgres))
            print(f"{what} {size:,}: {json.dumps(rows[-1])}", file=sys.stderr, flush=True)
        report[what] = {"sizes": list(sizes), "rows": rows, "fits": _tell(what, sizes, rows)}
    if given.json:
        given.json.write_text(json.dumps(report, indent=1))
    return 0


def _tell(what: str, sizes: Sequence[int], rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float] | None]:
    shown = " | ".join(f"{size:,}" for size in sizes)
    print(f"\n| {what} | {shown} | exponent (spread) | at {FURTHER[what]:,} |\n|{'---|' * (len(sizes) + 3)}")
    fits: dict[str, dict[str, float] | None] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        found = fit(list(zip(sizes, values, strict=True)))
        fits[name] = asdict(found) if found else None
        law = f"{found.exponent:.2f} ({found.lowest:.2f} to {found.highest:.2f})" if found else ""
        further = f"{found.at(FURTHER[what]):,.3g}" if found else ""
        print(f"| {name} | {' | '.join(f'{value:,.3g}' for value in values)} | {law} | {further} |", flush=True)
    return fits


if __name__ == "__main__":
    raise SystemExit(main())
