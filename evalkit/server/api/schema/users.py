"""Users, their roles and their tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field, SecretStr

from evalkit.server.api.schema.base import In, Out

_NAME = r'^[^/:"\\\x00-\x1f\x7f]+$'
Role = Literal["viewer", "labeler", "evaluator", "approver", "admin"]
UserName = Annotated[str, Path(min_length=1, max_length=255, pattern=_NAME, description="A user.")]
Prefix = Annotated[str, Path(pattern=r"^ek_[0-9a-f]{0,10}$", description="How a token begins: never the whole token.")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1000)]


class UserIn(In):
    """A user to be made."""

    username: str = Field(min_length=1, max_length=255, pattern=_NAME)
    password: Password = Field(description="At least 12 characters; kept as a hash, and told nowhere.")
    roles: list[Role] = Field(default_factory=list, max_length=5)


class RolesIn(In):
    """All roles that a user shall have."""

    roles: list[Role] = Field(max_length=5)


class PasswordIn(In):
    """Another password."""

    password: Password


class UserOut(Out):
    """A user with all roles."""

    username: str
    user_id: int
    roles: list[str]


class TokenIn(In):
    """A token to be made."""

    username: str | None = Field(None, min_length=1, max_length=255, description="Whose; one's own without.")
    role: Role | None = Field(None, description="The only role it acts in; all that its user has without.")
    label: str = Field("", max_length=100, description="What it is for.")
    expires_at: int | None = Field(None, ge=0, le=2**53, description="UTC milliseconds; never without.")


class TokenOut(Out):
    """A token as it may be shown; `last_used_at` is a minute coarse."""

    prefix: str
    username: str
    user_id: int
    role: str | None
    label: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


class TokenMade(TokenOut):
    """A new token with its secret, which is shown now and never again."""

    token: str
