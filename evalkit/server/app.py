"""The application: MLflow's pages and API over the gated registry, with evalkit's routes, behind the guard.

MLflow's entry point for ``mlflow server --app-name evalkit``, where clients are nobody; `evalkit server` says in the
environment who they are.
"""

from __future__ import annotations

import os
from typing import Any

IDENTITY = "_EVALKIT_SERVER_IDENTITY"
WORKER_TOKEN = "_EVALKIT_SERVER_WORKER_TOKEN"  # noqa: S105 - the variable's name
"""How `evalkit server` tells its processes who clients are, and what its worker sends."""


def create_app() -> Any:
    """The application; a factory, called in every process that serves.

    Raises:
        MlflowException: the server's registry is not one of ours.
    """
    from evalkit.generators.redaction import redact_logs
    from evalkit.server.guard import Guard, Mode
    from registry.database import insist_on_writing
    from registry.mlflow_store import make_known_to_server
    from registry.mlflow_store.frozen import freeze_artifacts, guard_tracking

    insist_on_writing()
    redact_logs()
    freeze_artifacts()
    make_known_to_server()

    from mlflow.environment_variables import MLFLOW_SERVER_X_FRAME_OPTIONS
    from mlflow.server import app as flask_app
    from mlflow.server import handlers
    from mlflow.server.constants import REGISTRY_STORE_URI_ENV_VAR
    from mlflow.server.security_utils import get_allowed_origins_from_env

    mode = Mode(os.environ.get(IDENTITY, Mode.NOBODY))
    database_url = os.environ[REGISTRY_STORE_URI_ENV_VAR]
    guard_tracking(handlers._get_tracking_store())
    gated: Any = handlers._get_model_registry_store()  # now: it brings tables and triggers up to date
    logins = None
    if mode is Mode.LOGIN:
        app, logins = _with_users(flask_app, database_url)
    else:
        from mlflow.server.fastapi_app import create_fastapi_app

        app = create_fastapi_app(flask_app)
    _include(app, gated.engine)
    shown_in: str = MLFLOW_SERVER_X_FRAME_OPTIONS.get() or "NONE"  # type: ignore[no-untyped-call]
    app.add_middleware(
        Guard, mode=mode, logins=logins, origins=get_allowed_origins_from_env() or (), frames=shown_in.upper() == "NONE"
    )  # added last, so that it comes first
    return app


def _with_users(flask_app: Any, database_url: str) -> tuple[Any, Any]:
    from evalkit.server.accounts import Accounts
    from evalkit.server.logins import Logins
    from evalkit.server.mlflow_auth import bind_users, create_auth_app
    from registry.actors import intent
    from registry.identity import forget_user

    app = create_auth_app(flask_app, database_url)
    from mlflow.server.auth import store

    accounts = app.state.accounts = Accounts(database_url, store)
    bind_users(store, lambda name: forget_user(accounts.engine, name, actor=intent().actor.name))
    return app, Logins(accounts, os.environ.get(WORKER_TOKEN))


def _include(app: Any, engine: Any) -> None:
    """Put evalkit's routes before the mount that answers everything else."""
    from mlflow.server import security_utils

    from evalkit.pages import router as pages
    from evalkit.server.api import router
    from evalkit.server.health import health_router
    from evalkit.server.prometheus import router as prometheus

    # Probes come by the machine's own address, which is seldom among the allowed hosts
    known = security_utils.HEALTH_ENDPOINTS
    known.extend(path for path in ("/healthz", "/readyz") if path not in known)
    everything = app.router.routes.pop()
    app.include_router(health_router(engine))
    app.include_router(router)
    app.include_router(pages)
    app.include_router(prometheus)
    app.router.routes.append(everything)
