"""Any Python callable as a generator: ``call: module:function``, or an in-memory object."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit.generators.base import Generation, Generator, Modality, Request
from evalkit.generators.images import BadOutputError, ImageFormat, to_rgb
from metrics.errors import InputError, did_you_mean

_TEXT_KEYS = ("text", "output", "answer", "response", "completion")
_BY_NAME = ("seed", "row", "request", "settings")


class PythonCallable:
    """Calls a function once per sample, or once per batch.

    The signature decides. A first parameter named ``requests`` gets the whole batch, a list of `Request`, and the
    function returns one output each. Otherwise the function is called per sample: parameters named ``seed``, ``row``
    (the data's columns), ``request`` and ``settings`` get those by name, the first other parameter gets the prompt,
    and further ones are taken from the task's settings of the same name. Coroutine functions are awaited.

    An output is a str, an image (PIL, NumPy or torch; see `ImageFormat` for floats), a `Generation`, or a dictionary
    with ``text``/``output``/``answer``/``response``/``completion`` or ``image`` and, optionally, ``prompt_tokens``,
    ``output_tokens``, ``latency`` (seconds) and ``error``.
    """

    batch_size = 1

    def __init__(self, function: Callable[..., Any], settings: Mapping[str, Any] | None = None) -> None:
        self._function = function
        self._settings = dict(settings or {})
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):
            raise InputError(
                f"the signature of {_name(function)} cannot be read; wrap it in a function that takes `prompt`"
            ) from None
        self._batched = next(iter(self._signature.parameters), None) == "requests"
        if self._batched:
            self.batch_size = 32
        self.modality: Modality = self._modality()
        self.name = _name(function)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> Generator:
        """Import ``module:function``; a class is instantiated, and an object with ``generate`` is used as it is."""
        del trust_pickle  # a callable is code already: naming it is the trust
        target = resolve(str(description.get("call", "")))
        if inspect.isclass(target):
            target = target()
        if isinstance(target, Generator):
            return target
        return cls(target, description.get("settings"))

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return one generation per request."""
        merged = {**self._settings, **settings}
        form = ImageFormat.from_settings(merged)
        if self._batched:
            arguments = self._named({}, merged, skip=1)
            outputs = self._await(self._function(list(requests), **arguments))
            if not isinstance(outputs, Sequence) or isinstance(outputs, (str, bytes)):
                outputs = list(outputs)
            return [_generation(output, form) for output in outputs]
        return [_generation(self._call(request, merged), form) for request in requests]

    def _call(self, request: Request, settings: Mapping[str, Any]) -> Any:
        by_name = {"seed": request.seed, "row": request.row, "request": request, "settings": settings}
        first = next(iter(self._signature.parameters.values()), None)
        takes_prompt = (
            first is not None
            and first.name not in _BY_NAME
            and first.kind in {first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD, first.VAR_POSITIONAL}
        )
        if not takes_prompt:
            by_name["prompt"] = request.prompt
        prompt = (request.prompt,) if takes_prompt else ()
        return self._await(self._function(*prompt, **self._named(by_name, settings, skip=len(prompt))))

    def _named(self, by_name: Mapping[str, Any], settings: Mapping[str, Any], skip: int) -> dict[str, Any]:
        known = {**settings, "settings": settings, **by_name}
        named = {}
        for parameter in list(self._signature.parameters.values())[skip:]:
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
                continue
            if parameter.name in known:
                named[parameter.name] = known[parameter.name]
            elif parameter.default is parameter.empty:
                raise InputError(
                    f"{_name(self._function)} needs an argument '{parameter.name}' that is not given; "
                    "set it under `generate` of the task or give it a default"
                )
        return named

    @staticmethod
    def _await(result: Any) -> Any:
        return asyncio.run(_finish(result)) if inspect.isawaitable(result) else result

    def _modality(self) -> Modality:
        declared = self._settings.get("modality")
        if declared in {"image", "text"}:
            return "image" if declared == "image" else "text"
        returns = str(self._signature.return_annotation).lower()
        return "image" if any(word in returns for word in ("image", "ndarray", "tensor")) else "text"


async def _finish(awaitable: Any) -> Any:
    return await awaitable


def resolve(call: str) -> Any:
    """Import ``module:attribute`` from the current folder or the installed packages."""
    module, _, attribute = call.partition(":")
    if not module or not attribute or not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        raise InputError(f"`call: {call}` cannot be used; expected module:function, e.g. app.rag:answer")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        target: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise InputError(f"`call: {call}`: there is no module '{module}' in {here} or the environment") from None
        raise
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise InputError(f"`call: {call}`: '{module}' has no '{part}'{did_you_mean(part, dir(target))}")
        target = getattr(target, part)
    if not callable(target) and not isinstance(target, Generator):
        raise InputError(f"`call: {call}` names a {type(target).__name__}, which cannot be called")
    return target


def _generation(output: Any, form: ImageFormat) -> Generation:
    if isinstance(output, Generation):
        return output
    if output is None:
        return Generation(error="empty output")
    if isinstance(output, str):
        return Generation(text=output)
    if isinstance(output, Mapping):
        return _from_mapping(output, form)
    if hasattr(output, "shape") or hasattr(output, "convert"):
        try:
            return Generation(image=to_rgb(output, form))
        except BadOutputError as bad:
            return Generation(error=str(bad))
    return Generation(
        error=f"wrong type {type(output).__name__}; expected text, an image, a dictionary or a Generation"
    )


def _from_mapping(output: Mapping[str, Any], form: ImageFormat) -> Generation:
    counts = {key: output.get(key) for key in ("prompt_tokens", "output_tokens", "latency")}
    if output.get("error"):
        return Generation(error=str(output["error"]), **counts)
    if output.get("image") is not None:
        made = _generation(output["image"], form)
        return Generation(image=made.image, error=made.error, **counts)
    key = next((key for key in _TEXT_KEYS if key in output), None)
    if key is None:
        return Generation(error=f"a dictionary without any of {', '.join(_TEXT_KEYS)} or image")
    return Generation(text=output[key], **counts)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
