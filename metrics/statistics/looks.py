"""Looking more than once: each declared look spends its share of alpha.

By the union bound the shares keep the error of the whole at alpha, whatever the dependence between looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from metrics.errors import InputError

_GROWTH = 3
"""How much larger a look's default share is than the one before: the last of five gets two thirds of alpha, so that a
clearly better model loses little power to the early looks (equal shares would cost 15 points)."""


def alpha_shares(alpha: float, looks: int, spending: Sequence[float] | None = None) -> tuple[float, ...]:
    """One-sided alpha of each look: `spending` as shares of alpha that add up to at most 1.

    By default each look gets three times the share of the one before.
    """
    if not 0 < alpha < 1 or looks < 1:
        raise InputError(f"alpha {alpha} over {looks} looks; expected alpha between 0 and 1 and at least one look")
    total = sum(_GROWTH**k for k in range(looks))
    shares = tuple(spending) if spending is not None else tuple(_GROWTH**k / total for k in range(looks))
    if len(shares) != looks or any(share <= 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise InputError(f"spending {list(shares)} for {looks} looks; expected one positive share per look, sum <= 1")
    return tuple(alpha * share for share in shares)


def alpha_at(alpha: float, look: int, looks: int, spending: Sequence[float] | None = None) -> float:
    """One-sided alpha of a look, counted from 1; a look beyond the declared ones raises `InputError`."""
    shares = alpha_shares(alpha, looks, spending)
    if not 1 <= look <= looks:
        raise InputError(f"look {look} was not declared: the suite declares {looks}")
    return shares[look - 1]


def one_sided(alpha: float) -> float:
    """Confidence of the two-sided interval whose ends are one-sided bounds at `alpha`: ``1 - 2 alpha``."""
    if not 0 < alpha < 0.5:
        raise InputError(f"one-sided alpha is {alpha}; expected a number between 0 and 0.5")
    return 1 - 2 * alpha
