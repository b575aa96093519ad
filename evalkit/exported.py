"""Loads models saved by ``torch.export`` without letting the file run code.

A ``.pt2`` file is less harmless than its name: ``torch.export.load`` falls back to unpickling (example inputs, tensors
marked ``use_pickle``, constants), loads shared libraries (AOTInductor), evaluates symbolic shapes with
``sympy.sympify``, compiles ``guards_code`` and lets a node call any attribute of ``torch`` (seen in torch 2.13). So the
archive is checked first: known members only, nothing pickled beyond what ``weights_only`` reads, operators from
``torch.ops`` and arithmetic only, shapes that are plain arithmetic.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.generators.base import GenerationFailed
from evalkit.generators.redaction import one_line
from metrics.errors import InputError

if TYPE_CHECKING:
    import torch

_MEMBERS = re.compile(
    r"^(models/[\w.-]+\.json|data/weights/(weight_\d+|[\w.-]+_weights_config\.json)"
    r"|data/constants/(tensor_\d+|[\w.-]+_constants_config\.json)|data/sample_inputs/[\w.-]+\.pt"
    r"|extra/[\w./-]+|archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment)$"
)
_OPERATORS = re.compile(
    r"^(torch\.ops\.(aten|prims|prim|higher_order|quantized_decomposed|torchvision)\.\w+(\.\w+)?"
    r"|torch\.sym_\w+|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt))$"
)
_WRITES_OR_READS_FILES = re.compile(r"^torch\.ops\.aten\.(from_file|save|load)\b")
_WORDS = re.compile(
    r"\b(?:[suz]+\d+|Symbol|positive|integer|nonnegative|nonzero|real|True|False|Add|Mul|Pow|Integer|Rational|Float|Max"
    r"|Min|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Piecewise|ceiling|floor|Abs|oo|int_oo|FloorDiv|ModularIndexing|Where|PythonMod|Mod"
    r"|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv"
    r"|IsNonOverlappingAndDenseIndicator|TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity)\b"
)
_PLAIN = re.compile(r"^[\d\s.,()+\-*/%<>=&|~']*$")
_NAME = re.compile(r"^[\w.@-]*$")
_NAME_KEYS = frozenset({"as_name", "parameter_name", "buffer_name", "tensor_constant_name", "fqn", "graph_name"})
_MAX_JSON = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Exported:
    """A loaded program.

    Attributes:
        module: takes and returns tensors; has no training mode.
        input_shape: shape of its one input without the batch; None where it has several or the shape varies.
        fixed_batch: batch size that it was exported with; None where any will do.
    """

    module: torch.nn.Module
    input_shape: tuple[int, ...] | None
    fixed_batch: int | None


def load_exported(path: Path, *, trust_pickle: bool = False) -> Exported:
    """Load a ``.pt2`` file.

    Raises `InputError` where loading could run code and `trust_pickle` does not allow it, `GenerationFailed` where the
    file is broken.
    """
    import torch

    if not trust_pickle:
        check_exported(path)
    try:
        program = torch.export.load(path)
        module = program.module(check_guards=False)  # guards are code in the file; shapes are checked by the operators
    except Exception as error:  # whatever a broken or foreign archive makes torch raise
        raise GenerationFailed(f"{path.name} is not a usable .pt2 model: {one_line(error)}") from None
    inputs = set(program.graph_signature.user_inputs)
    values = [n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name in inputs]
    if len(values) != 1 or not isinstance(values[0], torch.Tensor) or values[0].ndim < 2:
        return Exported(module, None, None)
    batch, *rest = values[0].shape
    shape = tuple(rest) if all(isinstance(size, int) for size in rest) else None
    return Exported(module, shape, batch if isinstance(batch, int) else None)


def check_exported(path: Path) -> None:
    """Raise `InputError` where loading the ``.pt2`` file could run code."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            for member, info in members.items():
                if not _MEMBERS.match(member):
                    raise _unsafe(path, f"the member {info.filename[:100]!a}")
                if member.endswith(".json"):
                    if info.file_size > _MAX_JSON:
                        raise InputError(f"{path.name}: '{member}' is too large")
                    _check_json(path, member, json.loads(archive.read(info)))
                elif member.startswith("data/sample_inputs/"):
                    _check_tensors(path, archive.read(info))
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} is not a usable .pt2 model ({error}); save it with torch.export.save") from None


def _check_json(path: Path, member: str, content: Any) -> None:
    for key, value in _items(content):
        if key == "use_pickle" and value:
            raise _unsafe(path, f"a pickled tensor in '{member}'")
        if not member.startswith("models/") or not isinstance(value, str):
            continue
        if key == "target" and (not _OPERATORS.match(value) or _WRITES_OR_READS_FILES.match(value)):
            raise _unsafe(path, f"a call of '{value[:80]}'")
        if key == "expr_str" and not _PLAIN.match(_WORDS.sub("", value)):
            raise _unsafe(path, f"the shape '{value[:80]}'")
        if key in _NAME_KEYS and not _NAME.match(value):
            raise _unsafe(path, f"the name '{value[:80]}'")


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from value.items()
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _check_tensors(path: Path, data: bytes) -> None:
    import torch

    if not data:
        return
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds; each means that it would fall back to unpickling
        raise _unsafe(path, "pickled example inputs") from None


def _unsafe(path: Path, what: str) -> InputError:
    return InputError(
        f"{path.name}: holds {what}, which can run code when it is loaded; export the model again with "
        "torch.export.save, or allow it with --trust-pickle if you trust where it comes from"
    )
