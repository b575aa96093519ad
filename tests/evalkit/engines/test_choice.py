"""Which engine an evaluation gets, and what is refused before anything is recorded."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from evalkit.cli.evaluation import evaluate
from evalkit.engines import base
from evalkit.engines.base import LocalEngine, open_engine
from evalkit.engines.joining import connector
from metrics.errors import InputError

REPOSITORY = Path(base.__file__).parents[2]


def test_importing_evalkit_and_choosing_an_engine_leaves_ray_alone() -> None:
    code = (
        "import sys, evalkit, evalkit.api\n"
        "from evalkit.engines.base import open_engine\n"
        "with open_engine('ray', address='head:6379'): pass\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)


def test_the_local_engine_is_the_default_and_takes_no_address() -> None:
    with open_engine() as engine:
        assert isinstance(engine, LocalEngine)
    with pytest.raises(InputError, match="go with the engine 'ray'"), open_engine(workers=2):
        pass


def test_what_cannot_be_an_engine_is_refused() -> None:
    with pytest.raises(InputError, match="unknown engine 'rai'; did you mean 'ray'"), open_engine("rai"):
        pass


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'evalkit\[ray\]'"), open_engine("ray"):
        pass


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "head:70000", "http://head"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="expected auto, or host:port"):
        connector(address, None)


def test_addresses_of_ray_client_and_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="Ray Client"):
        connector("ray://head:10001", None)
    with pytest.raises(InputError, match="0 workers cannot be used"):
        connector(None, 0)


def test_an_address_where_nobody_answers_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(InputError, match=rf"no Ray cluster answers at 127\.0\.0\.1:{port} \(Connection refused\)"):
        connector(f"127.0.0.1:{port}", None)()


def test_the_command_refuses_options_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(evaluate, ["models:/m/1", "--workers", "2"])
    assert said.exit_code == 2 and "--workers goes with --engine ray" in said.output
    monkeypatch.setenv("EVALKIT_SERVER", "http://127.0.0.1:1")
    said = CliRunner().invoke(evaluate, ["models:/m/1", "--engine", "ray"])
    assert said.exit_code == 2 and "unset EVALKIT_SERVER" in said.output
