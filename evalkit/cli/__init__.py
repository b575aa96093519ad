"""The command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``evalkit`` command."""
    from evalkit.cli.app import run

    sys.exit(run(sys.argv[1:]))
