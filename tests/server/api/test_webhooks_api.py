"""Webhooks by the API: an admin's affair, and never to a host of the server's own network."""

from __future__ import annotations

from typing import Any

import pytest

URL = "https://hooks.example.org/x"


def test_webhooks_are_added_listed_and_removed(served: Any):
    made = served.request("POST", "/webhooks", "admin", json={"url": URL, "secret_env": "HOOK", "pattern": "bot*"})
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["url"], told["allow_private"], "decision" in told["events"]) == (URL, False, True)
    assert served.request("GET", "/webhooks", "admin").json()["items"] == [told]
    gone = served.request("DELETE", f"/webhooks/{told['id']}", "admin")
    assert (gone.status_code, gone.json()["id"]) == (200, told["id"])
    assert served.request("DELETE", f"/webhooks/{told['id']}", "admin").status_code == 404
    kinds = [entry["kind"] for entry in served.request("GET", "/audit", "viewer").json()["items"]]
    assert kinds[-2:] == ["webhook.added", "webhook.removed"]


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://127.0.0.1/x", "secret_env": "S"}, {"url": "file:///etc/passwd", "secret_env": "S"},
        {"url": URL, "secret_env": "the secret itself"}, {"url": URL, "secret_env": "S", "allow_private": True},
        {"url": URL, "secret_env": "S", "events": ["nothing"]}, {"url": URL}, {"url": f"{URL}\n", "secret_env": "S"},
        {"url": "https://me:pass@hooks.example.org/", "secret_env": "S"},
    ],
)  # fmt: skip
def test_what_is_no_webhook_changes_nothing(served: Any, body: dict[str, Any]):
    answer = served.request("POST", "/webhooks", "admin", json=body)
    assert answer.status_code == 422, answer.text
    assert served.request("GET", "/webhooks", "admin").json()["items"] == []
