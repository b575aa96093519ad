"""Forgetting a person over the API: an admin only, with a receipt that names nobody."""

from __future__ import annotations

import json
from typing import Any

from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Generation

PERSON = "ann-4711@example.org"


def test_an_admin_erases_and_the_audit_tells_who_and_not_whom(served: Any):
    buffer = Buffer.of(served.project.settings)
    buffer.append("bot", [Generation(id="g", prompt="p", output="o", user=PERSON)])
    buffer.close()
    tried = served.request("POST", "/erasures", "admin", json={"user": PERSON, "dry_run": True})
    assert (tried.status_code, tried.json()["counts"]) == (200, {"buffered records": 1})
    refused = served.request("POST", "/erasures", "approver", json={"user": PERSON})
    assert refused.status_code == 403
    made = served.request("POST", "/erasures", "admin", "root", json={"user": PERSON})
    assert made.status_code == 201, made.text
    assert (made.json()["counts"], made.json()["left"]) == ({"buffered records": 1}, [])
    assert PERSON.encode() not in (served.project.settings.home / "ingest.db").read_bytes()
    entries = served.request("GET", "/audit", "viewer").json()["items"]
    last = entries[-1]
    assert (last["kind"], last["actor"], last["hash"]) == ("erasure", "root", made.json()["receipt"])
    assert PERSON not in json.dumps(entries)
    assert served.request("GET", "/audit/verify", "viewer").json()["intact"] is True


def test_what_is_no_id_is_refused(served: Any):
    for body in ({"user": ""}, {"user": " "}, {"user": "x" * 201}, {"user": "x", "more": 1}, {}):
        answer = served.request("POST", "/erasures", "admin", json=body)
        assert answer.status_code == 422, body
        assert set(answer.json()) == {"error", "message"}
