"""The first page, and what every page has in common."""

from __future__ import annotations

import gzip
from typing import Any


def test_says_how_things_stand(pages: Any):
    seen = pages.get("/evalkit")
    assert seen.status == 200
    assert "1 models" in seen.text
    assert "/evalkit/models/bot/2" in seen.links
    assert "Nothing." in seen.text  # nobody is needed: version 2 failed, which is decided


def test_policy_forbids_everything_that_is_not_ours(pages: Any):
    policy = pages.get("/evalkit").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_inline(pages: Any):
    for tag, given in pages.get("/evalkit").tags:
        assert "style" not in given
        assert not [name for name in given if name.startswith("on")]
        assert tag != "style"
        assert tag != "script" or given["src"]


def test_second_visit_costs_nothing(pages: Any):
    seen = pages.get("/evalkit/audit")  # says when, not how long ago
    again = pages.client.get("/evalkit/audit", headers={"If-None-Match": seen.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_assets_are_kept_by_their_content(pages: Any):
    sheet = next(given["href"] for tag, given in pages.get("/evalkit").tags if given.get("rel") == "stylesheet")
    answer = pages.client.get(sheet)
    assert "immutable" in answer.headers["cache-control"]
    assert ".verdict" in answer.text  # the scorecard's rules
    assert ".strip" in answer.text  # the pages' own
    plain = pages.client.get(sheet, headers={"Accept-Encoding": "identity"})
    assert plain.text == answer.text
    assert pages.client.get("/evalkit/assets/..%2frendering-1.py").status_code == 404


def test_packed_for_those_who_take_it(pages: Any):
    with pages.client.stream("GET", "/evalkit", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert gzip.decompress(raw).startswith(b"<!doctype html>")


def test_errors_are_pages(pages: Any):
    seen = pages.get("/evalkit/monitors/none")
    assert seen.status == 404
    assert "there is no monitor" in seen.text


def test_nobody_sees_nothing(pages: Any):
    seen = pages.get("/evalkit", who="stranger:")
    assert seen.status == 401
    assert "bot" not in seen.text
