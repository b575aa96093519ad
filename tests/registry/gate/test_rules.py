from __future__ import annotations

from registry.gate import anchor_versions


def test_anchor_versions_are_those_that_rules_name(kit):
    rule = {"metric": "t/kid", "versus": "champion", "margin": 1}
    suite = kit.suite(rule | {"anchor": {"version": 3}}, rule | {"anchor": 0.5}, rule)
    assert anchor_versions(suite) == {3}
