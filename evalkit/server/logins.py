"""From the ``Authorization`` header to a login: passwords, API tokens, and the server's own worker."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

from evalkit.server.accounts import WORKER_USER, Accounts
from evalkit.server.identity import Login, login_of
from registry.actors import EVALUATOR, Actor
from registry.identity import find_token, narrowed

PER_USER, PER_ADDRESS, WINDOW = 10, 100, 300.0
"""Failed logins with a password that one address may have within so many seconds: per name, and in all."""

_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an ``Authorization`` header says: a name with a password, or a token."""

    secret: str
    username: str | None = None


def read_header(value: str | None) -> Credentials | None:
    """The credentials in an ``Authorization`` header; None where there is none, or none that can be read."""
    scheme, _, rest = (value or "").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return Credentials(rest)
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return Credentials(password, username) if colon and username and "\0" not in username + password else None


class Logins:
    """Answers whose credentials these are.

    Args:
        accounts: the users.
        worker_token: what the server's own worker sends; None where there is no worker.
    """

    def __init__(self, accounts: Accounts, worker_token: str | None = None) -> None:
        self._accounts = accounts
        self._worker_token = worker_token

    def identify(self, credentials: Credentials) -> Login | None:
        """The login behind credentials; reads the database, and may take as long as a password's hash."""
        if credentials.username is not None:
            account = self._accounts.authenticate(credentials.username, credentials.secret)
            # The worker has a user for MLflow's sake, who never logs in with a password
            if account is None or account.username == WORKER_USER:
                return None
            return login_of(account.username, account.roles)
        if self._worker_token and secrets.compare_digest(
            credentials.secret.encode("utf-8", "surrogatepass"), self._worker_token.encode()
        ):
            return Login(Actor(WORKER_USER, frozenset({EVALUATOR})), frozenset({EVALUATOR}), mlflow_admin=True)
        token = find_token(self._accounts.engine, credentials.secret)
        if token is None:
            return None
        account = self._accounts.find(token.username)
        if account is None or account.user_id != token.user_id:
            return None
        return login_of(account.username, narrowed(account.roles, token.role), token)


class FailedLogins:
    """Failed logins of late, by key; an attempt beyond the limit waits. One server process has one."""

    def __init__(self, window: float = WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window, clock
        self._times: dict[Hashable, deque[float]] = {}
        self._lock = Lock()

    def wait(self, address: str, username: str) -> float:
        """Seconds until this address may try this name again; 0 now."""
        with self._lock:
            return max(self._left((address, username), PER_USER), self._left(address, PER_ADDRESS))

    def note(self, address: str, username: str) -> None:
        """A login failed."""
        now = self._clock()
        with self._lock:
            if len(self._times) > _MANY:
                self._times = {key: times for key, times in self._times.items() if times[-1] > now - self._window}
            for key, limit in (((address, username), PER_USER), (address, PER_ADDRESS)):
                self._times.setdefault(key, deque(maxlen=limit)).append(now)

    def forgive(self, address: str, username: str) -> None:
        """A login succeeded: that name's failures are forgotten."""
        with self._lock:
            self._times.pop((address, username), None)

    def _left(self, key: Hashable, limit: int) -> float:
        times = self._times.get(key)
        if times is None or len(times) < limit:
            return 0.0
        return max(0.0, times[0] + self._window - self._clock())
