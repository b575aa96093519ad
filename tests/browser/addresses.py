"""Every page, once; `{…}` is what `rich_store.build` tells. A new page is one line here, and all tests visit it."""

from __future__ import annotations

ADDRESSES = (
    "/evalkit",
    "/evalkit/models",
    "/evalkit/models?outcome=fail",
    "/evalkit/models/{text}",
    "/evalkit/models/{hostile}",
    "/evalkit/models/{images}",
    "/evalkit/models/{text}/1",
    "/evalkit/models/{text}/2",
    "/evalkit/models/{images}/2",
    "/evalkit/models/{text}/2/samples?task=golden&metric=helpful&order=worst",
    "/evalkit/models/{images}/2/samples?task=images",
    "/evalkit/compare",
    "/evalkit/compare?versions={text}/1,{text}/2",
    "/evalkit/monitors",
    "/evalkit/monitors?state=alert",
    "/evalkit/monitors/{monitor}",
    "/evalkit/monitors/{monitor}?check=drift",
    "/evalkit/monitors/{monitor}/windows/{window}",
    "/evalkit/monitors/{monitor}/windows/{window}/generations",
    "/evalkit/alerts",
    "/evalkit/alerts/{lasting}",
    "/evalkit/alerts/{ended}",
    "/evalkit/judges",
    "/evalkit/judges/helpful",
    "/evalkit/label",
    "/evalkit/label/{text}/2/golden?metric=helpful",
    "/evalkit/label/{text}/2/golden/labels?metric=helpful",
    "/evalkit/jobs",
    "/evalkit/jobs/{job}",
    "/evalkit/audit",
    "/evalkit/audit/verify",
)
"""Pages that answer 200."""

ERRORS = ("/evalkit/monitors/none", "/evalkit/monitors?start=-1")
"""Pages that say what went wrong."""
