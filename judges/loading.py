"""Judges from files: Markdown whose front matter is YAML and whose body is the prompt, or YAML alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from judges.definition import Calibrated, Definition, Example, Passes, Sampling
from judges.validation import explain_validation
from judges.yaml_source import MAX_BYTES, Document, read_yaml
from judges.yaml_source import Path as Place
from metrics.errors import InputError, did_you_mean

_SUFFIXES = (".md", ".yaml", ".yml")
_FENCE = "---"


def builtin_names() -> list[str]:
    """Names of the judges that come with evalkit, sorted."""
    folder = resources.files("judges") / "builtin"
    return sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))


def read_definition(path: str | Path) -> Definition:
    """Read a judge from a file (``.md``, ``.yaml``), or one that comes with evalkit by its name.

    Raises:
        InputError: with ``file:line`` for everything that is wrong in the file.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        if str(path) in builtin_names():
            file = resources.files("judges") / "builtin" / f"{path}.md"
            return parse_definition(file.read_text("utf-8"), f"{path}.md")
        raise InputError(
            f"there is no judge '{path}'; known are files that end in .md or .yaml, and "
            f"{', '.join(builtin_names())}{did_you_mean(str(path), builtin_names())}"
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1000} kB; a judge is a prompt, not data")
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such judge file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save the judge as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_definition(text, str(path))


def parse_definition(text: str, origin: str) -> Definition:
    """Read a judge from the text of a file; `origin` is its name in errors, and its suffix says what it is."""
    text = text.removeprefix("\ufeff")
    if not origin.endswith(".md"):
        document = read_yaml(text, origin)
        # a block scalar's text begins on the line below its key
        block = 1 if "\n" in str(_mapping(document).get("prompt", "")) else 0
        return _checked(document, block)
    lines = text.split("\n")
    ends = [place for place, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(ends) < 2 or ends[0] != 0:
        raise InputError(f"{origin}:1: a judge in Markdown starts with YAML between two lines of {_FENCE}")
    # an empty line in place of the fence keeps the numbers of the lines
    document = read_yaml("\n".join(["", *lines[1 : ends[1]]]), origin)
    values = _mapping(document)
    if "prompt" in values:
        raise document.error(("prompt",), "in Markdown the prompt is the text below the front matter")
    body = lines[ends[1] + 1 :]
    blank = next((place for place, line in enumerate(body) if line.strip()), 0)
    start = ends[1] + 1 + blank + 1
    prompt = "\n".join(body[blank:]).rstrip()
    whole = Document(values | {"prompt": prompt}, {**document.lines, ("prompt",): start}, origin)
    return _checked(whole, 0)


def define(values: Mapping[str, Any]) -> Definition:
    """A definition from plain values, with errors in one line."""
    return _checked(Document(dict(values), {}, f"judge {values.get('name')!r}"), 0)


def _mapping(document: Document) -> dict[str, Any]:
    if not isinstance(document.value, dict):
        raise document.error((), "a judge is a mapping that starts with `name: <name>`")
    return document.value


def _checked(document: Document, block: int) -> Definition:
    try:
        return Definition.model_validate(document.value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if problem["type"] != "judge":
            raise explain_validation(error, document, _container, "the judge") from None
        context = problem["ctx"]
        message = f"`{'.'.join(str(part) for part in context['path'])}`: {context['message']}"
        if not context["offset"]:
            raise document.error(context["path"], message) from None
        line = document.line(context["path"]) + context["offset"] + block
        raise InputError(f"{document.origin}:{line}: {message}" if document.lines else message) from None


def _container(path: Place) -> type[BaseModel] | None:
    places: dict[tuple[str, ...], type[BaseModel]] = {
        (): Definition,
        ("sampling",): Sampling,
        ("passes",): Passes,
        ("calibrated",): Calibrated,
        ("examples", "*"): Example,
    }
    return places.get(tuple("*" if isinstance(part, int) else part for part in path))
