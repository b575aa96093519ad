"""Does the hallucination rate of a monitor hold where people label doubtful answers more often than others?

Fourteen days of 2,000 answers under a cheap judge, one in ten of them judged by a language model (sensitivity 0.9,
specificity 0.97). People label what the cheap judge calls wrong with a chance of 0.4, the rest with 0.06. Beside it
the same labels without their chances, as if all had been drawn alike.

    PYTHONPATH=. python benchmarks/label_chances.py [--windows 400] [--rates 0.03 0.06 0.1 0.2]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from evalkit.monitoring.checks.hallucination import LABEL_CHANCE, labelled_rate

ANSWERS, JUDGED = 14 * 2000, 0.1
FAVOURED, OTHERS = 0.4, 0.06
SENSITIVITY, SPECIFICITY = 0.9, 0.97
CONFIDENCE = 0.95


def window(rng: np.random.Generator, rate: float) -> dict[str, Any]:
    """What the check keeps of a trailing window."""
    truth = rng.random(ANSWERS) < rate
    cheap = rng.random(ANSWERS) < np.where(truth, 0.7, 0.15)
    verdict = rng.random(ANSWERS) < np.where(truth, SENSITIVITY, 1 - SPECIFICITY)
    asked = rng.random(ANSWERS) < JUDGED
    chances = np.where(cheap, FAVOURED, OTHERS)
    labelled = rng.random(ANSWERS) < chances
    return {
        "embedded": cheap.astype(np.float64),
        "judge": np.where(asked, verdict, np.nan),
        "chance": np.where(asked, JUDGED, np.nan),
        "label": np.where(labelled, truth, np.nan),
        LABEL_CHANCE: np.where(labelled, chances, np.nan),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.03, 0.06, 0.1, 0.2])
    given = parser.parse_args()
    print("| rate | labels | covers | mean | covers without the chances | mean |\n|---|---|---|---|---|---|")
    for rate in given.rates:
        rng = np.random.default_rng(int(1000 * rate))
        found = []
        for _ in range(given.windows):
            columns = window(rng, rate)
            plain = {name: values for name, values in columns.items() if name != LABEL_CHANCE}
            found.append([labelled_rate(each, CONFIDENCE) for each in (columns, plain)])
        cells = [f"{rate:.0%}", f"{np.mean([by.n for by, _ in found]):.0f}"]
        for side in zip(*found, strict=True):
            cells += [
                f"{np.mean([e.low <= rate <= e.high for e in side]):.1%}",
                f"{np.mean([e.value for e in side]):.2%}",
            ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
