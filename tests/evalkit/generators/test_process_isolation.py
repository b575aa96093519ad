"""The child process: what it sees, how it ends, and that nothing the model does disturbs the conversation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from evalkit.generators.base import GenerationFailed, Request
from evalkit.generators.process import GeneratorProcess, InProcessGenerator
from evalkit.generators.seeds import unconditional_requests
from evalkit.outputs import read_shard
from metrics.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def requests(count: int = 4) -> list[Request]:
    return [Request(f"s{i}", i, i, f"prompt {i}") for i in range(count)]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            import os, sys, time

            print("printed while importing")

            def noisy(prompt):
                print('{"ok": {"rows": 999}}')
                os.write(1, b"raw bytes on descriptor 1\\n")
                os.system("echo from a child process")
                assert sys.stdin.read() == ""
                return prompt.upper()

            def environment(prompt):
                return repr(sorted(os.environ)) + os.environ.get("APP_KEY", "")

            def crash(prompt):
                print(f"key is {os.environ.get('APP_KEY')}", file=sys.stderr)
                os._exit(7)

            def abort(prompt):
                os.abort()

            def slow(prompt):
                time.sleep(60)

            def raising(prompt):
                if prompt.endswith("2"):
                    raise ValueError("no twos: " + os.environ.get("APP_KEY", ""))
                return prompt

            def broken(prompt):
                raise RuntimeError("always 5")
            """
        )
    )
    return tmp_path


def call(name: str, app: Path, **options: object) -> GeneratorProcess:
    return GeneratorProcess({"adapter": "callable", "call": f"app:{name}"}, cwd=app, **options)  # type: ignore[arg-type]


def test_prints_and_reads_of_the_model_do_not_disturb_the_protocol(app: Path) -> None:
    shard = app / "out" / "shard.parquet"
    with call("noisy", app) as process:
        assert process.describe()["modality"] == "text"
        info = process.write_shard(requests(), {}, shard)
    rows, metadata = read_shard(shard)
    assert (info.rows, info.errors, info.generator_calls) == (4, 0, 4)
    assert rows["text"].to_pylist() == [f"PROMPT {i}" for i in range(4)]
    assert info.peak_memory > 10**6 and float(metadata["seconds"]) == info.seconds
    assert [p.name for p in shard.parent.iterdir()] == ["shard.parquet"]


def test_only_named_variables_are_seen(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_KEY", "visible-value")
    monkeypatch.setenv("DATABASE_PASSWORD", "a secret")
    shard = app / "shard.parquet"
    with call("environment", app, env=["APP_KEY"]) as process:
        process.write_shard(requests(1), {}, shard)
    seen = read_shard(shard)[0]["text"][0].as_py()
    assert "visible-value" in seen and "PATH" in seen
    assert "DATABASE_PASSWORD" not in seen
    with call("environment", app) as process:
        process.write_shard(requests(1), {}, shard)
    assert "visible-value" not in read_shard(shard)[0]["text"][0].as_py()


def test_unset_variable_is_named(app: Path) -> None:
    with pytest.raises(InputError, match="NOT_SET_ANYWHERE"):
        call("noisy", app, env=["NOT_SET_ANYWHERE"])


def test_crash_is_one_line_without_secrets_and_leaves_no_shard(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_KEY", "hunter2-hunter2")
    with call("crash", app, env=["APP_KEY"]) as process, pytest.raises(GenerationFailed) as caught:
        process.write_shard(requests(), {}, app / "shard.parquet")
    message = str(caught.value)
    assert "exit status 7" in message and "key is [redacted]" in message and "hunter2" not in message
    assert not (app / "shard.parquet").exists()


def test_death_by_signal_is_named(app: Path) -> None:
    with call("abort", app) as process, pytest.raises(GenerationFailed, match="killed by SIGABRT"):
        process.write_shard(requests(), {}, app / "shard.parquet")


def test_time_limit_stops_the_child_and_the_next_shard_starts_afresh(app: Path) -> None:
    with call("slow", app, time_limit=0.5) as process:
        process.describe()
        before = time.monotonic()
        with pytest.raises(GenerationFailed, match=r"time limit of 0\.5 s"):
            process.write_shard(requests(), {}, app / "shard.parquet")
        assert time.monotonic() - before < 5
        assert process.describe()["modality"] == "text"


def test_one_bad_sample_does_not_take_the_others_along(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_KEY", "hunter2-hunter2")
    with call("raising", app, env=["APP_KEY"]) as process:
        info = process.write_shard(requests(), {"batch_size": 4}, app / "shard.parquet")
    errors = read_shard(app / "shard.parquet")[0]["error"].to_pylist()
    assert info.errors == 1 and errors == [None, None, "ValueError: no twos: [redacted]", None]


def test_uniform_failure_of_the_first_shard_stops_the_run(app: Path) -> None:
    with call("broken", app) as process:
        with pytest.raises(GenerationFailed, match=r"all of the first 4 outputs failed .*RuntimeError: always 5"):
            process.write_shard(requests(), {}, app / "shard.parquet")
        later = [Request("s9", 9, 9, "x")]  # a resumed run must end as an undisturbed one would
        assert process.write_shard(later, {}, app / "later.parquet").errors == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [("app:missing", "has no 'missing'"), ("nowhere:f", "no module 'nowhere'"), ("app.noisy", "module:function")],
)
def test_bad_calls(app: Path, target: str, message: str) -> None:
    with (
        GeneratorProcess({"adapter": "callable", "call": target}, cwd=app) as process,
        pytest.raises(InputError, match=message),
    ):
        process.describe()


def test_unknown_adapter_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean 'torch'"):
        GeneratorProcess({"adapter": "torhc"})


def test_child_dies_within_a_second_of_its_parent(app: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, threading
        from pathlib import Path
        from evalkit.generators.base import Request
        from evalkit.generators.process import GeneratorProcess

        process = GeneratorProcess({{"adapter": "callable", "call": "app:slow"}}, cwd=Path({str(app)!r}))
        starter = threading.Thread(target=process.describe)  # the thread that starts it may end before it does
        starter.start()
        starter.join()
        print(process._process.pid, flush=True)
        process.write_shard([Request("s", 0, 0, "x")], {{}}, Path("shard.parquet"))
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)
        assert child.is_running() and parent.poll() is None
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 1
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    finally:
        parent.kill()
        parent.wait()


def test_in_process_object_makes_the_same_shard_as_the_child(exported: Path, tmp_path: Path) -> None:
    from evalkit.exported import load_exported

    settings = {"latent": [16], "range": "signed"}
    asked = unconditional_requests(3, 0, 20)
    with GeneratorProcess({"adapter": "torch", "path": str(exported), "settings": settings}) as process:
        process.write_shard(asked, {}, tmp_path / "child.parquet")
    from evalkit.generators.torch_module import TorchModule

    with InProcessGenerator(TorchModule(load_exported(exported).module, settings, exported=True)) as here:
        here.write_shard(asked, {}, tmp_path / "here.parquet")
    child, own = (read_shard(tmp_path / f"{name}.parquet")[0] for name in ("child", "here"))
    assert child["image"].equals(own["image"]) and child["seed"].equals(own["seed"])
