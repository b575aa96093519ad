"""Turns what image models return into uint8 RGB, and says what is wrong where that cannot be done."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.generators.base import Generation
from metrics.errors import InputError

ValueRange = Literal["signed", "unit", "uint8"]
Layout = Literal["chw", "hwc"]
_RANGES: dict[str, tuple[float, float]] = {"signed": (-1.0, 1.0), "unit": (0.0, 1.0), "uint8": (0.0, 255.0)}
_OVERSHOOT = 0.5  # of the span: models overshoot a little and are clipped; beyond this the range was declared wrongly


class BadOutputError(ValueError):
    """One output that is not an image; the message becomes the sample's error."""


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """How a model writes images.

    Attributes:
        range: ``signed`` floats in [-1, 1], ``unit`` floats in [0, 1], or ``uint8`` values 0 to 255; None: uint8
            arrays speak for themselves and floats are refused, since guessing from values would depend on the sample.
        layout: ``chw`` or ``hwc``; None: the axis of length 1 or 3 is the channels, the first one if both fit.
        size: ``(height, width)`` or ``(height, width, channels)``; needed where outputs are flat, checked elsewhere.
    """

    range: ValueRange | None = None
    layout: Layout | None = None
    size: tuple[int, ...] | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ImageFormat:
        """Read ``range``, ``layout`` and ``size`` from a generator's settings."""
        value_range = settings.get("range")
        if value_range is not None and value_range not in _RANGES:
            raise InputError(f"`range: {value_range}` is not known; use signed ([-1, 1]), unit ([0, 1]) or uint8")
        layout = _layout(settings.get("layout"))
        size = settings.get("size")
        if size is None:
            return cls(value_range, layout, None)
        return cls(value_range, layout, positive_shape(size, "size", lengths=(2, 3)))


def _layout(given: object) -> Layout | None:
    if given is None:
        return None
    name = str(given).lower()
    if name in {"chw", "nchw"}:
        return "chw"
    if name in {"hwc", "nhwc"}:
        return "hwc"
    raise InputError(f"`layout: {given}` is not known; use chw or hwc")


def positive_shape(given: object, name: str, lengths: Sequence[int] | None = None) -> tuple[int, ...]:
    """Read a list of positive integers such as ``[64, 64]``; a single integer is a list of one."""
    values = [given] if isinstance(given, int) else given
    if (
        not isinstance(values, (list, tuple))
        or not values
        or not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)
        or (lengths is not None and len(values) not in lengths)
        or math.prod(values) > 2**28
    ):
        what = "[height, width] or [height, width, channels]" if lengths else "a list of positive integers"
        raise InputError(f"`{name}: {given}` cannot be used; expected {what}")
    return tuple(values)


def to_rgb(value: Any, form: ImageFormat) -> NDArray[np.uint8]:
    """Return uint8 ``[height, width, 3]`` from an array, a torch tensor or a PIL image; else `BadOutputError`."""
    if hasattr(value, "convert") and hasattr(value, "getbands"):
        return np.asarray(value.convert("RGB"), dtype=np.uint8)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise BadOutputError(f"wrong type {array.dtype}; expected numbers")
    return _to_uint8(_to_hwc(array, form), form.range)


def _to_hwc(array: NDArray[Any], form: ImageFormat) -> NDArray[Any]:
    given = list(array.shape)
    if array.ndim == 1 and form.size is not None:
        channels = form.size[2] if len(form.size) == 3 else array.size / math.prod(form.size[:2])
        if channels in {1, 3} and array.size == math.prod(form.size[:2]) * channels:
            shape = (*form.size[:2], int(channels)) if form.layout == "hwc" else (int(channels), *form.size[:2])
            array = array.reshape(shape)
            form = ImageFormat(form.range, form.layout or "chw", form.size)
    # Without a declared size, [3, 8] is a lost axis rather than a grey image of three rows.
    if array.ndim == 2 and (form.size is not None or array.shape[0] > 3):
        array = array[:, :, None]
    elif array.ndim == 3 and form.layout != "hwc" and array.shape[0] in {1, 3}:
        array = array.transpose(1, 2, 0)
    fits = array.ndim == 3 and array.shape[2] in {1, 3} and array.size > 0
    if form.size is not None and fits:
        fits = array.shape[:2] == form.size[:2]
    if not fits:
        wanted = " x ".join(map(str, form.size[:2])) if form.size else "height x width"
        hint = " (declare `size` for flat outputs)" if len(given) == 1 and form.size is None else ""
        raise BadOutputError(f"wrong shape {given}; expected {wanted} x 3{hint}")
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _to_uint8(array: NDArray[Any], value_range: ValueRange | None) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if value_range is None:
        raise InputError(
            f"the model returned {array.dtype} values; declare `range: signed` ([-1, 1]), `range: unit` ([0, 1]) "
            "or `range: uint8` (0 to 255) in its settings"
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise BadOutputError("not finite")
    low, high = _RANGES[value_range]
    slack = _OVERSHOOT * (high - low)
    if values.min() < low - slack or values.max() > high + slack:
        raise BadOutputError(
            f"values far outside the declared range {value_range} ([{low:g}, {high:g}]); is `range` right?"
        )
    scaled = np.rint((np.clip(values, low, high) - low) / (high - low) * 255.0)
    return scaled.astype(np.uint8)


def generations_from(outputs: Any, form: ImageFormat) -> list[Generation]:
    """Turn a batch of outputs (an array or a sequence, first axis the samples) into one generation each."""
    generations = []
    for output in outputs:
        try:
            generations.append(Generation(image=to_rgb(output, form)))
        except BadOutputError as bad:
            generations.append(Generation(error=str(bad)))
    return generations


def to_png(image: NDArray[np.uint8]) -> bytes:
    """Encode uint8 ``[height, width, 3]`` as PNG; the same pixels give the same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
