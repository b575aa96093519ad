"""Several tests at once: Holm's step-down correction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import FloatArray
from metrics.errors import InputError


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm-adjusted p-values ``[m]`` in the given order (Holm 1979); compare them with alpha.

    Controls the family-wise error rate under any dependence. `InputError` unless all lie in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or not np.all((given >= 0) & (given <= 1)):
        raise InputError("expected a list of p-values, each from 0 to 1")
    order = np.argsort(given, kind="stable")
    steps = np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps * given[order]))
    return adjusted
