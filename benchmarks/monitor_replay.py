"""The demo's 60 days under its monitor, over many seeds: what alerted when, and whether anything else did.

Run from the repository's root: ``PYTHONPATH=. python benchmarks/monitor_replay.py --seeds 20``. About 40 s a seed on
one core; exit status 1 where anything is not as `evalkit.demo.monitoring.EXPECTED` says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from evalkit.config import load_settings
from evalkit.demo import monitoring


def main() -> int:
    """Replay each seed in a folder of its own, and print a table over all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    begun: defaultdict[str, Counter[int]] = defaultdict(Counter)
    wrong = 0
    for seed in range(given.first, given.first + given.seeds):
        began = time.process_time()
        with tempfile.TemporaryDirectory(prefix="evalkit-replay-") as scratch:
            folder = Path(scratch)
            (folder / "evalkit.toml").touch()
            settings = load_settings(folder)
            for _ in monitoring.replay(folder, seed, settings):
                pass
            found = monitoring.alerted(settings)
        first: dict[str, int] = {}
        for episode in found:
            first.setdefault(episode.signal, episode.opened)
        for signal, day in first.items():
            begun[signal][day] += 1
        surprises = monitoring.surprises(found)
        wrong += bool(surprises)
        days = ", ".join(f"{signal} {day}" for signal, day in first.items())
        print(f"seed {seed}: {time.process_time() - began:.0f} s of CPU, first alerts: {days}", flush=True)
        for surprise in surprises:
            print(f"  {surprise}", flush=True)
    print("\n| signal | seeds | first alert on day |\n|---|---|---|")
    for expectation in monitoring.EXPECTED:
        _row(expectation.signal, begun.pop(expectation.signal, Counter()))
    for signal, days in begun.items():
        _row(f"{signal} (unexpected)", days)
    print(f"\nas expected: {given.seeds - wrong} of {given.seeds}")
    return 1 if wrong else 0


def _row(signal: str, days: Counter[int]) -> None:
    when = ", ".join(f"{day} ({count})" for day, count in sorted(days.items()))
    print(f"| {signal} | {sum(days.values())} | {when} |")


if __name__ == "__main__":
    sys.exit(main())
