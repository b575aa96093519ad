"""Runs a generator in a child process that sees little, has limits on time, and dies with its parent.

This keeps credentials, crashes and prints of a model apart from evalkit. It is not a sandbox: the child runs as the
same user and may read that user's files.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import site
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import evalkit
from evalkit.generators.base import GenerationFailed, Request
from evalkit.generators.catalogue import adapt, check_description
from evalkit.generators.redaction import Redactor
from evalkit.generators.shards import ShardInfo, Task, can_score_likelihood, hardware_class, make_shard
from evalkit.generators.wire import decode, encode, error_from_wire, request_to_wire
from metrics.errors import InputError

BASIC_VARIABLES = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "SHELL",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_HOME",
        "CUBLAS_WORKSPACE_CONFIG",
        "XDG_CACHE_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "TORCH_HOME",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
    }
)
"""What a child sees of its parent's environment besides the variables that the task names."""

START_LIMIT = 900.0
"""Seconds that a model may take to load."""

Describe = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a generator's process is started with, so that another machine can start the same one.

    The attributes are those of `GeneratorProcess`; `env` has names only, never values.
    """

    description: Mapping[str, Any]
    env: tuple[str, ...]
    time_limit: float | None
    trust_pickle: bool
    cwd: Path


class GeneratorProcess:
    """A generator in a child process; use it as a context manager.

    Args:
        description: ``{"adapter": name, "path": ..., "settings": {...}}`` as `evalkit.models.describe_model` makes it.
        env: names of environment variables that the generator may see.
        time_limit: seconds that one shard may take; None is unlimited.
        trust_pickle: allow models whose loading runs code.
        cwd: folder in which the child runs and from which ``call`` imports.
        environment: where the variables that `env` names are read from; by default this process's own.

    Every method raises `GenerationFailed` with one line when the child crashed, was killed or ran out of time,
    and `InputError` when the description or settings cannot be used.
    """

    def __init__(
        self,
        description: Mapping[str, Any],
        *,
        env: Sequence[str] = (),
        time_limit: float | None = None,
        trust_pickle: bool = False,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        check_description(description)
        named = os.environ if environment is None else environment
        missing = [name for name in env if name not in named]
        if missing:
            raise InputError(f"the task names the environment variable {missing[0]} under `env`, but it is not set")
        if time_limit is not None and not time_limit > 0:
            raise InputError(f"`time_limit: {time_limit}` cannot be used; expected a positive number of seconds")
        self._description = dict(description)
        self._env = {name: named[name] for name in env}
        self._time_limit = time_limit
        self._trust_pickle = trust_pickle
        self._cwd = (cwd or Path.cwd()).resolve()
        if not self._cwd.is_dir():
            raise InputError(f"the folder {self._cwd} in which the generator should run does not exist")
        self._redact = Redactor(self._env.values())
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._complaints: deque[str] = deque(maxlen=20)
        self._keeper: threading.Thread | None = None
        self._facts: Describe | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def recipe(self) -> Recipe:
        """What the process is, or would be, started with."""
        return Recipe(self._description, tuple(self._env), self._time_limit, self._trust_pickle, self._cwd)

    def describe(self) -> Describe:
        """Load the model and return ``modality``, ``can_score_likelihood``, ``name`` and ``hardware``."""
        if self._facts is None:
            self._start()
            opening = {
                "description": self._description,
                "trust_pickle": self._trust_pickle,
                "secrets": list(self._env),
            }
            self._facts = self._ask(opening, START_LIMIT, "loading the model")
        return dict(self._facts)

    def write_shard(
        self, requests: Sequence[Request], settings: Mapping[str, Any], path: Path, task: Task = "generate"
    ) -> ShardInfo:
        """Make one shard in the child, which writes it to `path` whole or not at all."""
        self.describe()
        message = {
            "requests": [request_to_wire(request) for request in requests],
            "settings": dict(settings),
            "path": str(path.resolve()),
            "task": task,
        }
        reply = self._ask(message, self._time_limit, f"a shard of {len(requests)} samples")
        return ShardInfo(**reply)

    def close(self) -> None:
        """End the child and everything it started; may be called again."""
        process, self._process, self._facts = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        if self._keeper is not None:
            self._keeper.join(timeout=1)

    def _start(self) -> None:
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._replies = queue.SimpleQueue()
        self._complaints.clear()
        # The kernel ties the child to the thread that starts it: this one lives as long as the child.
        self._keeper = threading.Thread(target=self._keep, args=(started,), daemon=True, name="evalkit-generator")
        self._keeper.start()
        problem = started.get()
        if problem is not None:
            raise GenerationFailed(f"the generator's process could not be started: {problem}")

    def _keep(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        command = [sys.executable, "-P", "-u", "-m", "evalkit.generators.worker", str(os.getpid())]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=self._cwd,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            started.put(error)
            return
        self._process = process
        threading.Thread(target=self._listen, args=(process, self._replies), daemon=True).start()
        started.put(None)
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                text = line.decode("utf-8", "replace").strip()
                if text:
                    self._complaints.append(text)
        process.wait()

    @staticmethod
    def _listen(process: subprocess.Popen[bytes], replies: queue.SimpleQueue[bytes | None]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed under our hands by `close`
            for line in process.stdout:
                replies.put(line)
        replies.put(None)

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name in BASIC_VARIABLES} | self._env
        root = str(Path(evalkit.__file__).resolve().parent.parent)
        paths = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        if root not in {*site.getsitepackages(), site.getusersitepackages()}:
            paths.insert(0, root)
        if paths:
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        if not self._trust_pickle:
            environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
        environment["DO_NOT_TRACK"] = "1"
        return environment

    def _ask(self, message: Mapping[str, Any], limit: float | None, what: str) -> dict[str, Any]:
        line = encode(message)
        with self._lock:
            return self._converse(line, limit, what)

    def _converse(self, line: bytes, limit: float | None, what: str) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = self._replies.get(timeout=limit)
        except BrokenPipeError:
            reply = None
        except queue.Empty:
            self.close()
            raise GenerationFailed(
                f"the generator took longer than the time limit of {limit:g} s for {what} and was stopped; "
                "raise `time_limit` or make `batch_size` smaller"
            ) from None
        except BaseException:  # interrupted: a late reply must not answer the next question
            self.close()
            raise
        if reply is None:
            raise GenerationFailed(self._post_mortem(process, what))
        answer = decode(reply)
        if "error" in answer:
            raise error_from_wire(answer)
        result: dict[str, Any] = answer["ok"]
        return result

    def _post_mortem(self, process: subprocess.Popen[bytes], what: str) -> str:
        """Say how the child ended, with the last line that it wrote."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        if self._keeper is not None:
            self._keeper.join(timeout=1)
        code = process.returncode
        self.close()
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            how += " (out of memory?)" if code == -signal.SIGKILL else ""
        else:
            how = f"ended with exit status {code}"
        said = f"; its last line was: {self._redact(self._complaints[-1])[:300]}" if self._complaints else ""
        return f"the generator's process {how} during {what}{said}"


class InProcessGenerator:
    """An in-memory object behind the interface of `GeneratorProcess`, for ``evalkit.score(pipe, ...)``.

    `model` is anything that `evalkit.generators.catalogue.adapt` takes. Nothing is isolated and no time limit holds.
    """

    def __init__(self, model: Any, settings: Mapping[str, Any] | None = None) -> None:
        self._generator = adapt(model, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def describe(self) -> Describe:
        """Return ``modality``, ``can_score_likelihood``, ``name`` and ``hardware``."""
        return {
            "modality": self._generator.modality,
            "can_score_likelihood": can_score_likelihood(self._generator),
            "name": str(getattr(self._generator, "name", type(self._generator).__name__)),
            "hardware": hardware_class(self._generator),
        }

    def write_shard(
        self, requests: Sequence[Request], settings: Mapping[str, Any], path: Path, task: Task = "generate"
    ) -> ShardInfo:
        """Make one shard and write it to `path` whole or not at all."""
        return make_shard(self._generator, requests, settings, path, task=task)

    def close(self) -> None:
        """Nothing to end."""
