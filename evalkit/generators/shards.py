"""Makes one shard of outputs with a generator and stores it, with latency, memory and what went wrong per sample."""

from __future__ import annotations

import math
import os
import platform
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa

from evalkit.generators.base import (
    FOR_EVALKIT,
    Generation,
    GenerationFailed,
    Generator,
    LikelihoodModel,
    LogLikelihood,
    Request,
)
from evalkit.generators.images import to_png
from evalkit.generators.redaction import Redactor, one_line
from evalkit.outputs import SCHEMA, write_shard
from metrics.errors import InputError

Task = Literal["generate", "likelihood"]
Result = Generation | tuple[str, LogLikelihood]
DEFAULT_BATCH = 32


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What came of a shard.

    Attributes:
        rows, errors: samples stored, and how many of them have no usable output.
        seconds: time that the generator was busy.
        peak_memory: highest resident memory of the generator's process so far, plus CUDA's, in bytes.
        generator_calls: how often the generator was called (once per batch; again per sample where a batch failed).
    """

    rows: int
    errors: int
    seconds: float
    peak_memory: int
    generator_calls: int


def can_score_likelihood(generator: object) -> bool:
    """Whether the generator tells how likely it finds a given text."""
    return isinstance(generator, LikelihoodModel) and bool(getattr(generator, "can_score_likelihood", True))


def make_shard(
    generator: Generator,
    requests: Sequence[Request],
    settings: Mapping[str, Any],
    path: Path,
    *,
    task: Task = "generate",
    redact: Callable[[str], str] | None = None,
) -> ShardInfo:
    """Generate (or score the texts of) the requests and write them to `path` as one shard.

    For ``likelihood`` the text is ``row["text"]``, else the prompt. Raises `GenerationFailed` when the shard holds
    the task's first sample and every one of its samples failed in the same way: more would only cost more.
    """
    if not requests:
        raise InputError("a shard needs at least one request")
    redact = redact or Redactor()
    settings = {name: value for name, value in settings.items() if name not in FOR_EVALKIT}
    batch_size = settings.get("batch_size", getattr(generator, "batch_size", DEFAULT_BATCH))
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise InputError(f"`batch_size: {batch_size}` cannot be used; expected a positive integer")
    if task == "likelihood" and not can_score_likelihood(generator):
        raise InputError(
            "this generator does not tell log-likelihoods; use a causal language model, or drop perplexity"
        )
    order = by_length(requests) if getattr(generator, "buckets_by_length", False) else list(range(len(requests)))
    rows: dict[int, dict[str, Any]] = {}
    make = _generate if task == "generate" else _score
    seconds, calls = 0.0, 0
    for start in range(0, len(requests), batch_size):
        places = order[start : start + batch_size]
        batch = [requests[place] for place in places]
        before = time.perf_counter()
        made, batch_calls = make(generator, batch, settings)
        elapsed = time.perf_counter() - before
        seconds, calls = seconds + elapsed, calls + batch_calls
        for place, result in zip(places, made, strict=True):
            rows[place] = _row(requests[place], result, elapsed, redact)
    table = [rows[place] for place in range(len(requests))]
    _refuse_uniform_failure(requests, [row["error"] for row in table])
    errors = sum(row["error"] is not None for row in table)
    info = ShardInfo(len(table), errors, seconds, peak_memory(), calls)
    metadata = {"seconds": repr(seconds), "peak_memory": str(info.peak_memory), "hardware": hardware_class(generator)}
    write_shard(pa.Table.from_pylist(table, schema=SCHEMA), path, {**metadata, "generator_calls": str(calls)})
    return info


def by_length(requests: Sequence[Request]) -> list[int]:
    """Positions of the requests, those with the longest texts first: batches hold little padding, and memory that does
    not suffice shows at once."""
    lengths = [len(str(request.row.get("text") or request.prompt or "")) for request in requests]
    return sorted(range(len(requests)), key=lambda place: -lengths[place])


def _generate(generator: Generator, batch: Sequence[Request], settings: Mapping[str, Any]) -> tuple[list[Result], int]:
    """Return a checked generation per request, and the number of calls.

    A batch that raises is tried again sample by sample, so that one poisonous request does not take the others along.
    """
    try:
        made = list(generator.generate(batch, settings))
    except InputError:
        raise
    except Exception as error:  # whatever a model raises is a property of the sample
        if len(batch) == 1:
            return [Generation(error=one_line(error))], 1
        alone = [_generate(generator, [request], settings) for request in batch]
        return [made for mades, _ in alone for made in mades], 1 + sum(calls for _, calls in alone)
    if len(made) != len(batch):
        raise GenerationFailed(
            f"the generator returned {len(made)} outputs for {len(batch)} requests; expected one each"
        )
    return [_checked(generation) for generation in made], 1


def _score(generator: Generator, batch: Sequence[Request], settings: Mapping[str, Any]) -> tuple[list[Result], int]:
    texts = [str(request.row.get("text") or request.prompt or "") for request in batch]
    usable = [text for text in texts if text.strip()]
    assert isinstance(generator, LikelihoodModel)
    try:
        scored = iter(generator.log_likelihoods(usable, settings) if usable else [])
    except InputError:
        raise
    except Exception as error:
        if len(batch) == 1:
            return [(texts[0], LogLikelihood(math.nan, 0, error=one_line(error)))], 1
        alone = [_score(generator, [request], settings) for request in batch]
        return [pair for pairs, _ in alone for pair in pairs], 1 + sum(calls for _, calls in alone)
    empty = LogLikelihood(math.nan, 0, error="empty text")
    return [(text, next(scored) if text.strip() else empty) for text in texts], 1


def _checked(generation: Generation) -> Generation:
    """Return the generation, with an error where there is no usable output."""
    # Adapters and user objects fill these at run time: the annotations are promises, not facts.
    image, text = cast(Any, generation.image), cast(Any, generation.text)
    if generation.error is not None:
        return generation
    if image is not None:
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            return replace(
                generation, image=None, error=f"wrong shape {list(np.shape(image))}; expected height x width x 3"
            )
        if image.dtype != np.uint8:
            return replace(generation, image=None, error=f"wrong type {image.dtype}; expected uint8")
        if image.size > 3 and (image == image[0, 0]).all():
            return replace(generation, error=f"constant image (every pixel is {image[0, 0].tolist()})")
        return generation
    if text is not None and not isinstance(text, str):
        return replace(generation, text=None, error=f"wrong type {type(text).__name__}; expected text")
    if text is None or not text.strip():
        return replace(generation, error="empty output")
    return generation


def _row(request: Request, result: Result, elapsed: float, redact: Callable[[str], str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "sample_id": request.sample_id,
        "position": request.position,
        "seed": request.seed,
        "prompt": request.prompt,
    }
    if isinstance(result, Generation):
        row |= {
            "text": _encodable(result.text),
            "image": None if result.image is None else to_png(result.image),
            "prompt_tokens": result.prompt_tokens,
            "output_tokens": result.output_tokens,
        }
        outcome: Generation | LogLikelihood = result
        error = result.error
    else:
        text, outcome = result
        error = outcome.error or (None if math.isfinite(outcome.nll) else "not finite")
        row |= {"text": _encodable(text), "bytes": len(text.encode("utf-8", "replace")), "words": len(text.split())}
        row |= {"nll": outcome.nll if error is None else None, "tokens": outcome.tokens}
    latency = elapsed if outcome.latency is None else outcome.latency
    row["latency"] = latency if math.isfinite(latency) else None
    row["error"] = None if error is None else redact(error)
    return row


def _encodable(text: str | None) -> str | None:
    """Lone surrogates, which some tokenizers leave behind, cannot be stored as UTF-8."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _refuse_uniform_failure(requests: Sequence[Request], errors: Sequence[str | None]) -> None:
    if requests[0].position != 0 or None in errors:
        return
    kinds = Counter(re.sub(r"\d+(\.\d+)?", "#", str(error)) for error in errors)
    if len(kinds) == 1:
        raise GenerationFailed(f"all of the first {len(errors)} outputs failed in the same way: {errors[0]}")


def peak_memory() -> int:
    """Highest resident memory of this process so far, plus what CUDA held at most, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak += sum(torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count()))
    return int(peak)


def hardware_class(generator: object = None) -> str:
    """``cpu-x86_64-2`` (architecture, usable cores) or ``cuda-nvidia-h100-80gb-hbm3-1`` (name, number of devices)."""
    torch = sys.modules.get("torch")
    if torch is not None and str(getattr(generator, "device", "cpu")).startswith("cuda"):
        name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
        return f"cuda-{name}-{torch.cuda.device_count()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu-{platform.machine()}-{cores}"
