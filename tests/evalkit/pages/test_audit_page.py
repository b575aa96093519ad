"""The audit's page: newest first, by kind and name, and a chain that was altered says so."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from registry import audit, triggers
from registry.database import writing


def tamper(project: Any, statement: str) -> None:
    """Change a row as somebody would who owns the database."""
    with project.engine.begin() as connection:
        triggers.remove(connection)
        connection.execute(text(statement))
        triggers.install(connection)


def test_every_act_has_its_entry(pages: Any):
    seen = pages.get("/evalkit/audit")
    assert seen.text.rindex("promotion") < seen.text.rindex("registration")
    only = pages.get("/evalkit/audit?kind=registration&name=bot")
    assert "bot" in only.text
    assert len([1 for tag, given in only.tags if tag == "tr"]) == 3


def test_pages_backwards(pages: Any, project: Any):
    with writing(project.engine) as session:
        for number in range(120):
            audit.append(session, "test.noted", actor="test", name="many", facts={"number": number})
    first = pages.get("/evalkit/audit?name=many")
    older = next(link for link in first.links if "before=" in link)
    second = pages.get(f"/evalkit/audit{older}")
    assert "number 119" in first.text and "number 19" not in first.text.split("number 20")[-1]
    assert "number 19" in second.text
    assert "number 20 " not in second.text


def test_an_altered_entry_is_named(pages: Any, project: Any):
    assert "intact" in pages.get("/evalkit/audit/verify").text
    tamper(project, "UPDATE evalkit_audit SET actor = '<b>mallory</b>' WHERE seq = 2")
    seen = pages.get("/evalkit/audit/verify")
    assert "altered" in seen.text
    assert "/evalkit/audit?before=3" in seen.links
    assert "<b>" not in pages.get("/evalkit/audit").html


def test_an_entry_that_is_no_json_does_not_break_the_page(pages: Any, project: Any):
    tamper(project, "UPDATE evalkit_audit SET entry = 'garbage' WHERE seq = 2")
    assert pages.get("/evalkit/audit").status == 200
