"""A monitor on 1,000,000 logged generations with 10 slices: one day of 100,000 rows, and the month from states alone.

    python benchmarks/monitor_window.py [rows a day, 100000] [days, 10]

Prints the seconds and the peak memory of reading all rows, of each day's window (contract, lengths, latency, cost,
empty and repeated outputs, group rates, univariate drift on all rows; toxicity and embedding drift on a hash sample of
5,000), and of the roll-up with the raw rows removed.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

DAY = 86_400_000
START = 1_777_593_600_000  # 2026-05-01
WORDS = tuple(f"{start}{end}" for start in ("or", "de", "re", "pay", "cus") for end in ("der", "live", "fund", "ment"))
MONITOR = """\
monitor: benchmark
source:
  files: generations
  columns: {id: id, time: time, prompt: prompt, output: output, latency: latency, cost: cost, slices: [language]}
lateness: 1h
baseline: 2d
retention: {raw: 400d}
contract: contract.yaml
checks:
  - {toxicity: {sample: 5000/day}}
  - {drift: {columns: [prompt, output, latency, cost, language, embedding], sample: 5000/day}}
  - {groups: {by: [language], of: [empty, length, latency, toxicity]}}
"""

CONTRACT = """\
contract: benchmark
volume: {min: 100}
expectations:
  - {expect_column_values_to_not_be_null: {column: prompt}}
  - {expect_column_values_to_not_be_null: {column: output, mostly: 0.98}}
  - {expect_column_values_to_be_between: {column: latency, min_value: 0, max_value: 60, mostly: 0.98}}
  - {expect_column_values_to_be_between: {column: cost, min_value: 0}}
  - {expect_column_values_to_be_in_set: {column: slice.language, value_set: [l0, l1, l2, l3, l4, l5, l6, l7, l8, l9]}}
"""


class Peak:
    """Highest resident memory while open, sampled 50 times a second."""

    def __enter__(self) -> Peak:
        self.bytes, self._open = 0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.started, self._cpu = time.perf_counter(), time.process_time()
        self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while self._open:
            self.bytes = max(self.bytes, process.memory_info().rss)
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self.started, time.process_time() - self._cpu
        self._open = False
        self._thread.join()


def write_day(folder: Path, day: int, rows: int) -> None:
    """Write one day's generations as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(day)
    words = np.array(WORDS)

    def texts(mean: int) -> list[str]:
        lengths = random.poisson(mean, rows) + 1
        flat = random.choice(words, int(lengths.sum())).tolist()
        ends = np.cumsum(lengths).tolist()
        return [" ".join(flat[end - size : end]) for end, size in zip(ends, lengths.tolist(), strict=True)]

    outputs = texts(30)
    for row in random.choice(rows, rows // 100, replace=False).tolist():
        outputs[row] = ""
    table = pa.table(
        {
            "id": [f"{day}-{row}" for row in range(rows)],
            "time": START + day * DAY + np.sort(random.integers(0, DAY, rows)),
            "prompt": texts(12),
            "output": outputs,
            "latency": random.lognormal(0, 0.5, rows),
            "cost": random.gamma(2, 0.001, rows),
            "language": random.choice([f"l{number}" for number in range(10)], rows),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"day-{day:02d}.parquet")


def main(rows: int, days: int) -> None:
    """Write the generations, read them, compute every day and roll them up."""
    from evalkit.config import Settings
    from evalkit.monitoring import api

    home = Path(tempfile.mkdtemp(prefix="evalkit-monitor-"))
    try:
        for day in range(days):
            write_day(home / "generations", day, rows)
        (home / "monitor.yaml").write_text(MONITOR)
        (home / "contract.yaml").write_text(CONTRACT)
        database = f"sqlite:///{home / 'evalkit.db'}"
        settings = Settings(home / ".evalkit", database, database, database, advisory=False)
        api.apply(home / "monitor.yaml", settings=settings)
        with Peak() as reading:
            api.backfill(
                "benchmark", "2050-01-01", "2050-01-02", now=START + days * DAY, settings=settings
            )  # reads only
        print(f"read {rows * days:,} rows: {reading.seconds:.1f} s, peak {reading.bytes / 2**20:.0f} MiB")
        for day in range(1, days + 1):
            with Peak() as window:
                report = api.run("benchmark", now=START + day * DAY + DAY // 12, settings=settings)
            numbers = sum(len(found) for result in report.windows for found in result.signals.values())
            size = sum(result.window.rows for result in report.windows)
            print(
                f"day {day}: {size:,} rows, {numbers} signals, {window.seconds:.1f} s ({window.cpu:.1f} s of CPU), "
                f"peak {window.bytes / 2**20:.0f} MiB"
            )
        shutil.rmtree(next((home / ".evalkit" / "monitors").iterdir()) / "raw")
        with Peak() as rolled:
            parts = [
                part
                for check in ("operational", "toxicity", "drift", "groups")
                for part in api.roll("benchmark", "month", check=check, settings=settings)
            ]
        total = max(part.rows for part in parts)
        print(f"month of {total:,} rows from states, raw rows removed: {rolled.seconds:.1f} s")
        stored = sum(file.stat().st_size for file in (home / ".evalkit").rglob("*") if file.is_file())
        print(f"states and database: {(stored + (home / 'evalkit.db').stat().st_size) / 2**20:.1f} MiB")
        print(f"peak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] + ["100000", "10"][len(sys.argv) - 1 :])))
