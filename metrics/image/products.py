"""Products of float32 matrices by the fastest library at hand."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from metrics.image.features import Matrix

_WORTH_COPYING = 1e10
"""Operations below which NumPy is used in any case, so that small results depend on nothing else that runs."""
_WORTH_IMPORTING = 5e11
"""Operations that take about as long as the import of torch."""


@cache
def _torch_with_onednn() -> Any:
    """Torch, where it is installed and oneDNN serves it with AVX-512; None elsewhere."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    usable = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch if usable else None


class Multiplier:
    """Multiplies float32 rows with each other, by NumPy's BLAS or by oneDNN, which torch brings.

    oneDNN writes its kernels for the CPU that it finds. The OpenBLAS in NumPy's wheels chooses among those for CPUs
    known when it was built: on a newer one (AMD Zen 5, OpenBLAS 0.3.31) it multiplies at half the speed. Both round
    alike, by some 1e-6 of the product of the rows' lengths at d = 2,048.

    Args:
        operations: what is about to be asked for. From 1e10 on torch is used where it is imported already, from 5e11
            on where it is installed.
    """

    def __init__(self, operations: float) -> None:
        ready = operations >= (_WORTH_COPYING if "torch" in sys.modules else _WORTH_IMPORTING)
        self._torch = _torch_with_onednn() if ready else None

    def operand(self, rows: Matrix) -> Any:
        """Rows ``[n, d]``, float32 and contiguous, as `product` takes them; they may be shared or copied."""
        if self._torch is None:
            return rows
        return self._torch.from_numpy(np.require(rows, requirements=("C", "W"))).to_mkldnn()

    def product(self, a: Any, b: Any) -> Matrix:
        """``a @ b.T`` of two operands, float32 ``[m, n]``, to be written to."""
        if self._torch is None:
            product: Matrix = a @ b.T
        else:
            product = self._torch.nn.functional.linear(a, b).to_dense().numpy()
        return product

    def plain(self, a: Matrix, b: Matrix) -> Matrix:
        """``a @ b`` of arrays as they are, by the library of `product`."""
        if self._torch is None:
            result: Matrix = a @ b
        else:
            result = (self._torch.from_numpy(np.ascontiguousarray(a)) @ self._torch.from_numpy(b)).numpy()
        return result

    def alone(self) -> AbstractContextManager[object]:
        """Within it NumPy's BLAS keeps to one thread where torch multiplies: its threads, even idle, hold the cores."""
        return nullcontext() if self._torch is None else threadpool_limits(limits=1, user_api="blas")
