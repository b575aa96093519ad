"""The runner: outputs stored once, scored in mergeable states, resumable after a kill at any moment.

`run` evaluates a registered version, `score` something at hand, `memory_subject` wraps a Python object for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.runner.engine import run, score
    from evalkit.runner.progress import Progress
    from evalkit.runner.publish import logger_for, publish
    from evalkit.runner.sources import file_subject, memory_subject

__all__ = ["Progress", "file_subject", "logger_for", "memory_subject", "publish", "run", "score"]

_HOMES = {
    "Progress": "progress",
    "run": "engine",
    "score": "engine",
    "logger_for": "publish",
    "publish": "publish",
    "file_subject": "sources",
    "memory_subject": "sources",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import evalkit.runner` stays light."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'evalkit.runner' has no attribute '{name}'")
    return getattr(importlib.import_module(f"evalkit.runner.{_HOMES[name]}"), name)
