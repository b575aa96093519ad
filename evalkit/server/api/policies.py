"""``/policies``: what moving an alias needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Path

from evalkit.errors import NotFoundError
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody, read_suite
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Limit, Page
from evalkit.server.api.schema.policies import PolicyOut, PolicyPut
from evalkit.server.identity import needs
from registry.actors import ADMIN, Actor
from registry.homes import remember_suite
from registry.policy import Policy, list_policies, remove_policy, set_policy

router = new_router("policies")
Administers = Depends(needs(ADMIN))
Pattern = Annotated[
    str,
    Path(max_length=255, pattern=r'^[^/:@"\\\x00-\x1f\x7f]+$', description="A model's name; `*` stands for any text."),
]


@router.get("/policies", dependencies=[Anybody], summary="Policies")
def get_policies(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[PolicyOut]:
    """The most specific first; the first one that matches a model rules over it."""
    items, following = paging.cut(list_policies(project.engine), cursor, limit)
    return Page(items=[_told(item) for item in items], next=following)


@router.put("/policies/{pattern}", summary="Protect aliases of the models that a pattern matches")
def put_policy(
    project: InProject, pattern: Pattern, body: PolicyPut, actor: Annotated[Actor, Administers]
) -> PolicyOut:
    """Store a policy in place of the one with the same pattern."""
    for text in body.suite_texts:
        remember_suite(project.engine, read_suite(text))
    made, new = set_policy(project.engine, body.policy(pattern), actor=actor.name)
    return _told(made, new=new)


@router.delete("/policies/{pattern}", summary="Remove a policy")
def delete_policy(project: InProject, pattern: Pattern, actor: Annotated[Actor, Administers]) -> PolicyOut:
    """The models that it matched are then as in MLflow."""
    if all(item.pattern != pattern for item in list_policies(project.engine)):
        raise NotFoundError(f"there is no policy for '{pattern}'")
    return _told(remove_policy(project.engine, pattern, actor=actor.name))


def _told(item: Policy, *, new: bool | None = None) -> PolicyOut:
    return PolicyOut.model_validate({**asdict(item), "aliases": list(item.aliases), "suites": list(item.suites),
                                     "freeze": [asdict(w) for w in item.freeze], "new": new})  # fmt: skip
