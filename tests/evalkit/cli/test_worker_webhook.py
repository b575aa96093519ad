"""``evalkit worker`` and ``evalkit webhook`` from a shell's point of view."""

from __future__ import annotations

import socket

import pytest

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.mark.slow
def test_on_one_machine_without_a_server(project):
    done = project.call("policy", "set", "sums", "--suite", "suite.yaml", "--auto", "evaluate+promote")
    assert done.code == 0, done.err
    assert "nothing yet" in project.call("worker", "items").err
    for model in ("good.jsonl", "bad.jsonl"):
        assert project.call("register", "sums", "--model", model, "--suite", "suite.yaml").code == 0
    worked = project.call("worker", "--once", "--concurrency", "2")
    assert worked.code == 0, worked.err
    assert "models:/sums/1: promoted: is 'champion' now" in worked.err
    assert "models:/sums/2: evaluated: the gate says fail" in worked.err
    newest, oldest = project.call("worker", "items", "--json").json()
    assert (oldest["outcome"], newest["outcome"], newest["attempts"]) == ("promoted", "evaluated", 1)
    assert "token" not in newest
    assert "models:/sums/2  evaluated: the gate says fail" in project.call("worker", "items").out
    assert project.call("audit", "verify").code == 0
    assert project.call("worker", "retry", newest["id"]).code == 0
    assert "waiting" in project.call("worker", "items").out


def test_nothing_due_is_nothing_done(project):
    done = project.call("worker", "--once")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--memory", "much"], "expected a number"),
        (["--time-limit", "0"], "not a positive amount"),
        (["--poll", "nan"], "expected a number"),
        (["--concurrency", "0"], "1<=x<=64"),
        (["--judge-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE is not set"),
        (["retry", "nothing"], "there is no item 'nothing'"),
        (["sleep"], "No such command"),
    ],
)
def test_bad_options_are_one_line(project, options, says):
    done = project.call("worker", *options)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1


def test_webhooks_added_tested_listed_and_removed(project, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
    done = project.call("webhook", "add", url, "--secret-env", "HOOK_SECRET", "--event", "promotion", "--allow-private")
    assert done.code == 0, done.err
    assert "HOOK_SECRET is not set here" in done.err
    (listed,) = project.call("webhook", "list", "--json").json()
    assert (listed["url"], listed["events"], listed["secret_env"]) == (url, ["promotion"], "HOOK_SECRET")
    assert url in project.call("webhook", "list").out
    assert project.call("webhook", "test", listed["id"]).code == 1
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    refused = project.call("webhook", "test", listed["id"], "--json")
    assert refused.code == 1
    assert "ConnectionRefusedError" in refused.json()["detail"]
    assert project.call("webhook", "remove", listed["id"]).out == f"removed: {url}\n"
    assert "no webhooks" in project.call("webhook", "list").err


def test_deliveries_are_listed_by_webhook(project):
    for place in range(2):
        project.call("webhook", "add", f"https://h{place}.example.org/", "--secret-env", "HOOK_SECRET")
    first, second = project.call("webhook", "list", "--json").json()
    assert project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml").code == 0
    assert project.call("promote", "models:/sums/1", "--override", "a hotfix").code == 0
    found = project.call("webhook", "deliveries", "--json").json()
    assert [item["body"]["message"]["type"] for item in found] == ["evalkit.override"] * 2
    assert "hotfix" not in str(found)
    (own,) = project.call("webhook", "deliveries", "--webhook", second["id"], "--json").json()
    assert own["body"]["webhook"] == second["id"]
    assert "evalkit.override  waiting after 0" in project.call("webhook", "deliveries").out
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "http://h.example.org/", "--secret-env", "S"], "--allow-private"),
        (["add", "https://h.example.org/", "--secret-env", SECRET], "by the name of an environment variable"),
        (["add", "https://h.example.org/", "--secret-env", "S", "--event", "promoted"], "no event 'promoted'"),
        (["add", "https://h.example.org/"], "--secret-env"),
        (["remove", "nothing"], "no webhook 'nothing'"),
        (["test", "nothing"], "no webhook 'nothing'"),
    ],
)
def test_bad_webhooks_are_one_line(project, arguments, says):
    done = project.call("webhook", *arguments)
    assert done.code == 2
    assert says in done.err
    assert SECRET not in done.err
    assert done.err.count("\n") == 1
    assert project.call("webhook", "list", "--json").json() == []
