"""Temporary folders that do not outlive their process for long."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil


def own_folder(prefix: str, base: Path | None = None) -> Path:
    """Make a folder for this process, and remove those with this prefix whose processes were killed."""
    base = base or Path(tempfile.gettempdir())
    for folder in base.glob(f"{prefix}*-*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=base))
