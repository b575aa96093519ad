"""What `evalkit server` starts: ``python -m evalkit.server.child web|worker``.

All they need is in the environment, where other users of the machine do not see it. Each ends when its parent is gone,
however that ended: the parent holds the other end of a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings

from metrics.errors import InputError

LIFELINE = "_EVALKIT_SERVER_LIFELINE"
HOST, PORT, PROCESSES = "_EVALKIT_SERVER_HOST", "_EVALKIT_SERVER_PORT", "_EVALKIT_SERVER_PROCESSES"
STORE, ARTIFACTS = "_EVALKIT_SERVER_STORE", "_EVALKIT_SERVER_ARTIFACTS"
ADMIN_PASSWORD = "EVALKIT_ADMIN_PASSWORD"  # noqa: S105 - the variable's name

_GENERATED_BYTES = 18
PATIENCE = 15.0
"""Seconds from one request to end to the next."""
_LAST_REQUESTS = 10
"""Seconds that requests under way get when the server ends."""


def hold_on(descriptor: int) -> None:
    """End this process when the other end of the pipe is closed."""

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        for _ in range(2):  # the first time asks to finish, the second to stop at once
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="lifeline").start()


def serve_web() -> None:
    """Run MLflow with evalkit's routes until a signal comes."""
    store = os.environ.pop(STORE)
    _tell_mlflow(store, os.environ.pop(ARTIFACTS))

    warnings.filterwarnings("ignore", module=r"mlflow\.")  # of libraries that MLflow uses
    from mlflow.server.handlers import initialize_backend_stores

    from evalkit.server.app import IDENTITY
    from registry.database import insist_on_writing
    from registry.mlflow_store import SCHEME, make_known_to_server

    insist_on_writing()
    # Here and not in each process that serves: they would make the tables at the same time
    make_known_to_server()
    initialize_backend_stores(store, SCHEME + store, "mlflow-artifacts:/")
    password = os.environ.pop(ADMIN_PASSWORD, None)
    if os.environ[IDENTITY] == "login":
        _prepare_users(store, password)

    import uvicorn

    uvicorn.run(
        "evalkit.server.app:create_app",
        factory=True,
        host=os.environ[HOST],
        port=int(os.environ[PORT]),
        workers=int(os.environ[PROCESSES]),
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_LAST_REQUESTS,
    )


def _tell_mlflow(store: str, artifacts: str) -> None:
    import uuid

    from mlflow.server import constants

    from registry.mlflow_store import SCHEME

    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: store,
        constants.REGISTRY_STORE_URI_ENV_VAR: SCHEME + store,
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _prepare_users(store: str, password: str | None) -> None:
    """Make the worker's user, and the first admin where there is none.

    Raises:
        InputError: there is no admin, no password for one, and no terminal to show a new one on.
    """
    import secrets

    from evalkit.server.accounts import ADMIN_USER, Accounts

    accounts = Accounts(store)
    try:
        accounts.make_worker()
        if accounts.has_admin():
            return
        shown = password is None
        if password is None:
            if not sys.stdout.isatty():
                raise InputError(
                    f"nobody is an admin yet; set {ADMIN_PASSWORD} for the first start, or start on a terminal, which "
                    "shows a new password once"
                )
            password = secrets.token_urlsafe(_GENERATED_BYTES)
        accounts.make_first_admin(password)
        if shown:
            sys.stdout.write(f"the first admin is '{ADMIN_USER}' with the password {password} (shown only now)\n")
            sys.stdout.flush()
    finally:
        accounts.close()


def main(arguments: list[str]) -> int:
    """Run one of the two."""
    hold_on(int(os.environ.pop(LIFELINE)))
    if arguments == ["web"]:
        try:
            serve_web()
        except InputError as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
        return 0
    from evalkit.cli.app import run

    return run(["worker"])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
