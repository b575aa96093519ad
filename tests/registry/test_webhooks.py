"""Webhooks in the database: who is told of what, written with the act, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from metrics.errors import InputError
from registry import audit
from registry.database import connect, upgrade, writing
from registry.outbox import DELIVERY, DROPPED, Outbox
from registry.webhooks import EVENTS, add_webhook, announce, list_webhooks, remove_webhook, sign

URL = "https://hooks.example.org/evalkit"


@pytest.fixture
def engine(database_url):
    made = connect(database_url)
    upgrade(made)
    yield made
    made.dispose()


def tell(engine, event="decision", name="bot", **facts):
    with writing(engine) as session:
        announce(session, event, name, {"outcome": "pass", **facts}, actor="ann")


def deliveries(engine):
    return Outbox(engine).items(DELIVERY)


def test_events_and_models_select_who_is_told(engine):
    every = add_webhook(engine, URL, secret_env="SECRET")
    bots = add_webhook(engine, URL + "/2", secret_env="SECRET", events=["promotion"], pattern="bot-*")
    assert [hook.id for hook in list_webhooks(engine)] == [every.id, bots.id]
    assert every.events == EVENTS
    tell(engine, "decision", "bot-a")
    tell(engine, "promotion", "bot-a")
    tell(engine, "promotion", "robot-a")
    told = [(item.body["webhook"], item.body["message"]["type"]) for item in reversed(deliveries(engine))]
    assert told == [
        (every.id, "evalkit.decision"),
        (every.id, "evalkit.promotion"),
        (bots.id, "evalkit.promotion"),
        (every.id, "evalkit.promotion"),
    ]


def test_a_delivery_is_written_with_the_act_or_not_at_all(engine):
    add_webhook(engine, URL, secret_env="SECRET")
    with pytest.raises(RuntimeError), writing(engine) as session:
        announce(session, "promotion", "bot", {}, actor="ann")
        raise RuntimeError
    assert deliveries(engine) == []


def test_the_message_says_who_what_and_which(engine):
    add_webhook(engine, URL, secret_env="SECRET")
    tell(engine, version=3)
    (item,) = deliveries(engine)
    assert item.body["message"]["data"] == {
        "workspace": "default", "model": "bot", "actor": "ann", "outcome": "pass", "version": 3,
    }  # fmt: skip


def test_removing_drops_what_was_still_to_be_told_to_this_one(engine):
    gone = add_webhook(engine, URL, secret_env="SECRET")
    kept = add_webhook(engine, URL, secret_env="SECRET")
    tell(engine)
    assert remove_webhook(engine, gone.id).url == URL
    assert {item.body["webhook"]: item.outcome for item in deliveries(engine)} == {gone.id: DROPPED, kept.id: None}
    with pytest.raises(InputError, match="no webhook"):
        remove_webhook(engine, gone.id)


def test_both_ends_are_in_the_audit_without_path_or_secret(engine):
    hook = add_webhook(engine, URL + "/T000/B000/token", secret_env="SECRET")
    remove_webhook(engine, hook.id)
    entries = list(audit.export(engine))
    assert [entry["kind"] for entry in entries] == ["webhook.added", "webhook.removed"]
    assert entries[0]["facts"]["host"] == "hooks.example.org"
    assert "token" not in json.dumps(entries)
    assert audit.verify(engine).intact


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hooks.example.org/x", "--allow-private"),
        ("ftp://hooks.example.org/x", "https://host/path"),
        ("https:///x", "https://host/path"),
        ("https://user:word@hooks.example.org/", "password"),
        ("https://hooks.example.org/a b", "plain ASCII"),
        ("https://hooks.example.org/\r\nX: 1", "plain ASCII"),
        ("https://hööks.example.org/", "plain ASCII"),
        ("https://hooks.example.org:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://e.org/" + "x" * 3000, "https://host/path"),
    ],
)
def test_urls_that_cannot_be_used(engine, url, says):
    with pytest.raises(InputError, match=says):
        add_webhook(engine, url, secret_env="SECRET")
    assert list_webhooks(engine) == []


def test_a_secret_in_place_of_its_name_is_not_repeated(engine):
    with pytest.raises(InputError) as caught:
        add_webhook(engine, URL, secret_env="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    assert "C2FV" not in str(caught.value)
    with pytest.raises(InputError, match="did you mean 'promotion'"):
        add_webhook(engine, URL, secret_env="SECRET", events=["promotions"])
    assert list_webhooks(engine) == []


def test_the_signature_is_that_of_the_standard():
    # The example of the specification (standard-webhooks/standard-webhooks, spec and the libraries' tests)
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_plain_secret_signs_too_and_a_short_one_is_refused():
    secret = "x" * 24
    expected = hmac.new(secret.encode(), b"id.1.body", hashlib.sha256).digest()
    assert sign(secret, "id", 1, b"body") == "v1," + base64.b64encode(expected).decode()
    with pytest.raises(InputError, match="23 bytes") as caught:
        sign("y" * 23, "id", 1, b"body")
    assert "yyy" not in str(caught.value)
    with pytest.raises(InputError, match="base64"):
        sign("whsec_%%%", "id", 1, b"body")
