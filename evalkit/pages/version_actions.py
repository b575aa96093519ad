"""What people do to a version from its page: the same steps as the API's, for the same roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Response
from pydantic import BaseModel, Field

from evalkit.errors import ConflictError, ForbiddenError, NotFoundError
from evalkit.pages import forms
from evalkit.pages.rendering import new_router
from evalkit.pages.version import CHAMPION, Number
from evalkit.server.api import submissions
from evalkit.server.api.decisions import Approves, Promotes
from evalkit.server.api.evaluations import Evaluates
from evalkit.server.api.models import find
from evalkit.server.api.project import InProject
from evalkit.server.api.schema import ModelName
from evalkit.views import judged
from metrics.errors import InputError
from registry import promotion
from registry.actors import APPROVER, Actor
from registry.pages import version_page

router = new_router()
Checked = Depends(forms.checked)
Relied = Annotated[str, Form(pattern=r"^(?:[0-9a-f-]{36})?$")]
_HERE = "/models/{name}/{number:int}"


class Wish(BaseModel):
    """On which decision to promote, or for which reason without one."""

    decision: str = Field("", pattern=r"^(?:[0-9a-f-]{36})?$")
    override: str | None = Field(None, max_length=2000)
    form_token: str = ""


@router.post(_HERE + "/promote", dependencies=[Checked])
def promote(
    project: InProject,
    name: ModelName,
    number: Number,
    actor: Annotated[Actor, Promotes],
    wish: Annotated[Wish, Form()],
) -> Response:
    """Make the version champion: on the decision that the page showed, or with a reason as an override."""
    found = find(project, name, str(number))
    if wish.override is not None:
        if not actor.may(APPROVER):
            raise ForbiddenError("an override needs the role 'approver'")
        if not wish.override.strip():
            raise InputError("an override needs a reason, which is recorded")
        promotion.promote(project.registry, found, CHAMPION, override=wish.override)
    else:
        made = next((one for one in project.registry.decisions(found) if one.id == wish.decision), None)
        if made is None:
            raise ConflictError("this page is older than the decision that counts now; load it again")
        promotion.promote(project.registry, found, CHAMPION, decision=made)
    return _back(name, number, "promoted")


@router.post(_HERE + "/approve", dependencies=[Checked, Approves])
def approve(
    project: InProject, name: ModelName, number: Number, decision: Relied = "",
    comment: Annotated[str, Form(max_length=2000)] = "",
) -> Response:  # fmt: skip
    """Approve the decision that the page showed."""
    found = find(project, name, str(number))
    current = project.registry.current_decision(found)
    if current is None or current.id != decision:
        raise ConflictError("another decision counts by now; load the page again before you approve")
    promotion.approve(project.registry, found, alias=CHAMPION, comment=comment)
    return _back(name, number, "approved")


@router.post(_HERE + "/demote", dependencies=[Checked, Approves])
def demote(project: InProject, name: ModelName, number: Number) -> Response:
    """Take the alias ``champion`` away from the version."""
    promotion.demote(project.registry, find(project, name, str(number)), CHAMPION)
    return _back(name, number, "demoted")


@router.post(_HERE + "/decide", dependencies=[Checked])
def decide(
    project: InProject, name: ModelName, number: Number, actor: Annotated[Actor, Evaluates],
    evaluation: Annotated[str, Form(pattern=r"^[0-9a-f-]{36}$")],
) -> Response:  # fmt: skip
    """Have the gate decide again on stored results."""
    found = find(project, name, str(number))
    results, _ = judged.chosen(project.engine, found, evaluation)
    if results is None:
        raise NotFoundError(f"{found.reference} has no evaluation {evaluation}")
    submissions.decide(project, found, project.registry.evaluation_by_id(results.id), actor)
    return _back(name, number, "decided")


def _back(name: str, number: int, done: str) -> Response:
    return forms.back_to(f"{version_page(name, number)}?done={done}")
