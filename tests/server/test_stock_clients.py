"""MLflow's own client, a browser's requests, and our commands against a running server."""

from __future__ import annotations

import getpass
import re
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException, RestException
from sqlalchemy import create_engine, text

from registry import audit
from registry.database import connect
from registry.policy import Policy, set_policy

pytestmark = pytest.mark.slow

VERDICT = "evalkit.verdict"
PASSWORD = "correct horse battery"


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stock client as a user, with a password or a token."""

    def client(served: Any, name: str | None, *, token: str | None = None) -> MlflowClient:
        for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
            monkeypatch.delenv(variable, raising=False)
        if token is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
        elif name is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", served.url)  # artifacts go where this says
        return MlflowClient(served.url, served.url)

    return client


def log_and_register(client: MlflowClient, folder: Path, name: str) -> ModelVersion:
    """A run with an artifact that comes back as it went, and a registered version of it."""
    experiment = client.create_experiment(f"e-{uuid.uuid4().hex[:8]}")
    run = client.create_run(experiment).info
    (folder / "weights.txt").write_text(name)
    client.log_artifact(run.run_id, str(folder / "weights.txt"), "model")
    client.log_metric(run.run_id, "loss", 0.5)
    back = Path(client.download_artifacts(run.run_id, "model/weights.txt", str(folder)))
    assert back.read_text() == name
    client.create_registered_model(name)
    return client.create_model_version(name, f"{run.artifact_uri}/model", run.run_id)


def protect(served: Any, name: str) -> None:
    engine = connect(served.database_url)
    set_policy(engine, Policy(name), actor="test")
    engine.dispose()


def name_of(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("by", ["password", "token"])
@pytest.mark.parametrize("who", ["olga", "eva"])
def test_a_stock_client_works_with_a_login(login_server: Any, log_in: Any, tmp_path: Path, who: str, by: str):
    client = log_in(login_server, who, token=login_server.tokens[who] if by == "token" else None)
    name = name_of("m")
    version = log_and_register(client, tmp_path, name)
    assert client.get_model_version(name, version.version).status == "READY"
    client.set_registered_model_alias(name, "candidate", version.version)
    assert [model.name for model in client.search_registered_models(f"name = '{name}'")] == [name]


@pytest.mark.parametrize("login", [{}, {"name": "vera"}, {"token": "ek_0_wrong"}])
def test_a_stock_client_without_the_right_login_does_nothing(login_server: Any, log_in: Any, login: dict[str, str]):
    client = log_in(login_server, login.get("name"), token=login.get("token"))
    with pytest.raises(RestException) as refused:
        client.create_experiment(name_of("e"))
    assert refused.value.get_http_status_code() == (403 if login.get("name") else 401)


def test_the_gate_sees_who_acts(login_server: Any, log_in: Any, tmp_path: Path):
    names = {who: name_of(who) for who in ("olga", "eva")}
    for who, name in names.items():
        protect(login_server, name)
        log_and_register(log_in(login_server, who), tmp_path, name)
    log_in(login_server, "eva").set_model_version_tag(names["eva"], "1", VERDICT, "pass")
    with pytest.raises(RestException, match=r"evalkit refuses \(verdict\)"):
        log_in(login_server, "olga").set_model_version_tag(names["olga"], "1", VERDICT, "pass")
    with pytest.raises(RestException, match=r"evalkit refuses"):
        log_in(login_server, "olga").set_registered_model_alias(names["olga"], "champion", "1")
    engine = connect(login_server.database_url)
    actors = {entry["name"]: entry["actor"] for entry in audit.export(engine) if entry["kind"] == "refused"}
    engine.dispose()
    assert actors.get(names["olga"]) == "olga", actors


def test_a_token_of_an_admin_for_evaluators_is_no_admin(login_server: Any, log_in: Any, tmp_path: Path):
    from registry.identity import create_token

    name = name_of("olga")
    log_and_register(log_in(login_server, "olga"), tmp_path, name)
    engine = connect(login_server.database_url)
    with engine.connect() as connection:
        number = connection.execute(text("SELECT id FROM users WHERE username = 'admin'")).scalar_one()
    secret, _ = create_token(engine, "admin", number, actor="test", role="evaluator")
    engine.dispose()
    with pytest.raises(MlflowException, match=r"403.*Permission denied"):
        log_in(login_server, None, token=secret).update_registered_model(name, "changed")
    log_in(login_server, "admin").update_registered_model(name, "changed")


@pytest.mark.parametrize("kind", ["login_server", "local_server"])
def test_pages_and_their_files(request: pytest.FixtureRequest, kind: str):
    served: Any = request.getfixturevalue(kind)
    who = "vera" if kind == "login_server" else None
    page = served.raw("GET", "/", who)
    assert page.status_code == 200
    assert "mlflow" in page.text.lower()
    files = re.findall(r'(?:src|href)="\.?/?(static-files/[^"]+)"', page.text)
    assert files
    for file in files[:3]:
        assert served.raw("GET", f"/{file}", who).status_code == 200
        if who:
            assert served.raw("GET", f"/{file}").status_code == 401
    assert page.headers["content-security-policy"] == "frame-ancestors 'self'"


HOSTS = ["evil.test", "evil.test:5000", "127.0.0.1.evil.test", "localhost.evil.test"]


@pytest.mark.parametrize("kind", ["login_server", "local_server"])
@pytest.mark.parametrize("host", HOSTS)
def test_names_that_others_rebound_to_us(request: pytest.FixtureRequest, kind: str, host: str):
    served: Any = request.getfixturevalue(kind)
    who = "admin" if kind == "login_server" else None
    for path in ("/", "/evalkit/api/v1/x", "/api/2.0/mlflow/experiments/get?experiment_id=0"):
        answer = served.raw("GET", path, who, headers={"Host": host})
        assert (answer.status_code, "Invalid Host" in answer.text) == (403, True), path
    assert served.raw("GET", "/healthz", headers={"Host": host}).status_code == 200


def test_without_login_the_owner_does_what_owners_may(local_server: Any, log_in: Any, tmp_path: Path):
    name = name_of("m")
    protect(local_server, name)
    client = log_in(local_server, None)
    log_and_register(client, tmp_path, name)
    client.set_model_version_tag(name, "1", VERDICT, "pass")
    with pytest.raises(RestException, match="evalkit refuses"):
        client.set_registered_model_alias(name, "champion", "1")
    engine = connect(local_server.database_url)
    actors = {entry["actor"] for entry in audit.export(engine) if entry["name"] == name}
    engine.dispose()
    assert getpass.getuser() in actors


def test_other_sites_reach_nothing_on_this_machine(local_server: Any):
    body = {"name": name_of("e")}
    for headers in (
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://evil.test"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        refused = local_server.raw("POST", "/api/2.0/mlflow/experiments/create", None, body, headers=headers)
        assert refused.status_code == 403
    own = {"Origin": local_server.url, "Sec-Fetch-Site": "same-origin"}
    assert local_server.raw("POST", "/api/2.0/mlflow/experiments/create", None, body, headers=own).status_code == 200


@pytest.mark.postgres
def test_on_postgresql(postgres_server: str, tmp_path: Path, log_in: Any, starting: Any, users: Any):
    prefix = postgres_server.replace("postgresql+psycopg://tester@", "postgresql://tester:hunter2@")
    admin = create_engine(postgres_server + "postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE served"))
    admin.dispose()
    secret = {"MLFLOW_TRACKING_URI": prefix + "served", "EVALKIT_ADMIN_PASSWORD": PASSWORD}
    served = starting(tmp_path, "--auth", **secret)
    served.database_url = prefix + "served"
    tokens = users(served.database_url)
    name = name_of("m")
    protect(served, name)
    client = log_in(served, "olga", token=tokens["olga"])
    log_and_register(client, tmp_path, name)
    with pytest.raises(RestException, match="evalkit refuses"):
        client.set_registered_model_alias(name, "champion", "1")
    assert served.raw("GET", "/").status_code == 401
    assert served.raw("GET", "/readyz").json() == {"status": "ready"}
    family = [psutil.Process(served.process.pid), *psutil.Process(served.process.pid).children(recursive=True)]
    assert len(family) >= 2
    assert "hunter2" not in str([process.cmdline() for process in family])
    engine = connect(served.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE evalkit_alembic_version SET version_num = '0001'"))
    engine.dispose()
    assert served.raw("GET", "/readyz").status_code == 503
    assert served.raw("GET", "/healthz").status_code == 200
    assert "hunter2" not in served.said()
