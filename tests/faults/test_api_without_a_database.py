"""While the database is away the API says 503, so that clients ask again; 422 would make them drop what they have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import InternalError, OperationalError

from evalkit.ingest.buffer import Buffer
from evalkit.server.api.routes import new_router
from metrics.errors import InputError
from registry.database import DatabaseAwayError


@pytest.fixture
def raising() -> Iterator[Any]:
    app, router, raised = FastAPI(), new_router("test"), []

    @router.get("/x")
    def fail() -> None:
        raise raised[0]

    app.include_router(router)
    with TestClient(app) as client:

        def answer(error: Exception) -> tuple[int, Any]:
            raised[:] = [error]
            got = client.get("/x")
            return got.status_code, got.json()["message"]

        yield answer


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("INSERT", {"secret": 1}, Exception("the server is gone")), 503),
        (InternalError("INSERT", {"secret": 1}, Exception("read-only transaction")), 503),
        (DatabaseAwayError("cannot be opened"), 503),
        (MlflowException("the server is gone", TEMPORARILY_UNAVAILABLE), 503),
        (MlflowException("boom", INTERNAL_ERROR), 503),
        (InputError("not what was expected"), 422),
    ],
)
def test_what_is_away_is_unavailable(raising: Any, error: Exception, status: int) -> None:
    found, message = raising(error)
    assert found == status
    assert "secret" not in message and "INSERT" not in message


def test_a_buffer_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    (tmp_path / "ingest.db").mkdir()  # no file can be opened there
    with pytest.raises(DatabaseAwayError, match="cannot be opened"):
        Buffer(f"sqlite:///{tmp_path / 'ingest.db'}")
