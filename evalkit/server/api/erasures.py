"""``/erasures``: what is stored about a person goes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Response
from pydantic import Field

from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import In, Out
from evalkit.server.identity import needs
from registry.actors import ADMIN, Actor

router = new_router("erasures")


class EraseIn(In):
    """Whom to forget."""

    user: str = Field(min_length=1, max_length=200, description="The person's id, as applications tell it.")
    dry_run: bool = Field(default=False, description="Count what would be erased; nothing changes.")


class ErasureOut(Out):
    """What was erased, or would be."""

    id: str = Field(description="Of the erasure; empty for a dry run.")
    subject: str = Field(description="The person in the audit: a digest under the server's own key.")
    counts: dict[str, int] = Field(description="Place to what was erased there.")
    left: list[str] = Field(description="What could not be erased; the same request tries again.")
    notes: list[str] = Field(description="What lies where the server does not reach.")
    receipt: str = Field(description="Hash of the audit's entry; empty for a dry run.")


@router.post("/erasures", status_code=201, summary="Forget a person")
def erase(
    project: InProject, body: EraseIn, response: Response, actor: Annotated[Actor, Depends(needs(ADMIN))]
) -> ErasureOut:
    """Erase a person's rows, compute the windows that held them again, and leave a receipt in the audit.

    Answers when it is done, which takes as long as computing those windows. Sent again, it continues an erasure that
    was interrupted. A dry run is answered with 200.
    """
    from evalkit.monitoring.erasure import forget

    del actor
    made = forget(body.user, dry_run=body.dry_run, settings=project.settings)
    if body.dry_run:
        response.status_code = 200
    return ErasureOut.model_validate(made.to_json())
