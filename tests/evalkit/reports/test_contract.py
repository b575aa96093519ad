"""Data contracts: derived, edited, and broken by what they are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evalkit.reports.contract import Contract, check_contract, derive_contract
from metrics.errors import InputError

HOUR = 3_600_000


def traffic(seed: int, rows: int = 1500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "prompt": ["what " * int(n) for n in rng.integers(1, 40, rows)],
            "output": [None if rng.random() < 0.03 else "so " * int(n) for n in rng.integers(1, 80, rows)],
            "context": [["one", "two"]] * rows,
            "latency": np.where(rng.random(rows) < 0.01, np.nan, rng.gamma(2, 0.3, rows)),
            "language": rng.choice(["de", "en", "fr"], rows, p=[0.3, 0.6, 0.1]),
            "cached": rng.random(rows) < 0.2,
        }
    )


@pytest.fixture(scope="module")
def contract() -> Contract:
    return derive_contract("bot", traffic(0), per_window=[1200, 1500, 1900], freshness=2)


def broken(contract: Contract, rows: pd.DataFrame) -> set[tuple[str, str]]:
    return {(breach.expectation, breach.column) for breach in check_contract(contract, rows).breaches}


def test_windows_of_the_same_traffic_pass(contract: Contract) -> None:
    for seed in range(1, 6):
        found = check_contract(contract, traffic(seed), newest=10 * HOUR, end=11 * HOUR)
        assert found.passed, found.breaches
    assert found.checked > 12


def test_what_a_contract_is_for(contract: Contract) -> None:
    good = traffic(99)
    assert broken(contract, good.drop(columns="output")) >= {("expect_column_to_exist", "output")}
    empty = good.assign(output=[None] * 400 + list(good["output"][400:]))
    assert broken(contract, empty) == {("expect_column_values_to_not_be_null", "output")}
    assert broken(contract, good.assign(latency=good["latency"] * 1000)) == {
        ("expect_column_values_to_be_between", "latency")
    }
    assert broken(contract, good.assign(language="xx")) == {("expect_column_values_to_be_in_set", "language")}
    assert broken(contract, good.assign(prompt="x" * 5000)) == {("expect_column_value_lengths_to_be_between", "prompt")}
    assert broken(contract, good.assign(latency="fast"))
    assert broken(contract, good[:300]) == {("volume", "")}
    assert broken(contract, pd.concat([good] * 5)) == {("volume", "")}
    assert broken(contract, good[:0]) == {("volume", "")}
    (stale,) = check_contract(contract, good, newest=0, end=5 * HOUR).breaches
    assert "5.0 h old" in stale.reason


def test_a_breach_says_how_many_and_shows_some(contract: Contract) -> None:
    rows = traffic(3).assign(language=["xx" * 400] * 150 + ["en"] * 1350)
    (breach,) = check_contract(contract, rows).breaches
    assert breach.count == 150
    assert "150 of 1500 values (10 %)" in breach.reason
    assert all(len(example) <= 200 for example in breach.examples)


def test_written_and_read_again(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(contract.text(), encoding="utf-8")
    assert Contract.load(path) == contract
    path.write_text("contract: mine\nfreshness: 90m\n")
    with pytest.raises(InputError, match=r"contract.yaml:2: `freshness`"):
        Contract.load(path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{expect_column_to_exist: {column: a, zzz: 1}}", "expect_column_to_exist"),
        ("{expect_column_to_exists: {column: a}}", "did you mean 'expect_column_to_exist'"),
        ("{unexpected_rows_expectation: {unexpected_rows_query: x}}", "is not an expectation"),
        ("{expect_query_results_to_match_comparison: {}}", "is not an expectation"),
        ("{expect_column_values_to_match_regex: {column: a, regex: '(a+)+$'}}", "is not an expectation"),
        (
            "{expect_column_to_exist: {column: a, row_condition: '@__import__(\"os\")'}}",
            "`row_condition` cannot be given",
        ),
        ("{expect_table_row_count_to_equal: {value: {$PARAMETER: x}}}", "`value` cannot be given"),
        ("nonsense", "expectations"),
    ],
)
def test_bad_lines_are_told_with_their_place(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(f"contract: mine\nexpectations:\n  - {line}\n")
    with pytest.raises(InputError, match=says) as refused:
        Contract.load(path)
    assert str(refused.value).startswith(f"{path}:3: ")
    assert "\n" not in str(refused.value)


def test_too_few_rows_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 50"):
        derive_contract("bot", traffic(0, 49))
    with pytest.raises(InputError, match="there is no such contract"):
        Contract.load(tmp_path / "none.yaml")


def test_imported_only_when_a_contract_is_checked() -> None:
    program = "import sys, evalkit.reports.contract; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=False).returncode == 0
