from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.gate.samples import more_samples

RANK = {"fail": 0, "inconclusive": 1, "pass": 2}
NAMES = ("recall", "kid", "token_f1", "latency")
values = st.floats(0, 1, allow_nan=False)
numbers = st.tuples(values, st.one_of(st.none(), st.floats(0.001, 0.3)), st.floats(0.9, 1))
quiet = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def build(kit, drawn):
    """A suite with one absolute rule per metric, and the evidence for it."""
    rules = [
        {"metric": f"t/{name}", ("min" if name in ("recall", "token_f1") else "max"): limit}
        for name, (limit, _) in zip(NAMES, drawn, strict=False)
    ]
    own = {
        f"t/{name}": kit.Normal(value, error, coverage=coverage)
        for name, (_, (value, error, coverage)) in zip(NAMES, drawn, strict=False)
    }
    return rules, own


@quiet
@given(st.lists(st.tuples(values, numbers), min_size=1, max_size=4), st.integers(0, 3), st.floats(0, 1))
def test_improving_the_candidate_never_worsens_the_verdict(kit, drawn, which, step):
    rules, own = build(kit, drawn)
    before = kit.run(kit.suite(*rules), kit.Scripted(own))
    name = list(own)[which % len(own)]
    better = step if "min" in rules[which % len(own)] else -step
    own[name] = replace(own[name], value=own[name].value + better)
    after = kit.run(kit.suite(*rules), kit.Scripted(own))
    changed = after.rules[which % len(own)]
    assert RANK[changed.outcome] >= RANK[before.rules[which % len(own)].outcome]
    assert not (before.passed and not after.passed)


@quiet
@given(st.lists(st.tuples(values, numbers), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_rules_changes_nothing(kit, drawn, random):
    rules, own = build(kit, drawn)
    shuffled = list(rules)
    random.shuffle(shuffled)
    first, second = (kit.run(kit.suite(*order), kit.Scripted(own)) for order in (rules, shuffled))
    assert (first.outcome, first.digest) == (second.outcome, second.digest)
    assert sorted(map(repr, first.rules)) == sorted(map(repr, second.rules))


@quiet
@given(st.lists(st.tuples(values, numbers), min_size=1, max_size=4))
def test_the_verdict_follows_from_the_bounds(kit, drawn):
    """Recomputed from the definition: intersection-union for a pass, plain Bonferroni implies a failure."""
    rules, own = build(kit, drawn)
    decision = kit.run(kit.suite(*rules), kit.Scripted(own))
    clear = []
    for rule, seen in zip(rules, own.values(), strict=True):
        sign, limit = (1, rule["min"]) if "min" in rule else (-1, rule["max"])
        z = math.inf if seen.error is None else sign * (seen.value - limit) / seen.error
        clear.append(seen.error is not None and seen.coverage >= 0.98 and z >= 1.6448536)
        if seen.error is not None and seen.coverage >= 0.98 and z < -2.3:  # p = 0.0107 < 0.05 / 4
            assert decision.failed
    assert decision.passed == all(clear)


def test_an_estimate_almost_on_its_limit_asks_for_no_number_of_samples():
    assert more_samples(n=100, gap=1e-203, width=0.1, alpha=0.05, next_alpha=0.05) is None
