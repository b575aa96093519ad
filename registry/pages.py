"""Where evalkit's server shows a version: what refusals and MLflow's descriptions point to."""

from __future__ import annotations

from urllib.parse import quote


def version_page(name: str, version: int, rule: int | None = None) -> str:
    """Path of a version's page on the server that serves MLflow too; `rule` counts the decision's rules from 1."""
    return f"/evalkit/models/{quote(name, safe='@')}/{version}" + (f"#rule-{rule}" if rule is not None else "")
