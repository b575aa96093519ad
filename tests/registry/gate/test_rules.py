from __future__ import annotations

import pytest

from metrics.errors import InputError
from registry.gate import anchor_versions, check_rules


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "tt/recall", "min": 1}, "no task 'tt'; did you mean 't'"),
        ({"metric": "t/recal", "min": 1}, "does not score 'recal'; did you mean 'recall'"),
        ({"metric": "t/latency.p59", "max": 1}, "no key 'p59'; did you mean 'p95'"),
        ({"metric": "t/recall", "min": 1, "slice": "langage"}, "no slice 'langage'; did you mean 'language'"),
        ({"metric": "t/word_count", "versus": "champion", "margin": 0}, "give `min` or `max` instead"),
    ],
)
def test_a_rule_that_can_never_be_judged_is_named(kit, rule, message):
    with pytest.raises(InputError, match=message):
        check_rules(kit.suite(rule))


def test_a_required_task_must_exist(kit):
    with pytest.raises(InputError, match="required task 'u'"):
        check_rules(kit.suite(required=["u"]))


def test_good_rules_are_accepted(kit):
    check_rules(
        kit.suite(
            {"metric": "t/latency.p95", "max": "4 s"},
            {"metric": "t/recall", "min": 0.5, "slice": "language=de"},
            {"metric": "t/kid", "versus": "champion", "margin": "10%"},
            required=["t"],
        )
    )


def test_anchor_versions_are_those_that_rules_name(kit):
    rule = {"metric": "t/kid", "versus": "champion", "margin": 1}
    suite = kit.suite(rule | {"anchor": {"version": 3}}, rule | {"anchor": 0.5}, rule)
    assert anchor_versions(suite) == {3}
