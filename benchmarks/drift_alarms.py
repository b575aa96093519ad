"""Alarms without drift, and power, of a table of 20 columns at several sizes: ours and Evidently's defaults in one run.

Columns are normal, drawn anew in every repeat. An alarm is any column that drifted. Power: one column shifted by 0.3
standard deviations, and whether that column is found. Evidently's `DataDriftPreset` takes seconds a table, so that it
has repeats of its own; it needs evidently 0.7.23 under --peers.

    PYTHONPATH=. python benchmarks/drift_alarms.py [--repeats 500] [--peer-repeats 50] [--peers FOLDER]
                                                   [--sizes 5000/50 ...] [--tests ks wasserstein]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metrics.drift import table_drift
from metrics.statistics import clopper_pearson_interval

SIZES = ((5000, 50), (5000, 200), (800, 200), (5000, 2000))
COLUMNS = 20
SHIFT = 0.3

Table = dict[str, Any]
Judge = Callable[[Table, Table], set[str]]


def draw(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Table:
    """Normal columns, the first one shifted."""
    table = {f"c{i}": rng.normal(size=rows) for i in range(COLUMNS)}
    table["c0"] = table["c0"] + shift
    return table


def ours(test: str) -> Judge:
    """Columns that `table_drift` says drifted."""
    return lambda reference, current: set(table_drift(reference, current, tests=test).drifted)


def evidently(peers: Path | None) -> Judge:
    """Columns that `DataDriftPreset` says drifted, at its defaults."""
    if peers is not None:
        sys.path.append(str(peers))
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    def drifted(reference: Table, current: Table) -> set[str]:
        sides = (Dataset.from_pandas(pd.DataFrame(side)) for side in (current, reference))
        tests = Report([DataDriftPreset()], include_tests=True).run(*sides).dict()["tests"]
        settings = [(test["metric_config"]["params"], test["status"]) for test in tests]
        return {str(given["column"]) for given, status in settings if "column" in given and status == "FAIL"}

    return drifted


def alarms(judge: Judge, sizes: tuple[int, int], repeats: int) -> tuple[float, float]:
    """Share of repeats without drift that raise an alarm, and its upper 95 % bound."""
    rng = np.random.default_rng(sum(sizes))
    count = sum(bool(judge(draw(rng, sizes[0]), draw(rng, sizes[1]))) for _ in range(repeats))
    return count / repeats, clopper_pearson_interval(count, repeats, confidence=0.9)[1]


def power(judge: Judge, sizes: tuple[int, int], repeats: int) -> float:
    """Share of repeats in which the shifted column is found."""
    rng = np.random.default_rng(sum(sizes) + 1)
    return sum("c0" in judge(draw(rng, sizes[0]), draw(rng, sizes[1], SHIFT)) for _ in range(repeats)) / repeats


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--peer-repeats", type=int, default=50)
    parser.add_argument("--sizes", nargs="+", default=[f"{m}/{n}" for m, n in SIZES], help="reference/current")
    parser.add_argument("--tests", nargs="+", default=["ks", "wasserstein"])
    parser.add_argument("--peers", type=Path, default=os.environ.get("EVALKIT_PEERS"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    judges = {f"evalkit {test}": (ours(test), given.repeats) for test in given.tests}
    if given.peer_repeats:
        judges["Evidently"] = (evidently(given.peers), given.peer_repeats)
    print(f"{'reference/current':20}{'judge':22}{'repeats':>8}{'any alarm':>11}{'at most':>9}{'power':>8}")
    rows = []
    for pair in given.sizes:
        sizes = int(pair.split("/")[0]), int(pair.split("/")[1])
        for name, (judge, repeats) in judges.items():
            share, bound = alarms(judge, sizes, repeats)
            found = power(judge, sizes, repeats)
            rows.append([*sizes, name, repeats, share, bound, found])
            print(f"{pair:20}{name:22}{repeats:8}{share:11.1%}{bound:9.1%}{found:8.1%}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
