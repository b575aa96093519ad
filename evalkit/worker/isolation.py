"""What the process of an evaluation sees and may use: a short list of variables, a home of its own, limits.

This keeps credentials and excesses of a model apart from the worker. It is not a sandbox: the process runs as the same
user and has the same network.
"""

from __future__ import annotations

import ctypes
import os
import queue
import resource
import signal
import site
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import evalkit

ALLOWED = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_HOME",
        "CUBLAS_WORKSPACE_CONFIG",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
    }
)
"""What an evaluation sees of the worker's environment. Everything else is set here, or told through a pipe."""

LOGIN = frozenset({"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"})
"""How the evaluation's own process logs in to MLflow; its generators see none of it."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use.

    Attributes:
        seconds: wall time, for one attempt; the next one continues.
        memory: bytes of private memory of each of its processes.
        file_size: bytes of each file that it writes.
    """

    seconds: float = 7200.0
    memory: int = 16 * 10**9
    file_size: int = 4 * 10**9


def environment(scratch: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of an evaluation whose home is the folder `scratch`."""
    from evalkit.extractors.weights import FOLDER_VARIABLE, weights_folder

    source = os.environ if given is None else given
    temporary = scratch / "tmp"
    temporary.mkdir(exist_ok=True)
    made = {name: value for name, value in source.items() if name in ALLOWED}
    made |= {
        "HOME": str(scratch),
        "TMPDIR": str(temporary),
        "DO_NOT_TRACK": "1",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        FOLDER_VARIABLE: str(weights_folder()),
        # The cache of models, not the folder around it: that one also holds the user's token
        "HF_HUB_CACHE": source.get("HF_HUB_CACHE") or str(_hub_home(source) / "hub"),
        "HF_HUB_OFFLINE": source.get("HF_HUB_OFFLINE", "1"),
    }
    root = str(Path(evalkit.__file__).resolve().parent.parent)
    if root not in {*site.getsitepackages(), site.getusersitepackages()}:
        made["PYTHONPATH"] = root
    return made


def command() -> list[str]:
    """What runs one evaluation."""
    return [sys.executable, "-P", "-m", "evalkit.worker.item", str(os.getpid())]


def confine_process(limits: Limits) -> None:
    """Put limits on this process and all that it starts, and let no process of the same user look into it."""
    for what, size in (
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(what, (allowed, allowed))
    hide_process()


def hide_process() -> None:
    """Let no other process of the same user read this one's memory and environment."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0)


def die_with(parent: int, source: IO[bytes]) -> Callable[[], bytes]:
    """End this process, and what it has started, when its parent does; return how to read a line from `source`.

    The pipe tells of the parent's end even where the kernel does not.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above took hold
        os._exit(1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in source:
            lines.put(line)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=read, daemon=True, name="evalkit-lifeline").start()
    return lines.get


def _hub_home(source: Mapping[str, str]) -> Path:
    return Path(source.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
