"""evalkit: decide whether a generative model may ship, and know when it goes wrong afterwards.

The functions below are what the command line calls; see `evalkit.api` for their signatures.

>>> import evalkit as ek
>>> version = ek.register("my-model", model="runs:/…/model", suite="suite.yaml")  # doctest: +SKIP
>>> decision = ek.check(version)  # doctest: +SKIP
>>> if decision.passed: decision.promote()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.api import check, compare, evaluate, gate, promote, register, score, show
    from evalkit.ingest.client import log_feedback, log_generation
    from evalkit.loading import load
    from evalkit.monitoring import api as monitor
    from metrics.errors import InputError

__all__ = [
    "InputError",
    "check",
    "compare",
    "evaluate",
    "gate",
    "load",
    "log_feedback",
    "log_generation",
    "monitor",
    "promote",
    "register",
    "score",
    "show",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `import evalkit` stays light."""
    if name == "InputError":
        from metrics.errors import InputError

        return InputError
    if name == "load":
        from evalkit.loading import load

        return load
    if name in {"log_feedback", "log_generation"}:
        from evalkit.ingest import client

        return getattr(client, name)
    if name == "monitor":
        from evalkit.monitoring import api as monitor

        return monitor
    if name in __all__:
        from evalkit import api

        return getattr(api, name)
    raise AttributeError(f"module 'evalkit' has no attribute '{name}'")
