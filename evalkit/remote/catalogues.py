"""Suites, metrics and datasets as a server knows them, and versions that are taken to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.remote.client import Client, made, quoted, remote_version
from metrics.base import MetricSpec
from metrics.errors import InputError
from registry.entities import DatasetRecord, Evaluation

if TYPE_CHECKING:
    from evalkit.planning import SuitePlan
    from evalkit.portable.restore import Restored

_PAGE = 1000


def metrics(name: str | None = None) -> list[MetricSpec]:
    """What the server can measure: everything, or the metric of this name."""
    client = Client.from_environment()
    found = client.items("/metrics", limit=_PAGE) if name is None else [client.get(f"/metrics/{quoted(name)}")]
    return [made(MetricSpec, {**item, "needs": tuple(item["needs"])}) for item in found]


def list_datasets() -> list[DatasetRecord]:
    """Datasets that are registered on the server; where they lie there is not told."""
    return [made(DatasetRecord, {"location": "", **item}) for item in Client.from_environment().items("/datasets")]


def plan(path: Path, *, preset: str | None = None, model: str | None = None) -> SuitePlan:
    """Predict power, time and cost of a suite of this machine, which the server checks, from what the server has."""
    from evalkit.planning import plan_suite
    from evalkit.remote.mirror import open_mirror
    from registry.suite import Suite

    client, suite = Client.from_environment(), Suite.load(path)
    client.send("POST", "/suites/checks", {"suite": suite.text})
    with open_mirror(client) as (session, _):
        return plan_suite(suite, session, preset, _known(client, model) if model else None)


def restore(archive: Path, *, name: str | None = None) -> Restored:
    """Send an exported version to the server."""
    from evalkit.bundles.unpack import Limits
    from evalkit.portable.restore import Restored

    if not archive.is_file():
        raise InputError(f"there is no file {archive}")
    most = Limits().packed
    if archive.stat().st_size > most:
        raise InputError(f"{archive.name} has more than {most // 2**30} GiB: import it on the server's machine")
    told = Client.from_environment().upload("/imports", archive, name=name)
    lists = {item: tuple(told[item]) for item in ("evaluations", "present")}
    return made(Restored, {**told, **lists, "version": remote_version(told["version"]).version})


def _known(client: Client, model: str) -> tuple[str, Evaluation] | None:
    """The champion's newest evaluation, else that of the newest version that has one."""
    from evalkit.session import CHAMPION

    versions = [item.version for item in client.versions(model)]
    champions = [version for version in versions if CHAMPION in version.aliases]
    for version in [*champions, *reversed(versions)]:
        for evaluation in client.evaluations(version):
            if evaluation.status == "finished":
                return version.reference, client.with_estimates(evaluation)
    return None
