"""Versions beside each other: differences, wins, samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.differences import differences as computed
from evalkit.views import comparing, side_by_side
from evalkit.views.comparing import references
from evalkit.views.side_by_side import marked
from metrics.base import Scores
from metrics.errors import InputError
from registry.suite import Suite

COMPARE = "/evalkit/compare?versions=bot/2,bot/1"
HOSTILE = "<script>document.title='pwned'</script>"


def _sides(project: Any) -> list[comparing.Side]:
    return [comparing.side(project, project.registry.version(f"models:/bot/{number}")) for number in (2, 1)]


def _scores(values: list[float], names: list[str] | None = None) -> Scores:
    n = len(values)
    return Scores(
        names or [str(i) for i in range(n)], np.array(values), np.ones(n), np.ones(n), None,
        [None if np.isfinite(v) else "no score" for v in values],
    )  # fmt: skip


class TestAddress:
    def test_reads_names_with_commas_and_aliases(self) -> None:
        assert references(["a,b/1,c@champion", "c/2"]) == [("a,b", "1"), ("c", "@champion"), ("c", "2")]
        assert references(["a/1,a/1,"]) == [("a", "1")]

    @pytest.mark.parametrize("given", ["a", "a/x", "a/1,../../etc", "/1", "a/1;b/2", "a/1/2"])
    def test_refuses_what_names_no_version(self, given: str) -> None:
        with pytest.raises(InputError, match="names no version"):
            references([given])

    def test_ticked_versions_are_the_same_as_a_list(self, pages: Any) -> None:
        ticked = pages.get("/evalkit/compare?versions=bot%2F2&versions=bot%2F1")
        assert ticked.html == pages.get(COMPARE).html

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("versions=bot/2,bot/9", 404), ("versions=bot/2,cat/1", 404), ("versions=bot/2,bot@nobody", 404),
            ("versions=bot/2,bot/1&task=nothing", 404), ("versions=what", 422), ("versions=bot/2,bot/1&start=-1", 422),
            ("versions=bot/1,bot/2,bot/3,bot/4,bot/5", 422),
        ],
    )  # fmt: skip
    def test_unknown_or_too_much_is_a_page(self, pages: Any, query: str, status: int) -> None:
        seen = pages.get(f"/evalkit/compare?{query}")
        assert seen.status == status
        assert "To the overview" in seen.text

    @pytest.mark.parametrize("query", ["", "?versions=bot/1"])
    def test_asks_for_versions_where_there_are_too_few(self, pages: Any, query: str) -> None:
        seen = pages.get(f"/evalkit/compare{query}")
        assert seen.status == 200
        assert "Choose versions" in seen.text
        assert "/evalkit/compare?versions=bot/2%2Cbot/1" in seen.links


class TestDifferences:
    def test_are_those_of_the_command(self, project: Any) -> None:
        left, right = _sides(project)
        assert left.evaluation is not None
        told = {(row.name, row.slice): row for row in computed(project.session, left.evaluation, right.version)}
        found = comparing.differences(project, left, right)
        for slice_ in ("language=en", "language=de"):
            found += comparing.differences(project, left, right, slice_)
        assert {(one.name, one.slice) for one in found} == set(told)
        for one in found:
            row = told[one.name, one.slice]
            assert one.standing == row.standing
            assert one.paired == row.paired
            if row.difference is None:
                assert one.change is None
                continue
            assert one.change is not None
            assert one.change.low == (None if row.difference.low is None else pytest.approx(row.difference.low))
            assert one.change.value == pytest.approx(row.difference.value, nan_ok=True)

    def test_are_computed_once_for_two_evaluations(self, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        left, right = _sides(project)
        first = comparing.differences(project, left, right)

        def never(*_: Any) -> Any:
            raise AssertionError("computed again")

        monkeypatch.setattr(comparing, "_computed", never)
        assert repr(comparing.differences(project, left, right)) == repr(first)
        with pytest.raises(AssertionError):
            comparing.differences(project, right, left)
        with pytest.raises(AssertionError):
            comparing.differences(project, left, right, "language=en")
        again = replace(right.results[0], evaluation=replace(right.results[0].evaluation, finished_at=1), _kept={})
        with pytest.raises(AssertionError):
            comparing.differences(project, left, replace(right, results=(again,)))

    def test_a_limit_of_the_suite_says_which_way_is_better(self, project: Any) -> None:
        def standing() -> tuple[str, int]:
            found = next(one for one in comparing.differences(project, *_sides(project)) if "exact_match" in one.name)
            assert found.wins is not None
            return found.standing, found.wins.better

        assert standing() == ("worse", 0)
        version = project.registry.version("models:/bot/2")
        folder = project.settings.home.parent
        text = (folder / "suite.yaml").read_text().replace("min: 0.5", "max: 0.5")
        project.registry.bind_suite(version, Suite.from_text(text, folder, origin="suite.yaml"))
        assert standing()[0] == "better"
        assert standing()[1] > 0

    def test_a_damaged_file_is_computed_again(self, project: Any) -> None:
        left, right = _sides(project)
        first = comparing.differences(project, left, right)
        (kept,) = (project.settings.home / "comparisons").iterdir()
        for damage in ("", "[{}]", '[{"task": 1}]', "null"):
            kept.write_text(damage)
            assert repr(comparing.differences(project, left, right)) == repr(first)

    def test_other_data_do_not_compare(self, project: Any) -> None:
        left, right = _sides(project)
        results = right.results[0]
        tasks = {
            name: {**task, "data": {**task["data"], "digest": "sha256:other"}}
            for name, task in results.evaluation.details["tasks"].items()
        }
        moved = replace(
            results, evaluation=replace(results.evaluation, details={"tasks": tasks}, finished_at=2), _kept={}
        )
        other = replace(right, results=(moved,))
        found = comparing.differences(project, left, other)
        assert all(one.change is None and one.right is None and "other data" in one.reason for one in found)
        assert side_by_side.tasks([left, other]) == []

    def test_speeds_on_other_hardware_have_no_difference(self, project: Any) -> None:
        left, right = _sides(project)
        results = right.results[0]
        tasks = {
            name: {**task, "hardware": "another machine"} for name, task in results.evaluation.details["tasks"].items()
        }
        moved = replace(
            results, evaluation=replace(results.evaluation, details={"tasks": tasks}, finished_at=3), _kept={}
        )
        found = {one.name: one for one in comparing.differences(project, left, replace(right, results=(moved,)))}
        assert found["golden/latency"].change is None
        assert "another machine" in found["golden/latency"].reason
        assert found["golden/exact_match"].change is not None

    def test_on_the_page(self, pages: Any) -> None:
        text = pages.get(COMPARE).text
        row = text[text.index("golden/exact_match more is better") :]
        assert row.index("paired") < row.index("worse") < row.index("golden/token_f1")
        assert "0 better" in row

    def test_slice_of_the_page(self, pages: Any) -> None:
        seen = pages.get(f"{COMPARE}&slice=language%3Den")
        assert "version 2 against version 1 on language=en" in seen.text
        assert "golden/exact_match" in pages.get(f"{COMPARE}&slice=language%3Dfr").text

    def test_rest_on_a_suite_that_both_were_evaluated_with(self, project: Any) -> None:
        left, right = _sides(project)
        shared = left.results[0]
        alone = replace(shared, evaluation=replace(shared.evaluation, suite_digest="sha256:newer"), _kept={})
        moved = comparing.aligned([replace(left, results=(alone, shared)), right])
        assert moved[0].results == (shared, alone)
        assert comparing.aligned([replace(left, results=(alone,)), right])[0].results == (alone,)

    def test_a_version_without_results_says_what_to_do(self, pages: Any, project: Any) -> None:
        from sqlalchemy import update

        from registry.database import writing
        from registry.tables import EvaluationRow

        second = project.registry.version("models:/bot/2")
        with writing(project.engine) as session:
            session.execute(update(EvaluationRow).where(EvaluationRow.version_id == second.id).values(status="failed"))
        for query in ("bot/2,bot/1", "bot/1,bot/2"):
            seen = pages.get(f"/evalkit/compare?versions={query}")
            assert seen.status == 200
            assert "evalkit evaluate models:/bot/2" in seen.text


class TestWins:
    def test_counts_by_direction(self) -> None:
        mine, theirs = _scores([1.0, 0.0, 0.5, np.nan]), _scores([0.0, 1.0, 0.5, 1.0])
        more, less = (comparing.wins(mine, theirs, direction) for direction in ("higher", "lower"))
        assert more is not None
        assert less is not None
        assert (more.better, more.same, more.worse) == (1, 1, 1)
        assert more.rate.value == 0.5
        assert more.rate.coverage == 0.75
        mine = _scores([1.0, 1.0, 1.0, 0.0])
        theirs = _scores([0.0, 0.0, 0.0, 0.0])
        more, less = (comparing.wins(mine, theirs, direction) for direction in ("higher", "lower"))
        assert more is not None
        assert less is not None
        assert (more.better, more.worse, less.better, less.worse) == (3, 0, 0, 3)
        assert more.rate.value == 1 - less.rate.value == 0.875
        assert comparing.wins(mine, theirs, "none") is None

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=3, max_size=40)
    )
    def test_swapping_mirrors_the_rate(self, pairs: list[tuple[float, float]]) -> None:
        a, b = (_scores([pair[side] for pair in pairs]) for side in (0, 1))
        one, other = comparing.wins(a, b, "higher"), comparing.wins(b, a, "higher")
        assert one is not None
        assert other is not None
        assert one.rate.value == pytest.approx(1 - other.rate.value)
        assert one.rate.low is not None
        assert other.rate.high is not None
        assert one.rate.low == pytest.approx(1 - other.rate.high, abs=1e-9)
        assert -1e-9 <= one.rate.low <= one.rate.value <= (one.rate.high or 0) <= 1 + 1e-9


class TestSamples:
    def test_worst_first(self, project: Any) -> None:
        sides = _sides(project)
        found = side_by_side.rows(sides, "golden", "exact_match", size=1000)
        gaps = [row.gap for row in found.rows]
        assert gaps == sorted(gaps, key=lambda gap: (gap is None, gap))
        assert gaps[0] == -1
        unordered = side_by_side.rows(sides, "golden", "", size=1000)
        assert [row.sample_id for row in unordered.rows] == [f"q{i}" for i in range(40)]

    def test_only_where_they_differ(self, project: Any) -> None:
        sides = _sides(project)
        every = side_by_side.rows(sides, "golden", "exact_match", size=1000)
        some = side_by_side.rows(sides, "golden", "exact_match", only=True, size=1000)
        assert 0 < some.total < every.total == some.shared == 40
        assert all(
            {mark for answer in row.answers if answer for mark, _ in answer.words} != {"same"} for row in some.rows
        )
        left_out = {row.sample_id for row in every.rows} - {row.sample_id for row in some.rows}
        texts = {row.sample_id: [answer.words for answer in row.answers if answer] for row in every.rows}
        assert all(texts[name][0] == texts[name][1] for name in left_out)

    def test_pages_hold_the_whole_state(self, pages: Any) -> None:
        seen = pages.get(f"{COMPARE}&task=golden&metric=token_f1&only=1&start=10")
        following = next(link for link in seen.links if "start=20" in link)
        for part in ("versions=bot%2F2%2Cbot%2F1", "task=golden", "metric=token_f1", "only=1"):
            assert part in following
        assert pages.get(following.partition("#")[0]).status == 200

    def test_hostile_text_stays_text(self, pages: Any) -> None:
        seen = pages.get(f"{COMPARE}&metric=")
        assert HOSTILE in seen.text
        assert all(given.get("src") != "x" for _, given in seen.tags)
        assert all(given.get("src") for tag, given in seen.tags if tag == "script")

    def test_differences_in_the_text_are_marked_without_colour(self, pages: Any) -> None:
        names = [tag for tag, _ in pages.get(COMPARE).tags]
        assert names.count("ins") > 1  # the legend has one of each
        assert names.count("del") > 1

    def test_gone_outputs_are_said_to_be(self, pages: Any, project: Any) -> None:
        for file in (project.settings.home / "outputs").rglob("*.parquet"):
            file.unlink()
        seen = pages.get(COMPARE)
        assert seen.status == 200
        assert "are gone from" in seen.text

    @settings(max_examples=80, deadline=None)
    @given(st.text("ab \n<é", max_size=40), st.text("ab \n<é", max_size=40))
    def test_marks_lose_nothing(self, text: str, other: str) -> None:
        left, right = marked(text, other)
        assert "".join(words for _, words in left) == text
        assert "".join(words for _, words in right) == other
        assert {mark for mark, _ in left} <= {"same", "new"}
        assert {mark for mark, _ in right} <= {"same", "gone"}
        same = ["".join(words for mark, words in side if mark == "same").split() for side in (left, right)]
        assert "".join(same[0]) == "".join(same[1])

    def test_marks_words(self) -> None:
        left, right = marked("the new answer is 4", "the old answer is 5")
        assert [words.strip() for mark, words in left if mark == "new"] == ["new", "4"]
        assert [words.strip() for mark, words in right if mark == "gone"] == ["old", "5"]
