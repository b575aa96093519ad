"""Roles of users and their API tokens, in our tables; who the users are, and their passwords, is MLflow's basic auth.

`user_id` is the id that MLflow gave the user. It goes with every role and token, so that somebody who is removed and
made again under the same name inherits nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from metrics.errors import InputError, did_you_mean
from registry import audit
from registry.actors import ADMIN, ROLES, VIEWER
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.tables import TokenRow, UserRoleRow

TOKEN_MARK = "ek_"  # noqa: S105 - what tokens begin with, so that scanners of secrets find them
_USED_EVERY = 60_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it may be shown.

    Attributes:
        prefix: its first characters, by which it is listed and revoked.
        username, user_id: whose it is.
        role: the only role it acts in; None for all of its user's.
        label: what it is for.
        created_at, expires_at, last_used_at, revoked_at: UTC milliseconds; `last_used_at` is a minute coarse.
    """

    prefix: str
    username: str
    user_id: int
    role: str | None
    label: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None

    def alive(self, now: int) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def check_role(role: str) -> str:
    """The role itself; raises `InputError` where there is none of that name."""
    if role not in ROLES:
        known = ", ".join(sorted(ROLES))
        raise InputError(f"no role '{role}'{did_you_mean(role, ROLES)}; known are {known}")
    return role


def roles_of(engine: Engine, username: str, user_id: int) -> frozenset[str]:
    """Roles that were given to a user; that of an admin is kept by MLflow."""
    with reading(engine) as session:
        return frozenset(row.role for row in _roles(session, username) if row.user_id == user_id)


def set_roles(engine: Engine, username: str, user_id: int, roles: Iterable[str], *, actor: str) -> frozenset[str]:
    """Give a user exactly these roles; return those that our table keeps (all but admin).

    Raises:
        InputError: a role that does not exist; nothing was changed.
    """
    wanted = frozenset(check_role(role) for role in roles) - {ADMIN}
    with writing(engine) as session:
        audit.lock(session)
        before = _roles(session, username)
        kept = {row.role for row in before if row.user_id == user_id and row.role in wanted}
        gone = [row for row in before if row.user_id != user_id or row.role not in wanted]
        new = [
            UserRoleRow(id=new_id(), created_at=now_ms(), username=username, user_id=user_id, role=role)
            for role in sorted(wanted - kept)
        ]
        for row in gone:
            session.delete(row)
        session.flush()
        session.add_all(new)
        facts = {"user": username, "user_id": user_id, "roles": sorted(wanted)}
        audit.append(session, "roles.set", actor=actor, facts=facts, rows=new, gone=gone)
    return wanted


def forget_user(engine: Engine, username: str, *, actor: str) -> None:
    """Take away a user's roles, and revoke their tokens."""
    with writing(engine) as session:
        audit.lock(session)
        gone = _roles(session, username)
        for row in gone:
            session.delete(row)
        session.execute(
            update(TokenRow)
            .where(TokenRow.username == username, TokenRow.revoked_at.is_(None))
            .values(revoked_at=now_ms())
        )
        audit.append(session, "user.removed", actor=actor, facts={"user": username}, gone=gone)


def note_password(engine: Engine, username: str, *, actor: str) -> None:
    """Write down that somebody gave a user another password; not which."""
    with writing(engine) as session:
        audit.append(session, "password.set", actor=actor, facts={"user": username})


def create_token(
    engine: Engine,
    username: str,
    user_id: int,
    *,
    actor: str,
    role: str | None = None,
    label: str = "",
    expires_at: int | None = None,
) -> tuple[str, Token]:
    """Make a token; return its secret, which is kept nowhere, and what may be shown of it.

    Raises:
        InputError: a role that does not exist, or a label over 100 characters.
    """
    if role is not None:
        check_role(role)
    if len(label) > 100:
        raise InputError(f"a label has at most 100 characters, this one {len(label)}")
    prefix = TOKEN_MARK + secrets.token_hex(5)
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = TokenRow(
        id=new_id(), created_at=now_ms(), prefix=prefix, hash=_hash(secret), username=username, user_id=user_id,
        role=role, label=label, expires_at=expires_at,
    )  # fmt: skip
    with writing(engine) as session:
        facts = {"token": prefix, "user": username, "role": role, "expires_at": expires_at}
        audit.append(session, "token.created", actor=actor, facts=facts)
        session.add(row)
        session.flush()
        return secret, _token(row)


def find_token(engine: Engine, secret: str) -> Token | None:
    """The token with this secret, if it is alive; notes that it was used."""
    # Looked up by its hash: how long that takes tells nothing about the secret
    now = now_ms()
    with reading(engine) as session:
        row = session.scalar(select(TokenRow).where(TokenRow.hash == _hash(secret)))
        if row is None or not _token(row).alive(now):
            return None
        found, key, used = _token(row), row.id, row.last_used_at
    if used is None or now - used >= _USED_EVERY:
        with writing(engine) as session:
            session.execute(update(TokenRow).where(TokenRow.id == key).values(last_used_at=now))
    return found


def list_tokens(engine: Engine, username: str | None = None) -> list[Token]:
    """Tokens of one user, or all, the newest first."""
    query = select(TokenRow).order_by(TokenRow.created_at.desc(), TokenRow.id.desc())
    if username is not None:
        query = query.where(TokenRow.username == username)
    with reading(engine) as session:
        return [_token(row) for row in session.scalars(query)]


def revoke_token(engine: Engine, prefix: str, *, actor: str, username: str | None = None) -> Token:
    """Revoke the token that begins with `prefix`, of one user where one is named; a revoked one stays as it is.

    Raises:
        InputError: no token, or more than one, begins so.
    """
    with writing(engine) as session:
        audit.lock(session)
        query = select(TokenRow).where(TokenRow.prefix.startswith(prefix, autoescape=True))
        if username is not None:
            query = query.where(TokenRow.username == username)
        found = list(session.scalars(query))
        if len(found) != 1:
            count = "no token begins" if not found else f"{len(found)} tokens begin"
            raise InputError(f"{count} with '{prefix[:20]}'; see `evalkit token list`")
        row = found[0]
        if row.revoked_at is None:
            row.revoked_at = now_ms()
            audit.append(session, "token.revoked", actor=actor, facts={"token": row.prefix, "user": row.username})
        return _token(row)


def narrowed(roles: frozenset[str], role: str | None) -> frozenset[str]:
    """What of a user's roles a token acts in: all, the one it is for, or, where the user lost that one, reading."""
    if role is None:
        return roles
    return frozenset({role if role in roles or ADMIN in roles else VIEWER})


def _roles(session: Session, username: str) -> list[UserRoleRow]:
    return list(session.scalars(select(UserRoleRow).where(UserRoleRow.username == username)))


def _hash(secret: str) -> str:
    # 256 random bits need no slow hash
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def _token(row: TokenRow) -> Token:
    return Token(
        row.prefix, row.username, row.user_id, row.role, row.label, row.created_at, row.expires_at, row.last_used_at,
        row.revoked_at,
    )  # fmt: skip
