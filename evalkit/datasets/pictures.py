"""Reads image files that may be hostile."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a few kilobytes can unpack to gigabytes."""
MAX_BYTES = 256 * 2**20
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image to uint8 ``[height, width, 3]`` RGB; transparency is laid over white, `name` is for messages."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise InputError(f"{name}: {width} x {height} pixels; at most {MAX_PIXELS:,} are read")
                if image.has_transparency_data:
                    layered = image.convert("RGBA")
                    flat = Image.new("RGBA", layered.size, (255, 255, 255, 255))
                    return np.asarray(Image.alpha_composite(flat, layered).convert("RGB"), dtype=np.uint8)
                if image.mode.startswith("I;16"):
                    return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
                return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        reason = "not an image in a known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise InputError(f"{name}: cannot be read as an image ({reason})") from None


def read_image_bytes(path: Path, name: str) -> bytes:
    """Return a file's bytes, or `InputError` where it is missing or too large."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{name}: {size:,} bytes; at most {MAX_BYTES:,} are read for one image")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None
