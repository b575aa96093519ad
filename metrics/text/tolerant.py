"""Answers that count as right within a tolerance: numbers and dates."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import Literal, NamedTuple

import numpy as np

from metrics.base import Batch, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.optional import optional
from metrics.scoring import accepted_answers, rows, text_column

_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-+−]?)[$€£¥]?(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?P<part>\.\d+)?(?P<power>[eE][-+]?\d{1,3})?"
    r"(?:\s*/\s*(?P<below>\d+))?\s?(?P<percent>%)?"
)
_ISO = re.compile(r"\b\d{4}-\d{1,2}-\d{1,2}\b")
_SCANNED = 20_000
"""Characters of an output that are searched, so that a hostile one cannot take long."""

_SCANNED_DATE = 200


def numbers_in(text: str) -> list[float]:
    """Numbers of a text in order: ``-1,234.5``, ``3e4``, ``1/2``, ``12 %`` (0.12), ``$5``; digits of other scripts too.

    >>> numbers_in("From 1,200 to 3/4, i.e. 75 %.")
    [1200.0, 0.75, 0.75]
    """
    found = []
    for match in _NUMBER.finditer(text[:_SCANNED]):
        if match["whole"] is None and match["part"] is None:
            continue
        digits = (match["whole"] or "").replace(",", "") + (match["part"] or "") + (match["power"] or "")
        value = float(digits) * (-1 if match["sign"] in ("-", "−") and match["sign"] else 1)
        if match["below"] is not None:
            below = float(match["below"])
            if below == 0:
                continue
            value /= below
        if match["percent"]:
            value /= 100
        if math.isfinite(value):
            found.append(value)
    return found


class NumericMatch(SampleMetric):
    """Share of outputs whose number is close enough to an accepted one, 0 to 1, higher is better.

    The difference may be up to ``absolute + relative * |accepted|``. A percentage is its hundredth. An output without
    a number is wrong; an empty one is unscored, as is a sample whose accepted answers hold no number.

    Args:
        relative: tolerance as a share of the accepted number.
        absolute: tolerance in the number's own unit.
        pick: which number of the output is its answer: ``last``, ``first`` or ``any``.
    """

    spec = MetricSpec(
        name="numeric_match",
        measures="share of outputs whose number is within a tolerance of an accepted one",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output", "expected"),
        estimand="rate of numeric matches in the population of questions",
        interval="Wilson; on the effective n where samples share a cluster",
        validity="independent questions or clusters; any n from 2",
        source="counted; the last number of the output, as usual for GSM8K (Cobbe et al. 2021)",
    )

    def __init__(
        self, *, relative: float = 1e-6, absolute: float = 0.0, pick: Literal["last", "first", "any"] = "last"
    ) -> None:
        if not all(isinstance(t, (int, float)) and 0 <= t < math.inf for t in (relative, absolute)):
            raise InputError(f"metric 'numeric_match': tolerances {relative!r} and {absolute!r}; expected 0 or more")
        if pick not in ("last", "first", "any"):
            raise InputError(f"metric 'numeric_match' has pick '{pick}'; expected last, first or any")
        super().__init__(relative=relative, absolute=absolute, pick=pick)
        self._relative, self._absolute, self._pick = relative, absolute, pick

    def score(self, batch: Batch) -> Scores:
        """Score 1 for a match, else 0."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        values = np.zeros(len(batch))
        for row, given in enumerate(batch.column("expected", self.spec.name)):
            if reasons[row] is not None:
                continue
            wanted = [n for answer in accepted_answers(given, batch.sample_ids[row]) for n in numbers_in(answer)[:1]]
            if not wanted:
                reasons[row] = "no accepted answer is a number"
                continue
            numbers = numbers_in(texts[row])
            if self._pick != "any":
                numbers = numbers[-1:] if self._pick == "last" else numbers[:1]
            values[row] = any(abs(n - w) <= self._absolute + self._relative * abs(w) for n in numbers for w in wanted)
        return rows(batch, values, reasons)


class _Day(NamedTuple):
    """First and last day that a date may mean: "May 2020" is a month."""

    first: date
    last: date


class DateMatch(SampleMetric):
    """Share of outputs whose date is within some days of an accepted one, 0 to 1, higher is better.

    Dates are read by dateutil ("3 May 2020", "2020-05-03", "May 2020"). One that leaves out day or month matches when
    the accepted date falls into it and the accepted one is no more exact. An output without a date is wrong; an empty
    one is unscored, as is a sample without a readable accepted date.

    Args:
        days: tolerance in days.
        day_first: whether 3/5/2020 is the third of May; else the fifth of March.
    """

    spec = MetricSpec(
        name="date_match",
        measures="share of outputs whose date is within a tolerance of an accepted one",
        low=0.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("output", "expected"),
        estimand="rate of date matches in the population of questions",
        interval="Wilson; on the effective n where samples share a cluster",
        validity="independent questions or clusters; any n from 2",
        source="counted; dates as python-dateutil reads them",
    )

    def __init__(self, *, days: int = 0, day_first: bool = False) -> None:
        if not isinstance(days, int) or isinstance(days, bool) or days < 0:
            raise InputError(f"metric 'date_match' has days {days!r}; expected 0 or more")
        super().__init__(days=days, day_first=day_first)
        self._days, self._day_first = days, day_first

    def score(self, batch: Batch) -> Scores:
        """Score 1 for a match, else 0."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=False)
        values = np.zeros(len(batch))
        for row, given in enumerate(batch.column("expected", self.spec.name)):
            if reasons[row] is not None:
                continue
            answers = accepted_answers(given, batch.sample_ids[row])
            wanted = [day for answer in answers if (day := _date_of(answer, self._day_first)) is not None]
            if not wanted:
                reasons[row] = "no accepted answer is a date"
                continue
            found = _date_of(texts[row], self._day_first)
            values[row] = found is not None and any(self._same(found, day) for day in wanted)
        return rows(batch, values, reasons)

    def _same(self, found: _Day, wanted: _Day) -> bool:
        if found.last - found.first > wanted.last - wanted.first:
            return False
        return (wanted.first - found.first).days <= self._days and (found.last - wanted.last).days <= self._days


def _date_of(text: str, day_first: bool) -> _Day | None:
    """The date in a text; parts that it leaves out span their whole range."""
    parser = optional("dateutil.parser", "reading dates")
    head = text[:_SCANNED_DATE]
    swap = day_first and not _ISO.search(head)  # dateutil would swap month and day of ISO dates too
    ends = []
    for default in (datetime(2000, 1, 1), datetime(2399, 12, 31)):
        for day in (default.day, 30, 29, 28):  # the last day of a month that is left out
            try:
                ends.append(parser.parse(head, default=default.replace(day=day), dayfirst=swap, fuzzy=True))
            except (ValueError, OverflowError):
                continue
            break
    if len(ends) < 2 or ends[0].year != ends[1].year:
        return None
    return _Day(ends[0].date(), ends[1].date())
