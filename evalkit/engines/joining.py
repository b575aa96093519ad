"""From what was asked for to a cluster: addresses are looked at, and Ray is set up, before Ray is imported."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable

from evalkit.engines.distributed import Cluster
from metrics.errors import InputError

REACH_LIMIT = 5.0
"""Seconds that a cluster's address may take to answer."""


def connector(address: str | None, workers: int | None) -> Callable[[], Cluster]:
    """What connects to the cluster at `address`, or starts one on this machine.

    Raises:
        InputError: an address or a number that cannot be used.
    """
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers cannot be used; expected 1 or more")
    if address is not None:
        check_address(address)

    def connect() -> Cluster:
        if address is None:
            _prepare_local()
        elif address != "auto":
            _reach(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a call after the end must not start another Ray
        from evalkit.engines.ray import RayCluster

        return RayCluster(address, workers)

    return connect


def check_address(address: str) -> None:
    """Refuse what is no address of a cluster."""
    if address.startswith("ray://"):
        raise InputError(
            f"'{address}' is an address of Ray Client, which this engine does not use; run the command on a machine of "
            "the cluster with `--address auto`, as docs/engines.md shows"
        )
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"'{address}' is no address of a Ray cluster; expected auto, or host:port such as head:6379")


def _reach(address: str) -> None:
    """Ray itself takes minutes to give up on an address where nobody listens, and ends the process then."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_LIMIT).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise InputError(
            f"no Ray cluster answers at {address} ({reason}); is it running, and is the port right?"
        ) from None


def _prepare_local() -> None:
    """Nobody but this process's own workers may reach a Ray that was started for them.

    Ray reads these when it is imported. The first one has it listen on the loopback interface alone; without a token
    of our own it would put one into the home folder, where a model's process could read it.
    """
    if "ray" in sys.modules:
        return
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
