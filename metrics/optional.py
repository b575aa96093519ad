"""Libraries that only some metrics need, imported when such a metric is used."""

from __future__ import annotations

import importlib
from typing import Any

from metrics.errors import InputError


def optional(module: str, what: str) -> Any:
    """Import a module of a library that is not part of the base install.

    Raises:
        InputError: the library is missing; the message says what needs it and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise InputError(f"{what} needs the package '{package}'; run: pip install {package}") from None
