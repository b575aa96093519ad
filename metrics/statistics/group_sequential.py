"""Group-sequential tests: boundaries from an alpha-spending function (Lan and DeMets 1983)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from metrics.base import FloatArray
from metrics.errors import InputError

Spending = Literal["obrien-fleming", "pocock"]

SMALLEST_STEP = 0.005
"""Least information between two looks, as a share of all; closer looks need a finer grid than is worth it."""

_REACH = 8.5
_NODES_PER_DEVIATION = 8


@dataclass(frozen=True, slots=True)
class GroupSequentialBounds:
    """One-sided boundaries of a test with declared looks.

    Attributes:
        fractions: information at each look, as a share of all; the last is at most 1.
        z: the test stops for success at look k when its standard normal statistic is at least ``z[k]``.
        alphas: one-sided level of each look by itself: an interval at confidence ``1 - 2 alphas[k]`` whose lower end
            lies above the limit crosses the boundary (a repeated confidence interval, Jennison and Turnbull 1989).
        spent: probability under the null to have stopped by each look.
    """

    fractions: tuple[float, ...]
    z: tuple[float, ...]
    alphas: tuple[float, ...]
    spent: tuple[float, ...]


def alpha_spent(fraction: float, *, alpha: float = 0.05, spending: Spending = "obrien-fleming") -> float:
    """One-sided alpha that may be spent once a share `fraction` of the information is in.

    ``obrien-fleming``: ``2 - 2 Phi(z(alpha / 2) / sqrt(fraction))``, almost nothing early; ``pocock``:
    ``alpha ln(1 + (e - 1) fraction)``, about equally at every look.
    """
    if spending not in {"obrien-fleming", "pocock"}:
        raise InputError(f"spending {spending!r}; expected 'obrien-fleming' or 'pocock'")
    if not (0 < alpha < 0.5 and 0 < fraction <= 1):
        raise InputError(f"alpha {alpha} at {fraction} of the information; expected 0 < alpha < 0.5, 0 < share <= 1")
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * fraction)
    return float(2 * special.ndtr(special.ndtri(alpha / 2) / math.sqrt(fraction)))


def group_sequential_bounds(
    fractions: Sequence[float], *, alpha: float = 0.05, spending: Spending = "obrien-fleming"
) -> GroupSequentialBounds:
    """Boundaries of a one-sided test that looks at the given shares of its information.

    Args:
        fractions: rising, above 0 and at most 1, at least 0.005 apart: samples so far over samples planned.
        alpha: one-sided level of the whole.
        spending: see `alpha_spent`.

    Valid for statistics with independent normal increments: differences of means and rates at one look's usual
    sample sizes. The looks need not be equally spaced nor known in advance; they may not depend on the results.
    By numerical integration (Armitage, McPherson and Rowe 1969); agrees with the R packages ldbounds and gsDesign.

    >>> [round(z, 2) for z in group_sequential_bounds([0.2, 0.4, 0.6, 0.8, 1.0], alpha=0.025).z]
    [4.88, 3.36, 2.68, 2.29, 2.03]
    """
    shares = [float(f) for f in fractions]
    steps = np.diff([0.0, *shares])
    if not shares or not np.all(steps >= SMALLEST_STEP * (1 - 1e-9)) or shares[-1] > 1:
        raise InputError(
            f"looks at {shares} of the information; expected rising shares of at most 1, {SMALLEST_STEP} apart"
        )
    spent = [alpha_spent(share, alpha=alpha, spending=spending) for share in shares]
    z: list[float] = []
    nodes, mass = np.zeros(1), np.ones(1)
    for look, (share, step) in enumerate(zip(shares, steps, strict=True)):
        deviation = math.sqrt(step)
        now = spent[look] - (spent[look - 1] if look else 0.0)
        boundary = _boundary(nodes, mass, deviation, now)
        z.append(boundary / math.sqrt(share))
        if look + 1 < len(shares):
            nodes, mass = _continue(nodes, mass, deviation, boundary, math.sqrt(min(step, steps[look + 1])))
    return GroupSequentialBounds(tuple(shares), tuple(z), tuple(float(special.ndtr(-b)) for b in z), tuple(spent))


def _boundary(nodes: FloatArray, mass: FloatArray, deviation: float, probability: float) -> float:
    """Value that the process passes with the given probability after one more step."""
    low, high = float(nodes[0]) - _REACH * deviation, float(nodes[-1]) + 40 * deviation
    for _ in range(100):
        middle = (low + high) / 2
        if float(mass @ special.ndtr((nodes - middle) / deviation)) > probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _continue(
    nodes: FloatArray, mass: FloatArray, deviation: float, boundary: float, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes below the boundary and the mass of the process that has not stopped at each."""
    low = float(nodes[0]) - _REACH * deviation
    high = min(boundary, float(nodes[-1]) + _REACH * deviation)
    count = max(100, math.ceil(_NODES_PER_DEVIATION * (high - low) / scale))
    points, weights = special.roots_legendre(count)
    half = (high - low) / 2
    new = low + half * (points + 1)
    gaps = (new[:, None] - nodes[None, :]) / deviation
    density = np.exp(-(gaps**2) / 2) @ mass / (deviation * math.sqrt(2 * math.pi))
    return new, half * weights * density
