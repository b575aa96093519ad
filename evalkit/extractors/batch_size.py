"""Batch sizes by memory: found with a trial of the network once for each extractor and kind of machine, and remembered.

On a processor the extractor's usual size is taken, halved until a batch is expected to fit into a quarter of the free
memory. On a GPU the size is doubled until memory gives out. A batch's size changes features in the last digits of
float32 at most (libraries choose their kernels by it), and is no part of a feature's identity.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from evalkit.extractors.base import Extractor, Image
from evalkit.extractors.batched import Batched, best_device, free_device_memory, out_of_memory
from evalkit.generators.shards import hardware_class
from registry.digests import digest, short

LARGEST = 1024
_TRIAL = 4
_SHARE = 0.25
"""Of the free memory that a batch may take."""
_CGROUP = Path("/sys/fs/cgroup")
_FILE = "batch-sizes.json"


class _OnDevice:
    """What `hardware_class` reads a device from."""

    def __init__(self) -> None:
        self.device = best_device()


def batch_size(extractor: Batched, images: Sequence[Image], home: Path) -> int:
    """Images at a time for an extractor on this machine; what was found is remembered below `home`."""
    if extractor.fixed_batch or len(images) <= _TRIAL:
        return extractor.usual_batch
    key = _key(extractor, images[0])
    known = _remembered(home)
    if key in known:
        return known[key]
    first = images[0]
    found = _on_gpu(extractor, images, first) if best_device() == "cuda" else _on_cpu(extractor, images, first)
    _remember(home, key, found)
    return found


def _key(extractor: Batched, first: Image) -> str:
    """Weights, kind of machine and size of images."""
    identity = extractor.identity() if isinstance(extractor, Extractor) else extractor.name
    return f"{short(digest(identity))} {hardware_class(_OnDevice())} {first.shape[1]}x{first.shape[0]}"


def _on_cpu(extractor: Batched, images: Sequence[Image], first: Image) -> int:
    batch = list(images[:_TRIAL])
    with _highest_memory() as seen:
        extractor.forward(extractor.prepare(batch, 0, first))
    size, each, allowed = extractor.usual_batch, seen[0] / _TRIAL, _SHARE * free_memory()
    while size > 1 and size * each > allowed:
        size //= 2
    return size


def _on_gpu(extractor: Batched, images: Sequence[Image], first: Image) -> int:
    fits, size = 1, min(extractor.usual_batch, len(images))
    while size <= min(LARGEST, len(images)):
        try:
            extractor.forward(extractor.prepare([images[0]] * size, 0, first))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            free_device_memory()
            if fits > 1 or size == 1:
                break
            size //= 2  # not even the usual size: go down until one fits
            continue
        if size <= fits:
            break
        fits, size = size, size * 2
    return fits


def free_memory() -> float:
    """Bytes that are free on this machine, or within the limit of the container that this process is in."""
    free = float(psutil.virtual_memory().available)
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        free = min(free, float(limit) - float(used)) if limit != "max" else free
    except (OSError, ValueError):
        pass  # no container, or one of another kind
    return max(free, 0.0)


@contextmanager
def _highest_memory() -> Iterator[list[float]]:
    """Bytes by which this process's memory rose above where it began, at its highest."""
    process, done, found = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def look() -> None:
        while True:
            found[0] = max(found[0], process.memory_info().rss - before)
            if done.wait(0.001):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _remembered(home: Path) -> dict[str, int]:
    try:
        known = json.loads((home / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {str(key): size for key, size in known.items() if isinstance(size, int) and 1 <= size <= LARGEST}


def _remember(home: Path, key: str, size: int) -> None:
    from evalkit.runner.shards import write_atomically

    known = {**_remembered(home), key: size}
    write_atomically(home / _FILE, json.dumps(known, indent=1).encode())
