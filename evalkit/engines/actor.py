"""What runs on a worker: one model at a time, a generator in its child process or a feature extractor.

Whatever a model's process leaves behind is read as bytes, never unpickled, and judged by whoever asked for it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

import numpy as np
from numpy.typing import NDArray

from evalkit.engines.folders import own_folder
from evalkit.engines.parcels import Fetch, Parcel, unpack
from evalkit.generators.base import GenerationFailed, Request
from evalkit.generators.wire import error_to_wire
from metrics.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.generators.process import GeneratorProcess, Recipe

Arrays = dict[str, NDArray[Any]]
Reply = dict[str, Any]
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Luggage:
    """The files of a generator for a worker that does not share them.

    Attributes:
        model: what the description's ``path`` names; None where it names nothing.
        code: Python files that a ``call`` imports from; None for other generators.
    """

    model: Parcel | None
    code: Parcel | None


def _answered(method: Callable[Concatenate[ShardActor, P], Any]) -> Callable[Concatenate[ShardActor, P], Reply]:
    """Answer with what the method returns, or with the line that says what is wrong."""

    def answer(self: ShardActor, /, *arguments: P.args, **named: P.kwargs) -> Reply:
        try:
            return {"ok": method(self, *arguments, **named)}
        except InputError as error:
            return error_to_wire(str(error), failed=isinstance(error, GenerationFailed))

    functools.update_wrapper(answer, method)
    return answer


class ShardActor:
    """Makes shards for a driver, which alone writes files that stay; `fetch` resolves chunks of parcels."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._folder = own_folder("evalkit-actor-")
        self._open = contextlib.ExitStack()
        self._generator: GeneratorProcess | None = None
        self._extractor: Any = None

    @_answered
    def introduce(self) -> dict[str, Any]:
        """The version of evalkit here, the process's id, and the folder that it leaves behind when it is killed."""
        return {"evalkit": own_version(), "pid": os.getpid(), "folder": str(self._folder)}

    @_answered
    def load_generator(self, recipe: Recipe, values: Mapping[str, str], luggage: Luggage | None) -> dict[str, Any]:
        """Load a model in a child process; returns what `GeneratorProcess.describe` does.

        Args:
            recipe: what to start.
            values: of the environment variables that the recipe names, which only the child sees.
            luggage: the recipe's files, where this machine does not have them.
        """
        from evalkit.generators.process import GeneratorProcess

        self._put_down()
        description, cwd = dict(recipe.description), recipe.cwd
        if luggage is not None:
            cwd = self._unpacked(luggage.code or Parcel(()), "code")
            if luggage.model is not None:
                description["path"] = str(self._unpacked(luggage.model, "model"))
        generator = GeneratorProcess(
            description,
            env=recipe.env,
            time_limit=recipe.time_limit,
            trust_pickle=recipe.trust_pickle,
            cwd=cwd,
            environment=values,
        )
        self._generator = self._open.enter_context(generator)
        return generator.describe()

    @_answered
    def generate(
        self, requests: Sequence[Request], settings: Mapping[str, Any], product: Literal["generate", "likelihood"]
    ) -> bytes:
        """The shard of some requests, as the child wrote it."""
        assert self._generator is not None
        path = self._folder / "shard.parquet"
        path.unlink(missing_ok=True)
        self._generator.write_shard(requests, settings, path, task=product)
        try:
            return _read_plain_file(path)
        finally:
            path.unlink(missing_ok=True)

    @_answered
    def load_extractor(self, name: str, source: Path | Parcel) -> dict[str, Any]:
        """Load an extractor by name, or the ``.pt2`` file of that name in `source`; returns its identity."""
        from evalkit.extractors.catalogue import load_extractor

        self._put_down()
        if isinstance(source, Parcel):
            folder = self._unpacked(source, "extractor")
            name = source.name or name
            source = folder.parent if source.name else folder
        self._extractor = load_extractor(name, folder=source)
        identity: dict[str, Any] = self._extractor.identity()
        return identity

    @_answered
    def output_features(self, outputs: str, table: pa.Table, start: int) -> Arrays:
        """Features of generated images, decoded here, by the name of the array.

        Args:
            outputs: digest of the outputs.
            table: the shard's rows.
            start: position of the first one.
        """
        from evalkit.outputs import write_shard
        from evalkit.runner.features import output_features
        from evalkit.runner.outputs import SUFFIX, TaskOutputs
        from evalkit.runner.shards import Rows, ShardFolder

        rows = Rows(start, start + table.num_rows)
        home = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            folder = ShardFolder(home / "outputs", outputs, {})
            write_shard(table, folder.file(rows, SUFFIX), {})
            return output_features(home, TaskOutputs(folder, _refuse), self._extractor).arrays(rows)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    @_answered
    def extract(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Features, and probabilities where there are some, of uint8 images ``[height, width, 3]``."""
        extracted = self._extractor.extract(list(images))
        probabilities = extracted.probabilities
        return np.asarray(extracted.features), None if probabilities is None else np.asarray(probabilities)

    @_answered
    def embed_texts(self, texts: Sequence[str]) -> NDArray[Any]:
        """Features of texts, ``[n, d]``."""
        return np.asarray(self._extractor.embed_texts(list(texts)))

    def _put_down(self) -> None:
        """Free what is loaded: there is room for one model."""
        self._generator = self._extractor = None
        self._open.close()

    def _unpacked(self, parcel: Parcel, name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        return unpack(parcel, folder, self._fetch)


def own_version() -> str:
    """The version of evalkit that is installed, or that there is none: then its sources are run as they lie there."""
    try:
        return metadata.version("evalkit")
    except metadata.PackageNotFoundError:
        return "not installed"


def _read_plain_file(path: Path) -> bytes:
    """Read a file that a model's process wrote; a link that it put there instead is not followed."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return stream.read()
    except OSError as error:
        raise GenerationFailed(f"the generator wrote no outputs that can be read: {error.strerror}") from None
    raise GenerationFailed("the generator wrote no outputs that can be read: not a plain file")


def _refuse(rows: object, path: Path) -> None:
    raise InputError(f"rows {rows} are not here ({path})")
