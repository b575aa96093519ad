"""Features batch by batch: decoding and preprocessing run ahead in threads while the network computes.

PIL, NumPy and torch release Python's lock while they work. Batches are cut, prepared and computed in the same way with
and without threads, so that features are the same to the last bit.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.extractors.base import Extracted, Image, check_rows, softmax
from evalkit.runner import profile
from metrics.errors import InputError

Made = TypeVar("Made")
Rows = tuple[NDArray[Any], NDArray[Any] | None]
"""Features ``[n, d]``, and logits ``[n, classes]`` where the network has them."""

MOST_THREADS = 4
"""Threads that prepare batches; each batch that waits takes memory."""


@runtime_checkable
class Batched(Protocol):
    """An extractor whose work falls into preparing a batch, on the processor, and a network."""

    name: str

    @property
    def usual_batch(self) -> int:
        """Images at a time where memory sets no limit; a CPU gains nothing from more."""
        ...

    @property
    def fixed_batch(self) -> bool:
        """Whether the network takes batches of the usual size only."""
        ...

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> Any:
        """Check and preprocess a batch; may run in any thread, several at a time.

        Args:
            images: the batch.
            position: of its first image within the whole set, for messages.
            first: first image of the whole set, whose size may bind the others.
        """
        ...

    def forward(self, prepared: Any) -> Rows:
        """Run the network on what `prepare` returned, in order."""
        ...


def extract_batches(
    extractor: Batched, images: Sequence[Image], *, batch: int | None = None, threads: int | None = None
) -> Extracted:
    """Features of images that may be decoded only when they are asked for.

    Args:
        extractor: what computes them.
        images: one after another; slices are taken in several threads.
        batch: images at a time, the extractor's usual number by default. A batch that does not fit into memory is
            halved until it does.
        threads: that prepare batches ahead; 0 does everything in turn. By default as many as there are cores, at most
            `MOST_THREADS`.
    """
    if len(images) == 0:
        raise InputError(f"extractor '{extractor.name}': got no images")
    size = max(1, extractor.usual_batch if batch is None or extractor.fixed_batch else batch)
    first = images[0]
    starts = range(0, len(images), size)

    def prepare(place: int) -> Any:
        return _prepared(extractor, images, slice(starts[place], starts[place] + size), first)

    parts: list[Rows] = []
    workers = _threads() if threads is None else threads
    for place, prepared in enumerate(run_ahead(prepare, len(starts), threads=workers)):
        at = slice(starts[place], min(starts[place] + size, len(images)))
        parts.append(_computed(extractor, images, at, first, prepared))
    features = check_rows(np.concatenate([rows for rows, _ in parts]), len(images), extractor.name)
    logits = [some for _, some in parts if some is not None]
    if not logits:
        return Extracted(features)
    return Extracted(features, softmax(check_rows(np.concatenate(logits), len(images), extractor.name)))


def _prepared(extractor: Batched, images: Sequence[Image], at: slice, first: Image) -> Any:
    with profile.span("decode", rows=len(range(len(images))[at])):
        batch = list(images[at])
    with profile.span("preprocessing", rows=len(batch)):
        return extractor.prepare(batch, at.start, first)


def _computed(extractor: Batched, images: Sequence[Image], at: slice, first: Image, prepared: Any) -> Rows:
    """The network on a batch, or on its halves where memory does not suffice."""
    try:
        with profile.span("network forward", rows=at.stop - at.start):
            return extractor.forward(prepared)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error) or extractor.fixed_batch or at.stop - at.start < 2:
            raise
    del prepared
    free_device_memory()
    middle = (at.start + at.stop) // 2
    halves = [
        _computed(extractor, images, half, first, _prepared(extractor, images, half, first))
        for half in (slice(at.start, middle), slice(middle, at.stop))
    ]
    logits = [some for _, some in halves if some is not None]
    return np.concatenate([rows for rows, _ in halves]), np.concatenate(logits) if logits else None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python says that memory does not suffice, on a GPU or on the processor."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def free_device_memory() -> None:
    """Hand back what torch keeps of a GPU's memory for later."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def run_ahead(make: Callable[[int], Made], count: int, *, threads: int) -> Iterator[Made]:
    """``make(0), make(1), …`` in order, computed ahead in threads, at most two more than there are threads.

    What a call raises is raised here in its turn; when the iterator is closed, calls that have not begun never do.
    """
    if threads < 1 or count < 2:
        yield from map(make, range(count))
        return
    waiting: deque[Future[Made]] = deque()
    work = profile.ahead(make)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="evalkit-ahead")
    try:
        for place in range(count):
            waiting.append(pool.submit(work, place))
            if len(waiting) > threads + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def best_device() -> str:
    """``cuda`` where torch finds a GPU, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def staged(values: NDArray[Any]) -> Any:
    """A tensor of a batch, in memory that a GPU can copy from by itself where there is one."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory() if torch.cuda.is_available() else tensor


def channels_first(images: Sequence[NDArray[Any]]) -> Any:
    """Images of one size as a staged tensor ``[n, channels, height, width]``."""
    return staged(np.stack(images).transpose(0, 3, 1, 2))
