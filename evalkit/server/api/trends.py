"""``/models/<name>/trends``: every estimate over the versions of a model."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from evalkit.errors import NotFoundError
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Few, ModelName, Page, SliceQuery
from evalkit.server.api.schema.trends import LimitOut, TrendOut, TrendPointOut
from evalkit.views import history
from evalkit.views.history import Point

router = new_router("models")


@router.get("/models/{name}/trends", dependencies=[Anybody], summary="Estimates over the versions of a model")
def list_trends(
    project: InProject, name: ModelName, *,
    estimate: Annotated[
        str | None, Query(max_length=300, description="`task/metric` or `task/metric.key` alone.")
    ] = None,
    slice_: SliceQuery = None, cursor: Cursor = None, limit: Few = 20,
) -> Page[TrendOut]:  # fmt: skip
    """With intervals and the limits of gates; those that a gate has a rule on come first."""
    if not history.numbers(project, name):
        raise NotFoundError(f"there is no model '{name}' with a suite")
    judged = history.judged(project, name)
    if estimate is None:
        wanted, following = paging.cut(history.addresses(project, judged), cursor, limit)
        wanted = [one for one in wanted if not slice_ or one.slice == slice_]
    else:
        address, following = history.address_of(estimate, slice_ or ""), None
        wanted = [address] if address is not None else []
    found = history.points(project, judged, wanted)
    if estimate is not None and not any(found.values()):
        raise NotFoundError(f"no version of '{name}' has an estimate '{estimate}'")
    ruled = {address for one in judged for address in one.rules}
    return Page(
        items=[
            TrendOut(
                name=address.name, slice=address.slice, units=history.units(address), ruled=address in ruled,
                points=[_point(one) for one in points],
            )
            for address, points in found.items()
        ],
        next=following,
    )  # fmt: skip


def _point(one: Point) -> TrendPointOut:
    return TrendPointOut(
        version=one.version, value=one.value, low=one.low, high=one.high, n=one.n, outcome=one.outcome,
        limits=[LimitOut(rule=rule, value=value) for rule, value in one.limits], new_suite=one.new_suite,
    )  # fmt: skip
