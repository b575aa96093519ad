"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from evalkit.server.health import health_router
from registry.database import connect, downgrade, upgrade


def test_ready_means_the_database_is_there_and_current(tmp_path: Path):
    engine = connect(f"sqlite:///{tmp_path / 'evalkit.db'}")
    app = FastAPI()
    app.include_router(health_router(engine))
    client = TestClient(app)
    assert client.get("/readyz").status_code == 503
    upgrade(engine)
    assert client.get("/readyz").json() == {"status": "ready"}
    downgrade(engine, "0001")
    assert client.get("/readyz").status_code == 503
    engine.dispose()
    (tmp_path / "evalkit.db").write_bytes(b"not a database, and long enough to be read as one" * 100)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").json() == {"status": "alive"}


def test_reasons_tell_nothing_of_the_database(tmp_path: Path):
    engine = connect(f"sqlite:///{tmp_path / 'secret-name.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE x (y INT)"))
    app = FastAPI()
    app.include_router(health_router(engine))
    assert "secret-name" not in TestClient(app).get("/readyz").text
