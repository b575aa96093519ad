"""Data contracts: what every window of a monitor must look like, checked by Great Expectations.

A contract is a YAML file that `derive_contract` writes from reference data and people edit. Great Expectations is
imported only here and only when a contract is checked: it takes seconds and half a gigabyte.
"""

from __future__ import annotations

import gc
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from judges.yaml_source import read_yaml
from metrics.errors import InputError, did_you_mean
from metrics.statistics.intervals import clopper_pearson_interval
from registry.judged import Age

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 1_000_000
_NAME = re.compile(r"^expect_(column|table|multicolumn|compound_columns|select_column)_[a-z_]+$")
_LEFT_OUT = re.compile(r"query|regex|like_pattern|quantile|kl_divergence")
"""Expectations with SQL or patterns of their own, which may run without end, and those whose results cannot be kept."""
_NO_CONDITIONS = frozenset({"row_condition", "condition_parser"})
"""Arguments that pandas would evaluate as an expression."""
_MARGIN = 0.02
_MOST_VALUES = 20
_SHOWN = 5
_SHOWN_TEXT = 200


def _known(name: str) -> str:
    if not _NAME.match(name) or _LEFT_OUT.search(name):
        raise ValueError(
            f"'{name}' is not an expectation on a table's columns, such as expect_column_values_to_not_be_null"
        )
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(_Strict):
    """One expectation of Great Expectations, by its own name, with its own arguments."""

    expect: Annotated[str, AfterValidator(_known)]
    arguments: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        # {expect_column_to_exist: {column: prompt}} is how people write it
        if isinstance(given, Mapping) and len(given) == 1 and not {"expect", "arguments"} & set(given):
            ((name, arguments),) = given.items()
            return {"expect": name, "arguments": arguments or {}}
        return given

    @model_validator(mode="after")
    def _plain(self) -> Self:
        for key, value in self.arguments.items():
            if key in _NO_CONDITIONS or isinstance(value, dict):
                raise ValueError(f"`{key}` cannot be given: arguments are plain values and lists")
        return self


class Volume(_Strict):
    """How many rows a window has, at least and at most."""

    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)


class Contract(_Strict):
    """What a window must look like.

    Attributes:
        contract: its name, such as that of the monitor.
        volume: rows per window.
        freshness: how long before the end of a window its newest row may lie, in hours; None asks nothing.
        expectations: on the rows.
    """

    contract: str = Field(min_length=1, max_length=200)
    volume: Volume = Volume()
    freshness: Age | None = None
    expectations: tuple[Expectation, ...] = Field(default=(), max_length=500)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a contract from YAML; raises `InputError` with ``file:line``."""
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"{path}: larger than {MAX_BYTES // 1000} kB")
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such contract; `evalkit monitor contract` writes one") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """Read a contract from the text of a file; `origin` is its name in errors."""
        document = read_yaml(text, origin)
        if not isinstance(document.value, dict):
            raise document.error((), "a contract is a mapping that starts with `contract: <name>`")
        try:
            made = cls.model_validate(document.value)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = tuple(part for part in problem["loc"])
            message = re.sub(r"^Value error, ", "", problem["msg"])
            raise document.error(place, f"`{'.'.join(map(str, place))}`: {message}") from None
        for number, item in enumerate(made.expectations):
            why = _problem(item)
            if why is not None:
                raise document.error(("expectations", number), why)
        return made

    def text(self) -> str:
        """The contract as YAML, for people to edit."""
        found: dict[str, Any] = {"contract": self.contract, "volume": self.volume.model_dump(exclude_none=True)}
        if self.freshness is not None:
            found["freshness"] = f"{self.freshness}h"
        found["expectations"] = [{item.expect: dict(item.arguments)} for item in self.expectations]
        return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


@dataclass(frozen=True, slots=True)
class Breach:
    """One expectation that did not hold.

    Attributes:
        expectation: its name, or ``volume`` or ``freshness``.
        column: which column; empty for the whole table.
        reason: one line for people.
        count: rows that are not as expected; None where it is not about rows.
        examples: some of their values, cut to a length; written by models, so never to be trusted.
    """

    expectation: str
    column: str
    reason: str
    count: int | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContractResult:
    """How a window met its contract: expectations that were checked, and those that did not hold."""

    checked: int
    breaches: tuple[Breach, ...]

    @property
    def passed(self) -> bool:
        """Whether all held."""
        return not self.breaches


def derive_contract(
    name: str, rows: pd.DataFrame, *, per_window: Sequence[int] = (), freshness: int | None = None
) -> Contract:
    """Write down what reference rows look like, with room for chance.

    Args:
        name: of the contract.
        rows: the reference; text, numbers, truth values, or lists of texts.
        per_window: how many rows earlier windows had; the volume is a third of the fewest to three times the most.
        freshness: hours.

    Every bound has room: shares by their exact 99.9 % lower bound less two points, ranges of numbers by their spread
    on either side. A window that a working system makes breaks none of them but rarely; what a contract is for are
    columns that vanish, turn empty, change their unit or their meaning.

    Raises:
        InputError: fewer than 50 rows.
    """
    if len(rows) < 50:
        raise InputError(f"{len(rows)} reference rows; a contract is derived from at least 50")
    expectations: list[Expectation] = []
    for column in map(str, rows.columns):
        expectations += _of_column(column, rows[column].dropna().tolist(), len(rows))
    volume = Volume(min=max(1, min(per_window) // 3), max=3 * max(per_window)) if per_window else Volume()
    return Contract(
        contract=name, volume=volume, freshness=None if freshness is None else f"{freshness}h",
        expectations=tuple(expectations),
    )  # fmt: skip


def check_contract(
    contract: Contract, rows: pd.DataFrame, *, newest: int | None = None, end: int | None = None
) -> ContractResult:
    """Check one window.

    Args:
        contract: what to hold it against.
        rows: the window's rows.
        newest: event time of the newest row, UTC milliseconds; None where there is no row.
        end: end of the window, UTC milliseconds; None where freshness is not asked.
    """
    breaches = [*_volume(contract.volume, len(rows)), *_freshness(contract, newest, end)]
    if len(rows):
        breaches += _expectations(contract.expectations, rows)
    return ContractResult(2 + len(contract.expectations), tuple(breaches))


def _of_column(column: str, values: list[Any], total: int) -> list[Expectation]:
    found = [_expect("expect_column_to_exist", column=column)]
    if not values:
        return found
    filled = clopper_pearson_interval(len(values), total, confidence=0.998)[0] - _MARGIN
    if filled > 0:
        found.append(_expect("expect_column_values_to_not_be_null", column=column, mostly=_share(filled)))
    mostly = _share(clopper_pearson_interval(len(values), len(values), confidence=0.998)[0] - _MARGIN)
    if all(isinstance(value, (bool, str)) for value in values):
        different = {str(value) for value in values}
        if len(different) <= min(_MOST_VALUES, total // 20):
            names = sorted(set(values), key=str)
            found.append(_expect("expect_column_values_to_be_in_set", column=column, value_set=names, mostly=mostly))
        elif all(isinstance(value, str) for value in values):
            lengths = sorted(len(value) for value in values)
            longest = lengths[-1] * 3 + 10
            found.append(
                _expect(
                    "expect_column_value_lengths_to_be_between",
                    column=column,
                    min_value=1 if lengths[0] else 0,
                    max_value=longest,
                    mostly=mostly,
                )
            )
    elif all(isinstance(value, (int, float)) for value in values):
        low, high = float(min(values)), float(max(values))
        room = max(high - low, abs(high), abs(low)) or 1.0
        floor = 0.0 if low >= 0 else low - room
        found.append(
            _expect(
                "expect_column_values_to_be_between",
                column=column,
                min_value=_round(floor),
                max_value=_round(high + room),
                mostly=mostly,
            )
        )
    return found


def _volume(volume: Volume, rows: int) -> list[Breach]:
    if rows < volume.min:
        return [Breach("volume", "", f"{rows} rows; at least {volume.min} were expected")]
    if volume.max is not None and rows > volume.max:
        return [Breach("volume", "", f"{rows} rows; at most {volume.max} were expected")]
    return []


def _freshness(contract: Contract, newest: int | None, end: int | None) -> list[Breach]:
    if contract.freshness is None or end is None or newest is None:
        return []
    hours = (end - newest) / 3_600_000
    if hours <= contract.freshness:
        return []
    return [
        Breach("freshness", "", f"the newest row is {hours:.1f} h old; at most {contract.freshness} h were expected")
    ]


def _expectations(expectations: Sequence[Expectation], rows: pd.DataFrame) -> list[Breach]:
    context = _gx().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = _gx().ExpectationSuite("contract")
    for number, item in enumerate(expectations):
        suite.add_expectation(_class(item.expect)(**item.arguments, meta={"number": number}))
    asset = context.data_sources.add_pandas("window").add_dataframe_asset("rows")
    asked = _asked(expectations, rows)
    # Text as objects: pandas' own string type has another name than the one that expectations ask for
    frame = asked.astype({name: object for name in asked.columns if asked[name].dtype == "str"})
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    found = batch.validate(suite, result_format="SUMMARY")
    told = [(result.expectation_config.meta["number"], result) for result in found.results]
    breaches = [
        _breach(expectations[number], result)
        for number, result in sorted(told, key=lambda one: int(one[0]))
        if not result.success
    ]
    # The context stays the library's present one, and would keep the window's rows in cycles of references
    context.data_sources.delete("window")
    del batch, asset, found, told, frame
    gc.collect()
    return breaches


def _asked(expectations: Sequence[Expectation], rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that expectations name; all where one of them is about the table or about several columns."""
    if not all(isinstance(item.arguments.get("column"), str) for item in expectations):
        return rows
    named = {str(item.arguments["column"]) for item in expectations}
    return rows[[name for name in rows.columns if name in named]]


def _breach(item: Expectation, result: Any) -> Breach:
    column = str(item.arguments.get("column", ""))
    details = result.result or {}
    count = details.get("unexpected_count")
    if count is not None:
        share = details.get("unexpected_percent") or 0.0
        asked = item.arguments.get("mostly")
        allowed = "" if asked is None else f"; at most {100 * (1 - float(asked)):.3g} % were expected"
        reason = f"{count} of {details.get('element_count')} values ({share:.3g} %) are not as expected{allowed}"
        examples = tuple(str(value)[:_SHOWN_TEXT] for value in (details.get("partial_unexpected_list") or [])[:_SHOWN])
        return Breach(item.expect, column, reason, int(count), examples)
    if item.expect == "expect_column_to_exist":
        return Breach(item.expect, column, f"there is no column '{column}'")
    raised = _exception(result)
    if raised is not None:
        return Breach(item.expect, column, f"could not be checked: {raised}")
    return Breach(item.expect, column, f"found {str(details.get('observed_value'))[:_SHOWN_TEXT]}")


def _exception(result: Any) -> str | None:
    info = result.exception_info or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return " ".join(str(entry.get("exception_message")).split())[:_SHOWN_TEXT]
    return None


@lru_cache(maxsize=1)
def _gx() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        import great_expectations
    except ImportError:
        raise InputError("data contracts need Great Expectations; install evalkit[monitoring]") from None
    return great_expectations


def _class(name: str) -> Any:
    import importlib

    _gx()
    expectations = importlib.import_module("great_expectations.expectations")
    made = getattr(expectations, "".join(part.capitalize() for part in name.split("_")), None)
    if made is None:
        known = [
            re.sub(r"(?<!^)(?=[A-Z])", "_", entry).lower() for entry in vars(expectations) if entry[:6] == "Expect"
        ]
        raise InputError(f"Great Expectations has no '{name}'{did_you_mean(name, known)}")
    return made


def _problem(item: Expectation) -> str | None:
    """What Great Expectations says against an expectation; None where it takes it."""
    try:
        _class(item.expect)(**item.arguments)
    except InputError as error:
        return str(error)
    except Exception as error:  # its own pydantic errors, of another major version than ours
        return f"{item.expect}: {' '.join(str(error).split())[:_SHOWN_TEXT]}"
    return None


def _expect(name: str, **arguments: Any) -> Expectation:
    return Expectation(expect=name, arguments=arguments)


def _share(value: float) -> float:
    return math.floor(max(0.0, value) * 1000) / 1000


def _round(value: float) -> float:
    return float(f"{value:.3g}")
