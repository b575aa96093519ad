"""Forms that write: a token that only our own pages can know, beside the guard's look at where a request comes from."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Form, HTTPException
from fastapi.responses import RedirectResponse

from registry.actors import intent

_KEY = os.environ.get("MLFLOW_FLASK_SERVER_SECRET_KEY", "") or secrets.token_urlsafe(32)
"""The server's processes share one; a single process makes its own."""
_HOUR, _HOURS = 3600, 12


def token() -> str:
    """What a form of the present actor carries; good for half a day."""
    return _signed(int(time.time()) // _HOUR)


def checked(form_token: Annotated[str, Form(max_length=100)] = "") -> None:
    """A dependency of every route that a form writes to; one without the page's token is refused."""
    hour = int(time.time()) // _HOUR
    given = form_token.encode("utf-8", "surrogatepass")  # texts that are not ASCII cannot be compared
    if not any(hmac.compare_digest(given, _signed(hour - back).encode()) for back in range(_HOURS)):
        raise HTTPException(403, "this form is too old, or not one of ours; load the page again")


def back_to(address: str) -> RedirectResponse:
    """Go to one of our pages after a form was taken; an address elsewhere leads to the overview instead."""
    parts = urlsplit(address)
    inside = not parts.scheme and not parts.netloc and address.startswith("/evalkit") and "\\" not in address
    return RedirectResponse(address if inside else "/evalkit", 303)


def _signed(hour: int) -> str:
    told = f"{intent().actor.name}\0{hour}".encode()
    return hmac.new(_KEY.encode(), told, hashlib.sha256).hexdigest()
