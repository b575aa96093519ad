"""Calibrations in the judges' database: kept by version, never changed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from evalkit.config import load_settings
from evalkit.judging.calibrations import Calibration, Calibrations, shortfall
from evalkit.own_database import own_url
from judges.calibration import JudgeReport
from metrics import Estimate, InputError
from registry.judged import Demand


def report(judge: str = "helpful", version: str | None = "sha256:1", value: float = 0.8) -> JudgeReport:
    found = {"accuracy": Estimate(value, 0.7, 0.9, n=50)}
    return JudgeReport(judge, version, 50, 60, found, {"language": {"\0\ud800": found}}, ("a note",))


def test_the_newest_of_exactly_this_version_comes_back(database_url: str) -> None:
    kept = Calibrations(database_url)
    kept.save(report(value=0.5), "sha256:l", created=1)
    newest = kept.save(report(), "sha256:l", created=2)
    kept.save(report(version="sha256:2"), "sha256:l", created=3)
    kept.save(report(version=None), "sha256:l", created=4)
    assert kept.latest("helpful", "sha256:1") == newest
    assert kept.latest("helpful", None).report.judge_version is None
    assert kept.latest("helpful", "sha256:9") is None
    assert kept.latest("other", "sha256:1") is None
    assert [found.created for found in kept.list()] == [1, 2, 3, 4]
    assert [found.report.estimates["accuracy"].value for found in kept.list("helpful", "sha256:1")] == [0.5, 0.8]
    kept.close()
    again = Calibrations(database_url)
    assert again.latest("helpful", "sha256:1").report == report()
    again.close()


def test_workspaces_are_apart_and_hostile_names_are_text(database_url: str) -> None:
    ours, theirs = Calibrations(database_url), Calibrations(database_url, "team")
    name = "x'; DROP TABLE evalkit_judge_calibrations; --\0"
    ours.save(report(name), "sha256:l")
    assert theirs.list() == []
    assert ours.latest(name, "sha256:1").report.judge == name
    for kept in (ours, theirs):
        kept.close()


def test_many_may_start_at_once(database_url: str) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            kept = Calibrations(database_url)
            kept.save(report(value=number / 10), "sha256:l")
            kept.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    kept = Calibrations(database_url)
    assert len(kept.list()) == 6
    kept.close()


def test_it_lies_beside_the_projects_state(tmp_path: Path) -> None:
    (tmp_path / "evalkit.toml").touch()
    assert own_url(load_settings(tmp_path), "judges") == f"sqlite:///{tmp_path / '.evalkit' / 'judges.db'}"


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "judges.db").write_text("this is no database, but text that is long enough to be one")
    with pytest.raises(InputError, match=r"the database of judges at sqlite:.* cannot be opened"):
        Calibrations(f"sqlite:///{tmp_path / 'judges.db'}")


def calibration(low: float | None, created: int = 0) -> Calibration:
    kappa = Estimate(0.7, low, None if low is None else 0.8, n=60, method="no interval: 30 items, 50 needed")
    return Calibration("id", JudgeReport("helpful", "v", 60, 60, {"cohen_kappa": kappa}), "sha256:l", created)


@pytest.mark.parametrize(
    ("found", "demand", "says"),
    [
        (None, {}, "never calibrated"),
        (calibration(0.6), {"kappa": 0.6, "max_age": "90d"}, None),
        (calibration(0.59), {"kappa": 0.6}, "a lower end of at least 0.6 is demanded"),
        (calibration(None), {"kappa": 0.6}, "no interval of Cohen's kappa"),
        (calibration(0.9), {"max_age": "9d"}, "10 days ago, and at most 9"),
        (calibration(0.9), {"max_age": "10d"}, None),
    ],
)
def test_what_a_suite_demands(found: Calibration | None, demand: dict[str, object], says: str | None) -> None:
    why = shortfall(found, Demand.model_validate(demand), now=10 * 86_400_000)
    assert why is None if says is None else why is not None and says in why
