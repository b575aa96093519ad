"""The list of models, and one model over its versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import event, select

from evalkit.pages import models
from evalkit.views import history
from registry.database import reading, writing
from registry.digests import new_id
from registry.gate.evidence import Address
from registry.policy import Policy, set_policy
from registry.tables import (
    DecisionRow,
    EstimateRow,
    EvaluationRow,
    ModelVersionRow,
    PromotionRow,
    SuiteRow,
)

HOSTILE = "<img src=x onerror=document.title='pwned'>"


def _copy(row: Any, **changes: Any) -> Any:
    kind = type(row)
    return kind(**{column.key: getattr(row, column.key) for column in kind.__table__.columns} | changes)


def _add_versions(project: Any, count: int, name: str = "bot") -> None:
    """More versions like the first one, each evaluated and decided on."""
    with writing(project.engine) as session:
        first = session.scalars(select(ModelVersionRow).where(ModelVersionRow.version == 1)).one()
        evaluation = session.scalars(select(EvaluationRow).where(EvaluationRow.version_id == first.id)).one()
        estimates = session.scalars(select(EstimateRow).where(EstimateRow.evaluation_id == evaluation.id)).all()
        decision = session.scalars(select(DecisionRow).where(DecisionRow.version_id == first.id)).one()
        for number in range(3, 3 + count):
            version, run = new_id(), new_id()
            later = first.registered_at + number * 1000
            session.add(_copy(first, id=version, name=name, version=number, registered_at=later))
            session.flush()
            session.add(_copy(evaluation, id=run, digest=f"sha256:{number:064d}", version_id=version))
            session.flush()
            session.add(_copy(decision, id=new_id(), version_id=version, evaluation_id=run))
            session.add_all(_copy(one, id=new_id(), evaluation_id=run) for one in estimates)


@contextmanager
def _queries(project: Any) -> Iterator[list[str]]:
    told: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        told.append(statement)

    event.listen(project.engine, "before_cursor_execute", hear)
    try:
        yield told
    finally:
        event.remove(project.engine, "before_cursor_execute", hear)


class TestModels:
    def test_lists_models_with_newest_verdict_and_champion(self, pages: Any) -> None:
        seen = pages.get("/evalkit/models")
        assert seen.status == 200
        assert "version 2 fail version 1 2 none" in seen.text
        assert {"/evalkit/models/bot", "/evalkit/models/bot/2", "/evalkit/models/bot/1"} <= set(seen.links)

    @pytest.mark.parametrize(
        ("query", "there"),
        [
            ("name=BO", True), ("name=cat", False), ("outcome=fail", True), ("outcome=pass", False),
            ("outcome=none", False), ("kind=nothing", False),
        ],
    )  # fmt: skip
    def test_filters(self, pages: Any, query: str, there: bool) -> None:
        assert ("/evalkit/models/bot" in pages.get(f"/evalkit/models?{query}").links) is there

    def test_is_paged_and_keeps_its_filters(self, pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        _add_versions(pages.project, 1, name="bottle")
        monkeypatch.setattr(models, "MODELS", 1)
        seen = pages.get("/evalkit/models?name=bot")
        assert "/evalkit/models/bottle" not in seen.links
        following = next(link for link in seen.links if link.startswith("?start=1"))
        assert "name=bot" in following
        assert "/evalkit/models/bottle" in pages.get(f"/evalkit/models{following}").links

    def test_empty_project_says_what_to_do(self, pages: Any) -> None:
        with writing(pages.project.engine) as session:
            for row in (EstimateRow, PromotionRow, DecisionRow, EvaluationRow):
                session.execute(row.__table__.delete())
            session.execute(ModelVersionRow.__table__.update().values(workspace="elsewhere"))
        assert "evalkit register NAME" in pages.get("/evalkit/models").text


class TestModel:
    def test_versions_with_verdict_alias_and_promotion(self, pages: Any) -> None:
        seen = pages.get("/evalkit/models/bot")
        assert seen.status == 200
        assert "version 1 @champion pass champion by" in seen.text
        assert "version 2 fail never" in seen.text
        assert "/evalkit/models/bot/2" in seen.links

    def test_challenger_beside_champion(self, pages: Any) -> None:
        text = pages.get("/evalkit/models/bot").text
        assert "Differences are challenger minus champion" in text
        row = text[text.index("golden/exact_match more is better") :]
        assert row.index("worse") < row.index("golden/token_f1")

    def test_no_duel_where_the_newest_is_champion(self, pages: Any) -> None:
        pages.project.registry.mlflow.client.set_registered_model_alias("bot", "champion", "2")
        assert "challenger minus champion" not in pages.get("/evalkit/models/bot").text

    def test_estimates_with_rules_come_first_with_their_limit(self, pages: Any) -> None:
        seen = pages.get("/evalkit/models/bot")
        assert seen.text.index("golden/exact_match over versions") < seen.text.index("golden/token_f1 over versions")
        assert "at least 0.5 pass" in seen.text
        assert "at least 0.5 fail" in seen.text
        assert sum(tag == "figure" for tag, _ in seen.tags) <= models.CHARTS

    def test_one_estimate_on_demand_also_on_a_slice(self, pages: Any) -> None:
        seen = pages.get("/evalkit/models/bot?metric=golden/token_f1&slice=language%3Den")
        assert seen.status == 200
        assert "golden/token_f1 [language=en] over versions" in seen.text
        assert "golden/exact_match over versions" not in seen.text

    @pytest.mark.parametrize("path", ["cat", "bot?metric=golden/nothing", "bot?metric=x"])
    def test_unknown_is_a_page_that_says_so(self, pages: Any, path: str) -> None:
        seen = pages.get(f"/evalkit/models/{path}")
        assert seen.status == 404
        assert "Not here" in seen.text

    def test_a_slice_that_another_estimate_had_is_left(self, pages: Any) -> None:
        seen = pages.get("/evalkit/models/bot?metric=golden/token_f1&slice=language%3Dfr")
        assert seen.status == 200
        assert "golden/token_f1 over versions" in seen.text

    def test_a_change_of_suite_is_marked(self, pages: Any) -> None:
        with writing(pages.project.engine) as session:
            suite = session.scalars(select(SuiteRow)).first()
            assert suite is not None
            other = _copy(suite, id=new_id(), digest="sha256:" + "0" * 64)
            session.add(other)
            session.flush()
            session.execute(
                ModelVersionRow.__table__.update().where(ModelVersionRow.version == 2).values(suite_id=other.id)
            )
        text = pages.get("/evalkit/models/bot").text
        assert "answers 00000000 new suite" in text
        assert text.count("new suite") == text.count("version 2, new suite") + 1

    def test_policy_in_force(self, pages: Any) -> None:
        assert "no alias of this model is protected" in pages.get("/evalkit/models/bot").text
        policy = Policy("bo*", aliases=("champion", "canary"), approvals=2, expires_after=86_400_000)
        set_policy(pages.project.engine, policy, actor="ada")
        text = pages.get("/evalkit/models/bot").text
        assert "champion, canary" in text
        assert "Approvals 2" in text
        assert "for 24 h" in text

    def test_override_is_told_and_harmless(self, pages: Any) -> None:
        with writing(pages.project.engine) as session:
            row = session.scalars(select(PromotionRow)).one()
            row.override, row.actor, row.decision_id = HOSTILE, HOSTILE, None
        seen = pages.get("/evalkit/models/bot")
        assert f"override {HOSTILE}" in seen.text
        assert all(given.get("src") != "x" for _, given in seen.tags)

    def test_many_versions_cost_no_more_queries(self, pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        pages.get("/evalkit/models/bot")  # what is computed once is there
        with _queries(pages.project) as few:
            pages.get("/evalkit/models/bot?start=0")
        pages.project.registry.mlflow.client.delete_registered_model_alias("bot", "champion")
        _add_versions(pages.project, 30)
        monkeypatch.setattr(models, "VERSIONS", 10)
        with _queries(pages.project) as many:
            seen = pages.get("/evalkit/models/bot")
        assert len(many) <= len(few)
        assert "1 to 10 of 32" in seen.text
        assert "version 32" in seen.text
        assert (
            "version 1 "
            not in pages.get("/evalkit/models/bot?start=0&metric=golden/distinct_n").text.split("over versions")[0]
        )
        older = next(link for link in seen.links if link.startswith("?start=10"))
        assert "11 to 20 of 32" in pages.get(f"/evalkit/models/bot{older.partition('#')[0]}").text

    def test_a_namesake_of_a_deleted_version_is_the_newer_one(self, pages: Any) -> None:
        with writing(pages.project.engine) as session:
            old = session.scalars(select(ModelVersionRow).where(ModelVersionRow.version == 2)).one()
            session.add(_copy(old, id=new_id(), registered_at=old.registered_at + 1, author="the newer"))
        lines = history.lines(pages.project, "bot", 0, 10)
        assert [(line.number, line.author == "the newer") for line in lines] == [(2, True), (1, False)]

    def test_a_quick_look_stands_only_where_there_is_nothing_else(self, pages: Any) -> None:
        with writing(pages.project.engine) as session:
            full = session.scalars(select(EvaluationRow).order_by(EvaluationRow.created_at)).first()
            assert full is not None
            kept = full.id
            later = full.created_at + 10**9
            session.add(_copy(full, id=new_id(), digest="sha256:quick", preset="quick", created_at=later))
        first = history.judged(pages.project, "bot")[0]
        assert (first.number, first.evaluation, first.quick) == (1, kept, False)

    def test_points_follow_the_stored_estimates(self, pages: Any) -> None:
        judged = history.judged(pages.project, "bot")
        address = Address("golden", "exact_match")
        found = history.points(pages.project, judged, [address])[address]
        with reading(pages.project.engine) as session:
            stored = {
                row.evaluation_id: row.value
                for row in session.scalars(
                    select(EstimateRow).where(EstimateRow.metric == "exact_match", EstimateRow.slice == "")
                )
            }
        assert [(one.version, one.value) for one in found] == [(j.number, stored[j.evaluation]) for j in judged]
        assert [(one.outcome, one.limits) for one in found] == [
            ("pass", (("at least", 0.5),)), ("fail", (("at least", 0.5),)),
        ]  # fmt: skip

    def test_monitors_that_watch_it(self, pages: Any) -> None:
        assert "Nothing watches this model" in pages.get("/evalkit/models/bot").text


@pytest.mark.parametrize("path", ["/evalkit/models", "/evalkit/models/bot", "/evalkit/compare?versions=bot/2,bot/1"])
class TestEvery:
    def test_nothing_inline(self, pages: Any, path: str) -> None:
        for tag, given in pages.get(path).tags:
            assert "style" not in given
            assert not [name for name in given if name.startswith("on")]
            assert tag != "style"
            assert tag != "script" or given["src"]

    def test_headings_labels_and_tables_for_every_reader(self, pages: Any, path: str) -> None:
        tags = pages.get(path).tags
        levels = [int(tag[1]) for tag, _ in tags if tag in {"h1", "h2", "h3"}]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))
        assert all(given.get("scope") for tag, given in tags if tag == "th")
        ids = [given["id"] for _, given in tags if given.get("id")]
        assert len(ids) == len(set(ids))

    def test_readers_see_it_and_strangers_do_not(self, pages: Any, path: str) -> None:
        assert pages.get(path, who="vera:viewer").status == 200
        seen = pages.get(path, who="stranger:")
        assert seen.status == 401
        assert "exact_match" not in seen.text
