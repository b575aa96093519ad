"""What the API answers beside who may ask: registering, pages, entity tags, errors, policies, hostile input."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from evalkit.server.api.project import ServerLink
from metrics.errors import InputError
from registry.database import reading
from registry.tables import OutboxRow

TEXTS = ["\u202egpj.exe", "<script>alert(1)</script>", "' OR 1=1 --", "🦆" * 50, "%00", "..", "a%2f..%2fb", "\ud7ff"]


def register(served: Any, source: str, **more: Any) -> Any:
    body = {"source": source, "suite": more.pop("suite", served.suite_text), **more}
    return served.request("POST", "/models/other/versions", "evaluator", json=body)


@pytest.fixture
def known(served: Any, bundled: Any) -> Any:
    served.suite_text = bundled.suite.text
    served.source = bundled.version.source
    return served


def test_registering_what_mlflow_holds(known: Any):
    made = register(known, known.source, kind="llm", description="first")
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["reference"], told["kind"], told["author"]) == ("models:/other/1", "llm", "ada")
    again = register(known, known.source, kind="llm")
    assert (again.status_code, again.json()["existing"], again.json()["id"]) == (200, True, told["id"])
    suite = known.request("GET", f"/suites/{told['suite_digest']}", "viewer").json()
    assert suite["text"] == known.suite_text


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "file:///etc", "call:os:system", "os:system", "outputs.jsonl", "hf:org/model", "../x",
     "http://127.0.0.1/x", "runs:/ x/y", ""],
)  # fmt: skip
def test_no_path_of_the_server_and_no_code(known: Any, source: str):
    refused = register(known, source)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid"), refused.text
    assert known.request("GET", "/models/other/versions", "viewer").json()["items"] == []


@pytest.mark.parametrize("generator", [{"adapter": "callable", "call": "os:system"}, {"call": "os:system"}])
def test_code_by_way_of_the_generator(known: Any, generator: dict[str, str]):
    refused = register(known, known.source, generator=generator)
    assert (refused.status_code, "no Python functions" in refused.text) == (422, True), refused.text


@pytest.mark.parametrize(
    ("location", "answer"),
    [
        ("mlflow-artifacts:/1/models/m-1/artifacts", "/srv/store/1/models/m-1/artifacts"),
        ("file:///etc", None),
        ("/etc", None),
        ("/srv/store/1", None),
        ("mlflow-artifacts:/../../etc", None),
        ("mlflow-artifacts:/%2e%2e/%2e%2e/etc", None),
        ("s3://elsewhere/x", None),
        ("http://169.254.169.254/latest", None),
    ],
)
def test_the_server_reads_its_own_artifacts_only(location: str, answer: str | None):
    link = ServerLink("sqlite://", "sqlite://", "/srv/store")
    if answer is not None:
        assert link.location(location) == answer
        return
    with pytest.raises(InputError, match="not in the server's artifact store"):
        link.location(location)


def test_a_bucket_that_the_server_shares(monkeypatch: pytest.MonkeyPatch):
    link = ServerLink("sqlite://", "sqlite://", "s3://bucket/mlflow")
    assert link.location("s3://bucket/mlflow/1/m") == "s3://bucket/mlflow/1/m"
    for other in ("s3://bucket/other", "s3://bucket/mlflow/../other", "s3://bucket/mlflow2/x"):
        with pytest.raises(InputError, match="not in the server's"):
            link.location(other)


def test_pages(known: Any):
    for place in range(5):
        register(known, known.source, new_version=True, description=str(place))
    found, cursor = [], None
    for _ in range(3):
        query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = known.request("GET", f"/models/other/versions{query}", "viewer").json()
        found += [item["version"] for item in page["items"]]
        cursor = page["next"]
    assert (found, cursor) == ([1, 2, 3, 4, 5], None)
    entries, cursor = [], "0"
    while cursor is not None:
        page = known.request("GET", f"/audit?limit=3&cursor={cursor}", "viewer").json()
        entries += [entry["seq"] for entry in page["items"]]
        cursor = page["next"]
    assert entries == list(range(1, len(entries) + 1))
    own = known.request("GET", "/audit?name=other", "viewer").json()["items"]
    assert {entry["name"] for entry in own} == {"other"}


@pytest.mark.parametrize("cursor", ["x", "!!!!", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Og", "LTE6", "MTphAGI", "9" * 200])
def test_cursors_that_are_none(known: Any, cursor: str):
    for path in ("/models", "/models/bot/versions/1/decisions"):
        answer = known.request("GET", f"{path}?cursor={cursor}", "viewer")
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")


def test_entity_tags(known: Any):
    first = known.request("GET", "/models/bot/versions/1", "viewer")
    tag = first.headers["etag"]
    same = known.request("GET", "/models/bot/versions/1", "viewer", headers={"If-None-Match": f'"x", W/{tag}'})
    assert (same.status_code, same.content) == (304, b"")
    other = known.request("GET", "/models/bot/versions/1", "viewer", headers={"If-None-Match": '"x"'})
    assert other.status_code == 200


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_names_stay_data(known: Any, name: str):
    from urllib.parse import quote

    path = quote(name.encode("utf-8", "surrogatepass"), safe="")
    for method, tail, body in (
        ("GET", "/versions/1", None), ("GET", "/versions", None), ("GET", "/promotions", None),
        ("PUT", "/aliases/champion", {"version": 1}), ("POST", "/versions/1/requests", {}),
    ):  # fmt: skip
        answer = known.request(method, f"/models/{path}{tail}", "admin", **({"json": body} if body is not None else {}))
        assert answer.status_code in {200, 404, 405, 422}, (method, tail, answer.text)
    described = register(known, known.source, description=name, training_data=[name.replace("\x00", "")])
    assert described.status_code in {201, 422}, described.text


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 422), (b'{"suite": 1, "source": "models:/m-1"}', 422), (b'{"more": 1}', 422), (b"", 422),
     (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400), (b"\xff\xfe", 400),
     (b'{"source": "models:/m-1", "suite": "a", "generator": {"x": 1e999}}', 422),
     (b'{"source": "models:/m-1", "suite": "a", "generator": {"x": "\\ud800"}}', 422),
     (b'{"source": "models:/m-1", "suite": "a", "description": "\\u0000"}', 422)],
)  # fmt: skip
def test_bodies_that_are_none(known: Any, body: bytes, status: int):
    answer = known.request(
        "POST", "/models/x/versions", "evaluator", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message"}


def test_a_form_of_another_site(known: Any):
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = known.request(
            "POST", "/models/bot/versions/1/approvals", "approver", content=b"{}", headers={"content-type": media}
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


def test_a_body_that_is_too_long(known: Any):
    answer = register(known, known.source, suite="#" * 3_000_000)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


def test_a_suite_that_is_none(known: Any):
    answer = register(known, known.source, suite="suite: x\ntasks: {a: {score: [no_such_metric]}}")
    assert (answer.status_code, "suite.yaml:2" in answer.json()["message"]) == (422, True), answer.text


def test_policies(known: Any):
    body = {"aliases": ["champion", "prod"], "approvals": 1, "freeze": [{"start": 1, "end": 2, "reason": "x"}]}
    made = known.request("PUT", "/policies/bot*", "admin", "root", json=body)
    assert (made.status_code, made.json()["new"]) == (200, True), made.text
    (listed,) = known.request("GET", "/policies", "viewer").json()["items"]
    assert (listed["pattern"], listed["aliases"], listed["freeze"][0]["reason"]) == ("bot*", body["aliases"], "x")
    assert known.request("PUT", "/policies/bot*", "admin", json={"approvals": -1}).status_code == 422
    assert known.request("DELETE", "/policies/nothing", "admin").status_code == 404
    assert known.request("DELETE", "/policies/bot*", "admin").json()["pattern"] == "bot*"
    kinds = [entry["kind"] for entry in known.request("GET", "/audit", "viewer").json()["items"]]
    assert kinds[-2:] == ["policy.set", "policy.removed"]


def test_asking_the_server_to_evaluate(known: Any):
    asked = known.request("POST", "/models/bot/versions/1/requests", "evaluator", json={"kind": "evaluate+promote"})
    assert (asked.status_code, asked.json()["state"]) == (202, "queued"), asked.text
    with reading(known.project.engine) as session:
        row = session.scalars(select(OutboxRow)).one()
        assert row.kind == "evaluate+promote"
        assert {key: row.body[key] for key in ("name", "version", "requested_by")} == {
            "name": "bot", "version": 1, "requested_by": "ada",
        }  # fmt: skip
    followed = known.request("GET", f"/requests/{asked.json()['id']}", "viewer").json()
    assert (followed["state"], followed["decision"]) == ("queued", None)


def test_what_is_not_there(known: Any):
    key = "0190b0c8-7c1a-7000-8000-000000000000"
    for path in (
        "/models/bot/versions/9", "/models/nobodys/versions/1", "/models/bot/versions/@champion",
        f"/evaluations/{key}", f"/decisions/{key}", f"/requests/{key}", "/suites/sha256:" + "0" * 64,
    ):  # fmt: skip
        answer = known.request("GET", path, "viewer")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found"), (path, answer.text)


def test_approvals(known: Any, bundled: Any):
    early = known.request("POST", "/models/bot/versions/1/approvals", "approver", "bea", json={})
    assert (early.status_code, early.json()["error"]) == (403, "refused")
    known.submit(bundled.path)
    decided = known.request("POST", "/models/bot/versions/1/decisions", "evaluator", json={}).json()
    made = known.request("POST", "/models/bot/versions/1/approvals", "approver", "bea", json={"comment": "fine"})
    assert (made.status_code, made.json()["id"]) == (201, decided["id"]), made.text
    (listed,) = known.request("GET", "/models/bot/versions/1/approvals", "viewer").json()["items"]
    assert (listed["actor"], listed["comment"], listed["decision_id"]) == ("bea", "fine", decided["id"])
