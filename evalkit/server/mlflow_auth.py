"""MLflow's basic-auth application, told by our layer who logged in; its permissions stay in force on its routes."""

from __future__ import annotations

import os
from functools import wraps
from typing import Any

from evalkit.server.identity import present_login
from registry.mlflow_store import plain_uri


def authorization() -> Any:
    """MLflow's authorization function: the login of the request that is being served.

    Returns:
        MLflow's ``Authorization`` with a name and no password, or its answer that asks for a login.
    """
    from mlflow.server.auth import make_basic_auth_response
    from werkzeug.datastructures import Authorization

    login = present_login()
    if login is None:
        return make_basic_auth_response()
    return Authorization("basic", {"username": login.actor.name, "password": ""})


def create_auth_app(flask_app: Any, database_url: str) -> Any:
    """MLflow's application with its permissions, over the users in `database_url`."""
    from evalkit.server.accounts import require_auth

    require_auth()
    from mlflow.server import auth

    # What else MLFLOW_AUTH_CONFIG_PATH says, such as the default permission, holds
    auth.auth_config = auth.auth_config._replace(
        database_uri=plain_uri(database_url),
        authorization_function=f"{__name__}:{authorization.__name__}",
    )
    os.environ["_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"] = "true"  # `evalkit server` has made the first admin
    os.environ.setdefault("_MLFLOW_SGI_NAME", "uvicorn")
    return auth.create_app(flask_app)


def bind_users(store: Any, forget: Any) -> None:
    """Let MLflow's store of users heed what a request's token narrows, and tell us of users that it removes.

    Args:
        store: MLflow's own store of users.
        forget: called with the name of a user who is about to be removed.
    """
    get_user, delete_user = store.get_user, store.delete_user

    @wraps(get_user)
    def narrowed(username: str) -> Any:
        user = get_user(username)
        login = present_login()
        if login is not None and login.actor.name == username and not login.mlflow_admin:
            user.is_admin = False
        return user

    @wraps(delete_user)
    def forgetting(username: str) -> Any:
        forget(username)
        return delete_user(username)

    store.get_user, store.delete_user = narrowed, forgetting
