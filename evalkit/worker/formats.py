"""What is evaluated without anybody asking: formats that run no code, and suites that spend nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evalkit.models import describe_model
from metrics.errors import InputError
from registry.paths import confine
from registry.spec import SuiteSpec, Task

PICKLED = frozenset({".pkl", ".pickle", ".joblib", ".skops", ".pt", ".pth", ".ckpt", ".bin", ".dill", ".npy"})
_WEIGHTS = frozenset({"transformers", "diffusers"})
_TABLES = frozenset({"outputs", "images"})
_STORES = frozenset({"s3", "gs", "abfss", "wasbs"})
_PROXY = "mlflow-artifacts"
_NOWHERE = ("unreadable", None, None)


class RefusedFormatError(InputError):
    """This is not evaluated by itself; a person may do so with `evalkit check`."""


def check_model(generator: Mapping[str, Any], folder: Path, endpoints: Sequence[str] = ()) -> None:
    """Refuse a model that could run code, or would be asked with what is not its own.

    Args:
        generator: the version's description of its generator; empty where only its files tell.
        folder: the version's files.
        endpoints: base URLs that the worker's owner lets it ask.

    Raises:
        RefusedFormatError: says why.
    """
    described = describe_files(generator, folder)
    adapter = str(described.get("adapter"))
    if "call" in described or adapter == "callable":
        raise RefusedFormatError("it is Python code (call:)")
    if adapter == "openai":
        _check_endpoint(str(described.get("base_url") or ""), endpoints)
        return
    if adapter == "pyfunc":
        raise RefusedFormatError(
            "as a python_function it can run code when it is loaded; save it as safetensors or pt2"
        )
    if described.get("name") is not None or "path" not in described:
        raise RefusedFormatError("its weights are not among its files; register it with them")
    try:
        path = confine(folder, str(described["path"]), "its generator")
    except InputError as error:
        raise RefusedFormatError(str(error)) from None
    if adapter == "torch":
        _check_exported(path)
    elif adapter in _WEIGHTS:
        _check_weights(path)
    elif adapter not in _TABLES:
        raise RefusedFormatError(f"models of the kind '{adapter}' are not evaluated by themselves")


def describe_files(generator: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The description of a version's generator, from its files where `generator` has none; paths are relative."""
    if "adapter" in generator:
        return {"path": ".", **generator} if generator["adapter"] in _TABLES else dict(generator)
    root = folder.resolve()
    try:
        found = describe_model(root)
    except InputError as error:
        raise RefusedFormatError(str(error).replace(str(root), "it")) from None
    paths = [key for key in ("path", "tokenizer_path") if key in found]
    return found | {key: Path(found[key]).relative_to(root).as_posix() for key in paths} | dict(generator)


def check_location(location: str, tracking_uri: str) -> None:
    """Refuse files on a host of the version's choice: MLflow's client would go there, and log in with our token.

    Args:
        location: the artifact folder that the version's source leads to.
        tracking_uri: MLflow's address, whose own artifacts are fetched.

    Raises:
        RefusedFormatError: it is neither among the server's artifacts nor in an object store.
    """
    scheme, host, _ = _origin(location)
    if (location.startswith(("/", "file:///")) and not location.startswith("//")) or scheme in _STORES:
        return
    if scheme == _PROXY and (host is None or host == _origin(tracking_uri)[1]):
        return
    if scheme in {"http", "https"} and location.startswith(f"{tracking_uri.rstrip('/')}/api/2.0/{_PROXY}/artifacts/"):
        return
    raise RefusedFormatError("its files are on another host than the server's artifacts; log them to MLflow")


def check_suite(spec: SuiteSpec, *, brought: bool) -> None:
    """Refuse a suite that runs code or names variables; one that the version brings may not ask others either.

    Args:
        spec: the suite.
        brought: nobody but the version itself vouches for it.
    """
    for name, task in spec.tasks.items():
        if "call" in task.generate:
            raise RefusedFormatError(f"task '{name}' of its suite generates with Python code (call:)")
        if task.generate.get("env"):
            raise RefusedFormatError(f"task '{name}' of its suite hands environment variables to the model (env:)")
        if brought:
            _check_brought(name, task)


def needs_files(spec: SuiteSpec) -> bool:
    """Whether a suite reads files beside itself, so that its folder matters."""
    from registry.paths import DATASET

    for task in spec.tasks.values():
        given = [task.data, task.reference, task.outputs]
        if any(item is not None and not DATASET.match(item) for item in given):
            return True
        if (task.extractor or "").endswith(".pt2") or any(score.judged is not None for score in task.score):
            return True
        if any(isinstance(score.settings.get("held_out"), str) for score in task.score):
            return True
    return False


def _check_endpoint(url: str, endpoints: Sequence[str]) -> None:
    for known in endpoints:
        if _origin(url) == _origin(known) != _NOWHERE and f"{urlsplit(url).path.rstrip('/')}/".startswith(
            f"{urlsplit(known).path.rstrip('/')}/"
        ):
            return
    raise RefusedFormatError(
        f"its endpoint '{url or 'the official server'}' is none that this worker asks; start it with --endpoint"
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        standard = {"http": 80, "https": 443}.get(parts.scheme)
        if parts.username or parts.password or ".." in parts.path or "%" in parts.path or "\\" in url:
            return _NOWHERE
        return parts.scheme, parts.hostname, parts.port or standard
    except ValueError:
        return _NOWHERE


def _check_exported(path: Path) -> None:
    file = next(iter(sorted(path.glob("*.pt2"))), path) if path.is_dir() else path
    if file.suffix != ".pt2":
        raise RefusedFormatError(f"{file.name} is pickled and can run code when it is loaded; save it as pt2")


def _check_weights(folder: Path) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    risky = next((file for file in sorted(files) if file.suffix.lower() in PICKLED), None)
    if risky is not None:
        raise RefusedFormatError(f"{risky.name} is pickled and can run code when it is loaded; save it as safetensors")
    if not any(file.suffix == ".safetensors" for file in files):
        raise RefusedFormatError("it has no weights as safetensors")


def _check_brought(name: str, task: Task) -> None:
    if any(score.judged is not None for score in task.score):
        raise RefusedFormatError(
            f"task '{name}' of the suite that it brings asks a judge; name the suite in the policy"
        )
    if task.traces is not None:
        raise RefusedFormatError(
            f"task '{name}' of the suite that it brings reads traces; name the suite in the policy"
        )
