"""Does the interval of the two-stage hallucination rate cover, and how much tighter is it than the labels alone?

Each day has 2,000 answers under a cheap judge, 200 of them judged by a language model, 20 of those labelled by a
person; the days of a trailing window are pooled. `weighted` draws what the language model gets with a floor for a rare
slice that hallucinates twice as often, so that the draws have unequal weights. Beside it the Wilson interval of the
same labels, the general two-phase estimate on them, and PPI++ on the last day's 20 labels alone.

    PYTHONPATH=. python benchmarks/hallucination_intervals.py [--draws 1000] [--days 14] [--rates 0.03 0.06 0.1 0.2]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.base import Estimate
from metrics.statistics import two_phase_mean
from metrics.statistics.post_stratified import two_stage_rate
from metrics.statistics.two_phase import Drawn

Numbers = NDArray[np.float64]
ANSWERS, JUDGED, LABELLED = 2000, 200, 20
JUDGES = {"good": (0.9, 0.97), "poor": (0.6, 0.9)}
"""Sensitivity and specificity of the language model."""


@dataclass(frozen=True)
class Window:
    """Everything, and the draws from it; `truth` is the population's rate."""

    cheap: Numbers
    judged: Drawn
    labels: Drawn
    truth: float


def window(rng: np.random.Generator, rate: float, days: int, judge: str, weighted: bool) -> Window:
    """One trailing window of a system that hallucinates at `rate`."""
    n = ANSWERS * days
    slices = rng.random(n) < 0.05
    chance = np.where(slices, 2 * rate, rate * (1 - 0.1) / 0.95) if weighted else np.full(n, rate)
    truth = rng.random(n) < chance
    cheap = 1 / (1 + np.exp(-rng.normal(np.where(truth, 0.5, -1.5), 1.0)))
    sensitivity, specificity = JUDGES[judge]
    model = rng.random(n) < np.where(truth, sensitivity, 1 - specificity)
    share = np.where(slices, 0.25, (1 - 0.25 * 0.05 / 0.1) / 9.5 if weighted else 0.1) if weighted else np.full(n, 0.1)
    keys = rng.random(n) / share
    rows = np.argsort(keys)[: JUDGED * days]
    labelled = rng.choice(len(rows), LABELLED * days, replace=False)
    return Window(
        cheap,
        Drawn(rows, model[rows] * 1.0, share[rows]),
        Drawn(rows[labelled], truth[rows[labelled]] * 1.0, share[rows[labelled]]),
        rate,
    )


def last_day(w: Window) -> Estimate | None:
    """PPI++ with a normal interval on 20 labels, whatever their number; None where all labels fit the verdicts."""
    rows, labels = np.asarray(w.labels.rows)[:LABELLED], np.asarray(w.labels.values)[:LABELLED]
    verdicts = dict(zip(np.asarray(w.judged.rows).tolist(), np.asarray(w.judged.values).tolist(), strict=True))
    on_labels = np.array([verdicts[int(row)] for row in rows])
    rest = np.asarray(w.judged.values)[:JUDGED]
    spread = np.concatenate([on_labels, rest]).var(ddof=1)
    shared = np.mean((labels - labels.mean()) * (on_labels - on_labels.mean()))
    power = float(np.clip(shared / ((1 + LABELLED / JUDGED) * spread), 0, 1)) if spread > 0 else 0.0
    value = float(labels.mean() + power * (rest.mean() - on_labels.mean()))
    error = np.sqrt((labels - power * on_labels).var(ddof=1) / LABELLED + power**2 * rest.var(ddof=1) / JUDGED)
    return Estimate(value, value - 1.96 * float(error), value + 1.96 * float(error), n=LABELLED)


def estimates(w: Window) -> dict[str, Estimate | None]:
    """Every way's interval of one window."""
    found = two_stage_rate(w.cheap, w.judged, w.labels)
    return {
        "two-stage": found.estimate,
        "Wilson": found.labels_alone,
        "two-phase mean": two_phase_mean(w.cheap, w.labels, middle=w.judged, bounds=(0.0, 1.0)).estimate,
        "PPI++, one day": last_day(w),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.03, 0.06, 0.1, 0.2])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{'window':20}{'rate':>6}  " + "".join(f"{name:>22}" for name in ("two-stage", "Wilson", "two-phase mean")))
    rows = []
    for judge, weighted in (("good", False), ("poor", False), ("good", True)):
        for rate in given.rates:
            rng = np.random.default_rng(int(1000 * rate))
            hits: dict[str, list[bool]] = {}
            widths: dict[str, list[float]] = {}
            for _ in range(given.draws):
                w = window(rng, rate, given.days, judge, weighted)
                for name, e in estimates(w).items():
                    if e is None or e.low is None or e.high is None:
                        continue
                    hits.setdefault(name, []).append(e.low <= w.truth <= e.high)
                    widths.setdefault(name, []).append(e.high - e.low)
            label = f"{judge} judge{', weighted' if weighted else ''}"
            cells = {n: (float(np.mean(hits[n])), float(np.mean(widths[n]))) for n in hits}
            rows.append([label, rate, cells])
            print(
                f"{label:20}{rate:6.0%}  "
                + "".join(f"  {n}: {c:.1%} {w:.4f}" for n, (c, w) in cells.items())
                + f"  width / Wilson's {cells['two-stage'][1] / cells['Wilson'][1]:.2f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
