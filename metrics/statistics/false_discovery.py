"""False discovery rate of many tests: the step-up procedures of Benjamini, Hochberg and Yekutieli."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import FloatArray
from metrics.errors import InputError


def benjamini_hochberg(p_values: ArrayLike, *, any_dependence: bool = False) -> FloatArray:
    """Adjusted p-values ``[m]`` in the given order; those at most q are discoveries at a false discovery rate of q.

    Args:
        p_values: ``[m]``, each from 0 to 1.
        any_dependence: hold the rate under any dependence between the tests (Benjamini and Yekutieli 2001), at the
            price of a factor of about log m. Otherwise the tests must be independent or positively dependent
            (Benjamini and Hochberg 1995).

    `InputError` unless all lie in [0, 1]. Agrees with `scipy.stats.false_discovery_control`.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or not np.all((given >= 0) & (given <= 1)):
        raise InputError("expected a list of p-values, each from 0 to 1")
    m = len(given)
    order = np.argsort(given, kind="stable")
    ranks = np.arange(1, m + 1)
    factor = float(np.sum(1 / ranks)) if any_dependence else 1.0
    raised = given[order] * m * factor / ranks
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return adjusted
