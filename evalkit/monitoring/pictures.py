"""Images that rows name: read only from below a folder that the monitor declares."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets.pictures import decode_image, read_image_bytes
from metrics.errors import InputError
from registry.paths import confine

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_SHOWN = 120


class Pictures:
    """Reads images by reference.

    Args:
        root: the folder below which they lie; links that lead out of it are not followed.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"there is no folder {root} for images; name it with `root:`, below the monitor's folder")
        self._root = root.resolve()

    def read(self, reference: str) -> NDArray[np.uint8]:
        """Pixels uint8 ``[height, width, 3]`` RGB of a path below the root, or of its ``file:`` URI.

        Raises:
            InputError: it leads elsewhere, is not there, is too large, or is no image.
        """
        shown = reference[:_SHOWN]
        return decode_image(read_image_bytes(self._place(reference, shown), f"image '{shown}'"), f"image '{shown}'")

    def _place(self, reference: str, shown: str) -> Path:
        if not _SCHEME.match(reference):
            return confine(self._root, reference, "image")
        try:
            parts = urlsplit(reference)
        except ValueError:
            raise InputError(f"image '{shown}': not a path or `file:` URI") from None
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
            raise InputError(f"image '{shown}': only paths and `file:` URIs below the root are read")
        try:
            inside = Path(unquote(parts.path)).relative_to(self._root)
        except ValueError:
            raise InputError(f"image '{shown}' lies outside the root") from None
        return confine(self._root, str(inside), "image")
