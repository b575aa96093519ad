"""Random faults over the whole workload: does anything get lost, happen twice, come out wrong, or stay stuck?

An evaluation with a judge, a monitor on a schedule with two workers, promotions through the server, versions that are
registered and then evaluated by the workers, and ingest run at once; one fault after another strikes, each from a seed
of its own. After each the rows, promotions and the audit are checked, and the time is taken until all flows go on;
after each series, when all is at rest, everything. docs/faults.md says what is done and what must hold.

    python -m benchmarks.random_faults --database sqlite|postgresql [--faults 100] [--seed 0] [--resume FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.faults.series import Load, Outcome, run_series
from benchmarks.faults.site import undisturbed

END, REFERENCE = "end of series", "reference"


def table(lines: list[dict[str, Any]]) -> str:
    """One line for each kind of fault, and one for the ends of the series."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        kinds[line["kind"]].append(line)
    told = [f"{'kind':26} {'faults':>6} {'recovered':>9} {'median s':>8} {'max s':>6} {'violations':>10}"]
    for kind in sorted(kinds, key=lambda name: (name == END, name)):
        found = kinds[kind]
        times = [one["seconds"] for one in found if one["seconds"] is not None]
        middle, most = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")
        wrong = sum(len(one["violations"]) for one in found)
        told.append(f"{kind:26} {len(found):6} {len(times):9} {middle:>8} {most:>6} {wrong:10}")
    return "\n".join(told)


def main() -> int:
    """Run what is left to run, print the table; 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), required=True)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--series", type=int, default=25, help="faults over one workload")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds until something counts as stuck")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this kind; repeat for more")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="a line of JSON for each fault; goes on after them")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keeps what the processes said")
    given = parser.parse_args()
    lines = _known(given.resume, given.database, given.seed)
    done = 1 + max((line["number"] for line in lines if line["kind"] not in {END, REFERENCE}), default=-1)
    load = Load(patience=given.patience)
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "OMP_NUM_THREADS": "1"}
    reference = next((line["reference"] for line in lines if line["kind"] == REFERENCE), None)
    if reference is None:
        reference = undisturbed(load.versions, load.size)
        _keep(given.resume, {"database": given.database, "seed": given.seed, "kind": REFERENCE, "reference": reference})
    lines = [line for line in lines if line["kind"] != REFERENCE]

    def tell(outcome: Outcome) -> None:
        line = {"database": given.database, "seed": given.seed, "at": round(time.time()), **asdict(outcome)}
        lines.append(json.loads(json.dumps(line)))
        _keep(given.resume, line)
        seconds = "not in time" if outcome.seconds is None else f"{outcome.seconds:.1f} s"
        print(f"{outcome.number:4} {outcome.kind}: {outcome.detail}; {seconds}", flush=True)
        for violation in outcome.violations:
            print(f"     VIOLATION {violation}", flush=True)

    for start in range(done, given.faults, given.series):
        numbers = range(start, min(start + given.series, given.faults))
        run_series(
            given.database,
            given.seed,
            numbers,
            load=load,
            reference=reference,
            tell=tell,
            only=tuple(given.only),
            logs=given.logs and given.logs / f"{given.database}-{given.seed}-{start}",
        )
    print(table(lines))
    return int(any(line["violations"] for line in lines))


def _keep(file: Path | None, line: dict[str, Any]) -> None:
    if file is not None:
        cut = file.exists() and not file.read_bytes().endswith(b"\n") and file.stat().st_size > 0
        with file.open("a") as stream:
            stream.write("\n" * cut + json.dumps(line) + "\n")


def _known(file: Path | None, database: str, seed: int) -> list[dict[str, Any]]:
    if file is None or not file.exists():
        return []
    # The last line may have been cut by whatever ended the script
    found = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return [line for line in found if (line["database"], line["seed"]) == (database, seed)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that disks are unmounted
    sys.exit(main())
