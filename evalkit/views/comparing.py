"""How far versions are apart on what they were both measured with, computed once for each pair of evaluations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import case, select

from evalkit.evidence import SPEED, StoredResults, measured, paired_differences, results_home
from evalkit.project import Project
from evalkit.reports.scorecard import specs_of
from evalkit.reports.terminal import ComparisonRow
from evalkit.views.kept import write
from metrics.base import Direction, Estimate, Scores
from metrics.errors import InputError
from metrics.statistics import compare_paired, independent_difference
from metrics.statistics.pairing import pair
from registry.current import QUICK
from registry.database import reading
from registry.digests import digest as digest_of
from registry.entities import Evaluation, ModelVersion
from registry.gate.evidence import Address
from registry.tables import EvaluationRow

_FORMAT = 1
"""Raised where differences are computed otherwise, so that what was kept before is not shown."""
_REFERENCE = re.compile(r"(?P<name>[^/]{1,255})(?P<version>/[0-9]{1,9}|@[A-Za-z0-9][A-Za-z0-9_.-]{0,99})(?:,|\Z)")
_LOOKED_AT = 5
"""Evaluations of a version that are searched for results which compare."""


@dataclass(frozen=True, slots=True)
class Side:
    """A version with its finished evaluations, full ones first, then the newest ones."""

    version: ModelVersion
    results: tuple[StoredResults, ...]

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation whose estimates stand for the version."""
        return self.results[0].evaluation if self.results else None

    def like(self, own: StoredResults, address: Address) -> StoredResults | None:
        """The results that were measured as `own` were."""
        wanted = measured(own, address)
        return next((found for found in self.results if measured(found, address) == wanted), None)


@dataclass(frozen=True, slots=True)
class Wins:
    """Samples on which one version scored better than another; `rate` counts a tie as half a win."""

    better: int
    same: int
    worse: int
    rate: Estimate


@dataclass(frozen=True, slots=True)
class Difference:
    """One estimate of two versions, and the former minus the latter.

    Attributes:
        task, name, slice: what is compared; `name` is ``task/metric`` or ``task/metric.key``.
        direction, units: whether lower or higher is better, and the unit of all numbers.
        left, right: the estimates; `right` None where the other version has none that compares.
        change: `left` minus `right`; None where it cannot be told.
        wins: sample by sample; None where no scores of samples are shared, or neither more nor less is better.
        reason: why there is no `change`, or no `right`.
    """

    task: str
    name: str
    slice: str
    direction: Direction
    units: str
    left: Estimate
    right: Estimate | None
    change: Estimate | None
    wins: Wins | None = None
    reason: str = ""

    @property
    def paired(self) -> bool:
        """Whether the difference is of the same samples, pair by pair."""
        return self.change is not None and self.change.method.startswith("paired")

    @property
    def standing(self) -> str:
        """``better``, ``worse``, ``undecided`` or ``no direction``: how the former stands."""
        row = ComparisonRow(self.name, self.slice, self.direction, self.left, self.right, self.change)
        return row.standing


def references(given: Sequence[str]) -> list[tuple[str, str]]:
    """Versions as an address names them, ``name/1,name/2`` or ``name@champion``, each once.

    Raises:
        InputError: what is given is not a list of versions.
    """
    found: dict[tuple[str, str], None] = {}
    for text in given:
        at = 0
        while at < len(text):
            match = _REFERENCE.match(text, at)
            if match is None:
                raise InputError(f"'{text[at:][:100]}' names no version; write name/1,name/2 or name@champion")
            found[match["name"].strip(), match["version"].removeprefix("/")] = None
            at = match.end()
    return list(found)


def side(project: Project, version: ModelVersion) -> Side:
    """A version with what it was measured with."""
    quick = case((EvaluationRow.preset == QUICK, 1), else_=0)
    query = (
        select(EvaluationRow.id)
        .where(EvaluationRow.version_id == version.id, EvaluationRow.status == "finished")
        .order_by(quick, EvaluationRow.created_at.desc(), EvaluationRow.id.desc())
        .limit(_LOOKED_AT)
    )
    with reading(project.engine) as session:
        keys = list(session.scalars(query))
    found = [project.registry.evaluation_by_id(key) for key in keys]
    home = project.settings.home
    return Side(version, tuple(StoredResults(results_home(home, one), one) for one in found))


def aligned(sides: Sequence[Side]) -> list[Side]:
    """The same, with results on a suite that all were evaluated with first; as they are where there is none."""
    known = [{found.evaluation.suite_digest for found in one.results} for one in sides]
    own = (found.evaluation.suite_digest for found in sides[0].results)
    wanted = next((digest for digest in own if all(digest in others for others in known)), None)
    if wanted is None:
        return list(sides)
    return [
        replace(one, results=tuple(sorted(one.results, key=lambda found: found.evaluation.suite_digest != wanted)))
        for one in sides
    ]


def differences(project: Project, left: Side, right: Side, slice_: str = "") -> list[Difference]:
    """Every estimate of one version (on one slice) beside another's; none where the former was not evaluated."""
    if not left.results:
        return []
    wished = _wished(project, left.version)
    told = {
        "format": _FORMAT,
        "wished": wished,
        "left": _identity(left.results[0].evaluation),
        "right": [_identity(found.evaluation) for found in right.results],
        "slice": slice_,
    }
    place = project.settings.home / "comparisons" / f"{digest_of(told).removeprefix('sha256:')[:40]}.json"
    try:
        return [_from_json(item) for item in json.loads(place.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not computed yet, or not as we keep it now
    found = list(_computed(left.results[0], right, slice_, wished))
    write(place, json.dumps([_to_json(item) for item in found]).encode())
    return found


def _wished(project: Project, version: ModelVersion) -> dict[str, Direction]:
    """Which way is better where the suite's own limits say it: a refusal is right on some tasks and wrong on others."""
    found: dict[str, Direction] = {}
    for rule in project.registry.suite(version).spec.gate.rules:
        if (rule.min is None) != (rule.max is None):
            found[rule.metric] = "higher" if rule.max is None else "lower"
    return found


def _identity(evaluation: Evaluation) -> list[Any]:
    return [evaluation.digest, evaluation.look, evaluation.id, evaluation.finished_at]


def _computed(own: StoredResults, right: Side, slice_: str, wished: Mapping[str, Direction]) -> Iterator[Difference]:
    specs = specs_of(own.evaluation)
    estimates = [one for one in own.evaluation.estimates if one.slice == slice_]
    for (task, metric), group in groupby(estimates, key=lambda one: (one.task, one.metric)):
        other = right.like(own, Address(task, metric, slice=slice_))
        spec = specs[metric]
        reason = "" if other is not None else _unlike(own, right, task, metric)
        if other is not None and metric in SPEED and _hardware(own, task) != _hardware(other, task):
            reason = f"measured on {_hardware(own, task)} and on {_hardware(other, task)}"
        paired: dict[str, Estimate] = {}
        won: Wins | None = None
        if other is not None and not reason:
            try:
                paired = _paired(own, other, task, metric, slice_)
                scores = [results.rows(task, metric, slice_) for results in (own, other)] if paired else []
                won = wins(scores[0], scores[1], wished.get(f"{task}/{metric}", spec.direction)) if paired else None
            except InputError as error:
                reason = str(error)
        theirs = {} if other is None else _by_key(other.evaluation, task, metric, slice_)
        for stored in group:
            right_one, change = theirs.get(stored.key), paired.get(stored.key)
            if change is None and right_one is not None and not reason:
                change = independent_difference(stored.estimate, right_one)
            yield Difference(
                task, stored.name, slice_, wished.get(stored.name, spec.direction_of(stored.key)), spec.units,
                stored.estimate, right_one, change, won if stored.key == "value" else None,
                reason or ("" if right_one is not None else "the other version has no such estimate"),
            )  # fmt: skip


def _paired(own: StoredResults, other: StoredResults, task: str, metric: str, slice_: str) -> dict[str, Estimate]:
    record = own.record(task, metric)
    if record is None or record["reference_state"] is not None:
        return {}  # metrics of whole sets; their references, which are large, need not be read to know that
    return paired_differences(own, other, task, metric, slice_)


def wins(mine: Scores | None, theirs: Scores | None, direction: Direction) -> Wins | None:
    """How often the former version scored better on the same sample; None where neither more nor less is better.

    The interval is that of a paired comparison of wins with losses (Tango's, or clustered t), moved to a rate.
    """
    if direction == "none" or mine is None or theirs is None:
        return None
    pairs = pair(mine, theirs)
    if pairs is None or int(pairs.both.sum()) < 2:
        return None
    a, b = pairs.scored
    gap = (a.values / a.denominators - b.values / b.denominators) * (1 if direction == "higher" else -1)
    gap = gap[np.isfinite(gap)]
    better, worse = gap > 0, gap < 0
    clusters = a.clusters if len(gap) == len(a) else None
    net = compare_paired(better.astype(float), worse.astype(float), clusters=clusters).difference
    rate = replace(
        net, value=(1 + net.value) / 2, low=None if net.low is None else (1 + net.low) / 2,
        high=None if net.high is None else (1 + net.high) / 2, worst_low=None, worst_high=None,
        coverage=len(gap) / len(pairs.both), estimand="chance of scoring better on a sample, a tie counted half",
    )  # fmt: skip
    return Wins(int(better.sum()), len(gap) - int(better.sum()) - int(worse.sum()), int(worse.sum()), rate)


def _unlike(own: StoredResults, right: Side, task: str, metric: str) -> str:
    if not right.results:
        return "the other version was not evaluated"
    if all(found.record(task, metric) is None for found in right.results):
        return "the other version was not measured with this"
    return "the other version was measured on other data, or in another way"


def _hardware(results: StoredResults, task: str) -> str:
    return str((results.task(task) or {}).get("hardware") or "unknown hardware")


def _by_key(evaluation: Evaluation, task: str, metric: str, slice_: str) -> Mapping[str, Estimate]:
    wanted = (task, metric, slice_)
    return {one.key: one.estimate for one in evaluation.estimates if (one.task, one.metric, one.slice) == wanted}


def shared_slices(left: Side, sides: Sequence[Side]) -> list[str]:
    """Slices, ``name=value``, on which all versions have estimates."""
    if left.evaluation is None:
        return []
    known = [{one.slice for found in other.results for one in found.evaluation.estimates} for other in sides]
    own = dict.fromkeys(one.slice for one in left.evaluation.estimates if one.slice)
    return [name for name in own if all(name in other for other in known)]


def _to_json(found: Difference) -> dict[str, Any]:
    told = asdict(found)
    for name in ("left", "right", "change"):
        estimate: Estimate | None = getattr(found, name)
        told[name] = None if estimate is None else estimate.to_json()
    if found.wins is not None:
        told["wins"]["rate"] = found.wins.rate.to_json()
    return told


def _from_json(told: dict[str, Any]) -> Difference:
    for name in ("left", "right", "change"):
        if told[name] is not None:
            told[name] = Estimate.from_json(told[name])
    if told["wins"] is not None:
        told["wins"] = Wins(**{**told["wins"], "rate": Estimate.from_json(told["wins"]["rate"])})
    return Difference(**told)
