"""Requests made up from the description of the API: none may end in an error of the server's own."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings

from evalkit.server.api import PREFIX, router

_PEERS = os.environ.get("EVALKIT_SCHEMATHESIS", "")
if _PEERS:
    sys.path.append(_PEERS)  # last, so that nothing of ours is replaced
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


def test_nothing_made_up_breaks_the_server(served: Any):
    app = FastAPI()
    app.include_router(router)
    schema = schemathesis.openapi.from_dict(app.openapi())
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.label in {f"POST {PREFIX}/evaluations", f"POST {PREFIX}/imports"}:
            continue  # bundles and archives are made up elsewhere

        @settings(max_examples=15, deadline=None, database=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            made = case.as_transport_kwargs(base_url="http://testserver")
            made.pop("cookies", None)
            headers = {**dict(made.pop("headers") or {}), "x-actor": "root:admin"}
            answer = served.http.request(made.pop("method"), made.pop("url"), headers=headers, **made)
            assert answer.status_code < 500, (case.method, case.path, answer.text)
            if answer.status_code >= 400 and answer.status_code not in {404, 405}:
                assert set(answer.json()) == {"error", "message"}

        check()
