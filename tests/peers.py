"""Reference implementations for parity tests and benchmarks: installing them apart, and importing them.

They are installed without their dependencies (several pin libraries that clash with ours, or need torchvision) into
a folder of their own, which is searched after everything else. Run this file to install them:

    python tests/peers.py [FOLDER]        # default: $EVALKIT_PEERS, else build/peers
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("peers.txt")
_DEFAULT = Path(__file__).parents[1] / "build" / "peers"


class PeerError(RuntimeError):
    """A peer cannot be imported, and what to do about it."""


def folder() -> Path:
    """Where the peers are: `EVALKIT_PEERS`, else ``build/peers`` beside the tests."""
    return Path(os.environ.get("EVALKIT_PEERS") or _DEFAULT)


def requirements() -> list[str]:
    """The pinned requirements of ``peers.txt``."""
    lines = (line.partition("#")[0].strip() for line in LIST.read_text().splitlines())
    return [line for line in lines if line]


def _plain(requirement: str) -> str:
    return requirement.lower().replace("_", "-")


def install(target: Path) -> None:
    """Install every peer with its exact version, without dependencies; does nothing when all are there."""
    found = {_plain(f"{d.name}=={d.version}") for d in importlib.metadata.distributions(path=[str(target)])}
    missing = [line for line in requirements() if _plain(line) not in found]
    if missing:
        target.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--upgrade", "--target", str(target), *missing], check=True)
    # Some peers ship a top-level package `tests`, which would hide ours from processes that tests start
    shutil.rmtree(target / "tests", ignore_errors=True)


def load(name: str) -> Any:
    """Import a module of a peer, ``"torch_fidelity.metric_kid"`` say; `PeerError` says why where it cannot be."""
    place = folder()
    if not place.is_dir():
        raise PeerError(f"no peers in {place}; run `python tests/peers.py`, or set EVALKIT_PEERS to their folder")
    if str(place) not in sys.path:
        sys.path.append(str(place))
    try:
        with _without_torchvision():
            return importlib.import_module(name)
    except ImportError as error:
        raise PeerError(f"peer {name!r} does not import: {error}") from error


class _Placeholders(types.ModuleType):
    """A module of torchvision: lower-case names are modules, others classes to derive from but not to make."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.islower():
            return importlib.import_module(f"{self.__name__}.{name}")
        import torch

        def refuse(self: Any, *_: Any, **__: Any) -> None:
            raise PeerError(f"torchvision is not installed; its {type(self).__name__} is a placeholder")

        return type(name, (torch.nn.Module,), {"__init__": refuse})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = _Placeholders(spec.name)
        module.__version__ = "0.0"
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Stand in for torchvision while a peer is imported: peers name it at import, their numerics do not use it.

    Afterwards no trace is left, so that libraries that ask whether torchvision exists hear the truth.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        yield
        return
    import torch  # noqa: F401  (before the stand-in: it must not see one)

    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else folder()
    install(chosen)
    print(f"{len(requirements())} peers in {chosen}")
