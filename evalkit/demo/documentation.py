"""The standard library's own documentation: every docstring of its modules, read from source without importing.

The text is under the PSF licence agreement. It comes from the interpreter that runs the demo, so its exact
content differs a little between Python versions; for one interpreter it is always the same.
"""

from __future__ import annotations

import ast
import inspect
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LICENCE = "PSF-2.0"
SOURCE = "docstrings of the Python standard library, https://docs.python.org/3/license.html"

# Not on every installation, or not documentation of a library.
_LEFT_OUT = {
    *("antigravity", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
    *("test", "this", "tkinter", "turtle", "turtledemo", "venv"),
}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(\[\"'`])")


@dataclass(frozen=True, slots=True)
class Entry:
    """One docstring: `name` is qualified (``textwrap.TextWrapper.fill``), `module` the top-level module."""

    name: str
    module: str
    kind: str
    text: str

    @property
    def summary(self) -> str:
        """The first sentence of the docstring, on one line."""
        paragraph = " ".join(self.text.strip().split("\n\n")[0].split())
        return _SENTENCE_END.split(paragraph)[0]


def chance(purpose: str, seed: int) -> random.Random:
    """A random stream of its own for each purpose."""
    return random.Random(f"{purpose}:{seed}")  # noqa: S311 - draws samples, guards nothing


@cache
def entries() -> tuple[Entry, ...]:
    """All docstrings of public modules, classes and functions, ordered by name."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, Entry] = {}
    for module in sorted(sys.stdlib_module_names - _LEFT_OUT):
        if module.startswith("_"):
            continue
        for path in _sources(root, module):
            dotted = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            if any(part.startswith("_") for part in dotted.split(".")):
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for entry in _documented(tree, dotted, module, "module"):
                found.setdefault(entry.name, entry)
    return tuple(found[name] for name in sorted(found))


def _sources(root: Path, module: str) -> list[Path]:
    single = root / f"{module}.py"
    if single.exists():
        return [single]
    return sorted(p for p in (root / module).rglob("*.py") if not {"test", "tests"} & set(p.parts))


def _documented(node: ast.AST, name: str, module: str, kind: str) -> Iterator[Entry]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield Entry(name, module, kind, inspect.cleandoc(text))
    if not isinstance(node, ast.Module | ast.ClassDef):
        return  # what is inside a function cannot be asked about by name
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            inner = "class" if isinstance(child, ast.ClassDef) else "method" if kind == "class" else "function"
            yield from _documented(child, f"{name}.{child.name}", module, inner)
