"""The users of MLflow's basic auth with roles of ours: one login for both."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from evalkit.errors import ConflictError, NotFoundError
from metrics.errors import InputError
from registry import identity
from registry.actors import ADMIN, VIEWER, intent
from registry.database import connect, upgrade
from registry.digests import now_ms
from registry.identity import Token
from registry.leases import Leases
from registry.mlflow_store import plain_uri
from registry.tables import DEFAULT_WORKSPACE

ADMIN_USER = "admin"
WORKER_USER = "evalkit-worker"
"""As whom the server's own worker reaches MLflow; its password is known to nobody."""

MOST_TOKENS = 200
"""Of one user that are alive at a time."""

_REMEMBERED = 1024
_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """A user: MLflow's name and id, and all roles."""

    username: str
    user_id: int
    roles: frozenset[str]


class Accounts:
    """Users, their roles and their tokens in one database; the audit names the present actor, or the given one.

    Args:
        database_url: where MLflow's registry, its users and our tables are.
        store: MLflow's own store of users, where a server has opened it already.
    """

    def __init__(self, database_url: str, store: Any = None) -> None:
        self.engine = connect(plain_uri(database_url))
        upgrade(self.engine)
        self._store = store or _open_store(plain_uri(database_url))
        # As MLflow has them: on a server, `bind_users` has them heed the request's login, and do what `remove` does
        self._get_user, self._delete_user = self._store.get_user, self._store.delete_user
        self._key = secrets.token_bytes(32)
        self._checked: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
        self._store.engine.dispose()

    def find(self, username: str) -> Account | None:
        """The account of that name."""
        user = self._user(username)
        return None if user is None else self._account(user)

    def get(self, username: str) -> Account:
        """The account of that name, which is not the worker's; an unknown one raises `NotFoundError`."""
        return self._account(self._known(username))

    def list(self) -> list[Account]:
        """All accounts, by name; the server's own worker is not one."""
        users = [user for user in self._store.list_users() if user.username != WORKER_USER]
        return sorted((self._account(user) for user in users), key=lambda account: account.username)

    def authenticate(self, username: str, password: str) -> Account | None:
        """The account with this name and password."""
        from mlflow.server.auth import _is_disabled_legacy_admin_login
        from werkzeug.security import check_password_hash

        user = self._user(username)
        stored = user.password_hash if user is not None else _nobody()
        # A slow hash for every request would cost more than the request; a changed password changes the key
        key = hmac.digest(self._key, f"{username}\0{stored}\0{password}".encode(), hashlib.sha256)
        with self._lock:
            known = key in self._checked
        if not known and not check_password_hash(stored, password):
            return None
        if user is None or _is_disabled_legacy_admin_login(username, password, user):
            return None
        with self._lock:
            self._checked[key] = None
            while len(self._checked) > _REMEMBERED:
                self._checked.popitem(last=False)
        return self._account(user)

    def add(self, username: str, password: str, roles: Iterable[str], *, actor: str | None = None) -> Account:
        """Make a user.

        Raises:
            InputError: the name is taken or not allowed, the password is too short, or a role does not exist.
        """
        from mlflow.exceptions import MlflowException

        wanted = [identity.check_role(role) for role in roles]
        if username == WORKER_USER:
            raise InputError(f"the name '{WORKER_USER}' belongs to the server's worker; choose another")
        if self._user(username) is not None:
            raise ConflictError(f"there is a user '{username}' already; change the roles with `evalkit user roles`")
        try:
            user = self._store.create_user(username, password, is_admin=ADMIN in wanted)
        except MlflowException as error:
            raise InputError(str(error.message)) from None
        identity.set_roles(self.engine, username, user.id, wanted, actor=_by(actor))
        return self._account(user)

    def set_roles(self, username: str, roles: Iterable[str], *, actor: str | None = None) -> Account:
        """Give a user exactly these roles.

        Raises:
            InputError: no such user or role, or nobody would be an admin any more.
        """
        wanted = [identity.check_role(role) for role in roles]
        with self._alone():
            user = self._known(username)
            if ADMIN not in wanted:
                self._keep_an_admin(user)
            identity.set_roles(self.engine, username, user.id, wanted, actor=_by(actor))
            if user.is_admin != (ADMIN in wanted):
                user = self._store.update_user(username, is_admin=ADMIN in wanted)
            return self._account(user)

    def set_password(self, username: str, password: str, *, actor: str | None = None) -> Account:
        """Give a user another password.

        Raises:
            InputError: no such user, or the password is too short.
        """
        from mlflow.exceptions import MlflowException

        self._known(username)
        try:
            user = self._store.update_user(username, password=password)
        except MlflowException as error:
            raise InputError(str(error.message)) from None
        identity.note_password(self.engine, username, actor=_by(actor))
        return self._account(user)

    def remove(self, username: str, *, actor: str | None = None) -> Account:
        """Remove a user with roles and tokens.

        Raises:
            InputError: no such user, or nobody would be an admin any more.
        """
        with self._alone():
            user = self._known(username)
            self._keep_an_admin(user)
            account = self._account(user)
            # Roles and tokens first: what is left of a removal that stopped half-way is a user who may do nothing
            identity.forget_user(self.engine, username, actor=_by(actor))
            self._delete_user(username)
            return account

    def make_token(
        self, username: str, *, role: str | None = None, label: str = "", expires_at: int | None = None,
        actor: str | None = None,
    ) -> tuple[str, Token]:  # fmt: skip
        """Make a token for a user; return its secret, which is kept nowhere, and what may be shown of it.

        Raises:
            InputError: no such user, the user has not got the role, or has `MOST_TOKENS` already.
        """
        account = self.get(username)
        if role is not None and identity.check_role(role) != VIEWER and not account.roles & {role, ADMIN}:
            has = ", ".join(sorted(account.roles)) or "none"
            raise InputError(f"{username} has not got the role {role} (has: {has}); a token cannot give it")
        now = now_ms()
        if sum(token.alive(now) for token in self.tokens(username)) >= MOST_TOKENS:
            raise InputError(f"{username} has {MOST_TOKENS} tokens; revoke some with `evalkit token revoke`")
        return identity.create_token(
            self.engine, account.username, account.user_id, actor=_by(actor), role=role, label=label,
            expires_at=expires_at,
        )  # fmt: skip

    def tokens(self, username: str | None = None) -> Sequence[Token]:
        """Tokens of one user, or of all, the newest first."""
        return identity.list_tokens(self.engine, username)

    def revoke(self, prefix: str, *, of: str | None = None, actor: str | None = None) -> Token:
        """Revoke the token that begins so, among those of one user or of all.

        Raises:
            InputError: no token, or more than one, begins so.
        """
        return identity.revoke_token(self.engine, prefix, actor=_by(actor), username=of)

    def make_first_admin(self, password: str) -> bool:
        """Make the user ``admin`` where nobody is one yet; say whether it was made."""
        if any(ADMIN in account.roles for account in self.list()):
            return False
        self.add(ADMIN_USER, password, [ADMIN], actor="evalkit server")
        return True

    def has_admin(self) -> bool:
        """Whether anybody is an admin."""
        return any(ADMIN in account.roles for account in self.list())

    def make_worker(self) -> None:
        """Make the user of the server's worker, with a password that nobody knows."""
        if self._user(WORKER_USER) is None:
            self._store.create_user(WORKER_USER, secrets.token_urlsafe(32), is_admin=True)

    def _account(self, user: Any) -> Account:
        roles = identity.roles_of(self.engine, user.username, user.id)
        return Account(user.username, user.id, roles | ({ADMIN} if user.is_admin else frozenset()))

    def _user(self, username: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._get_user(username)
        except MlflowException:
            return None

    def _known(self, username: str) -> Any:
        user = self._user(username)
        if user is None or username == WORKER_USER:
            raise NotFoundError(f"no user '{username}'; see `evalkit user list`")
        return user

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two admins who take each other's role away at the same time would leave none."""
        leases = Leases(self.engine, DEFAULT_WORKSPACE)
        lease = leases.acquire("users", wait=_WAIT, what="users and their roles")
        try:
            yield
        finally:
            leases.release(lease)

    def _keep_an_admin(self, user: Any) -> None:
        if user.is_admin and not any(
            ADMIN in account.roles for account in self.list() if account.username != user.username
        ):
            raise InputError(f"'{user.username}' is the only admin; make somebody else one first")


def _by(actor: str | None) -> str:
    return actor or intent().actor.name


def _open_store(database_url: str) -> Any:
    require_auth()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, of libraries that it uses
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database_url)  # type: ignore[no-untyped-call]
    return store


def require_auth() -> None:
    """Raise `InputError` where what MLflow's basic auth needs is not installed."""
    from importlib.util import find_spec

    if find_spec("flask_wtf") is None:
        raise InputError("users need Flask-WTF, which is not installed; install evalkit[server]")


def _nobody() -> str:
    """A hash that no password has: unknown names take as long as known ones."""
    from werkzeug.security import generate_password_hash

    if not _NOBODY:
        _NOBODY.append(generate_password_hash(secrets.token_urlsafe(32)))
    return _NOBODY[0]


_NOBODY: list[str] = []
