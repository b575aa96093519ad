"""Scores of rows that several checks share: counted from columns, or given by the embedded models to a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.monitoring.checks.base import SHOWN_SAMPLES
from evalkit.monitoring.rows import WindowRows
from evalkit.monitoring.sampling import Rows
from metrics.base import FloatArray
from metrics.statistics.rows import Quantity

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Scorer:
    """A score of a row.

    Attributes:
        score: from rows and positions ``[k]`` to scores ``[k]``; NaN is unscored.
        needs: columns of which a row must have a value at all; without them there is no signal.
        quantity: range and meaning of its mean.
        sampled: whether it is dear, so that it looks at a sample.
        shows: whether rows with the highest score are pointed to.
    """

    score: Callable[[WindowRows, Rows], FloatArray]
    needs: tuple[str, ...]
    quantity: Quantity
    sampled: bool = False
    shows: bool = False


def score_rows(name: str, rows: WindowRows, at: Rows) -> FloatArray:
    """Scores ``[k]`` of the rows at ascending positions; computed once for a window and a set of rows."""
    scorer = SCORERS[name]
    if len(at) == len(rows):
        found: FloatArray = rows.once(("score", name), lambda: scorer.score(rows, at))
        return found
    if not scorer.sampled:
        whole: FloatArray = rows.once(("score", name), lambda: scorer.score(rows, np.arange(len(rows))))
        return whole[at]
    return _sampled(name, rows, at)


def _sampled(name: str, rows: WindowRows, at: Rows) -> FloatArray:
    """Scores of a sample; those of rows that another check has asked about already are not computed again."""
    known: FloatArray = rows.once(("verdicts", name), lambda: np.full(len(rows), np.nan))
    done: NDArray[np.bool_] = rows.once(("judged", name), lambda: np.zeros(len(rows), dtype=bool))
    new = at[~done[at]]
    if len(new):
        known[new] = SCORERS[name].score(rows, new)
        done[new] = True
    return known[at]


def can_score(name: str, rows: WindowRows) -> bool:
    """Whether the rows have what a score needs."""
    return all(rows.has(column) for column in SCORERS[name].needs)


def _column(name: str) -> Callable[[WindowRows, Rows], FloatArray]:
    return lambda rows, at: rows.numbers(name)[at]


def _number(values: pa.Array) -> FloatArray:
    found: FloatArray = values.to_numpy(zero_copy_only=False).astype(np.float64)  # null becomes NaN
    return found


def _length(rows: WindowRows, at: Rows) -> FloatArray:
    import pyarrow.compute as pc

    return _number(pc.utf8_length(rows.texts("output")).cast("float64"))[at]


def _words(rows: WindowRows, at: Rows) -> FloatArray:
    import pyarrow.compute as pc

    return _number(pc.count_substring_regex(rows.texts("output"), r"\S+").cast("float64"))[at]


def _empty(rows: WindowRows, at: Rows) -> FloatArray:
    import pyarrow.compute as pc

    return _number(pc.equal(pc.utf8_trim_whitespace(rows.texts("output")), "").cast("float64"))[at]


def _repeated(rows: WindowRows, at: Rows) -> FloatArray:
    """1 for an output that another row of the window gave before; empty ones do not count as repeated."""
    import pyarrow.compute as pc

    codes = np.asarray(pc.dictionary_encode(rows.texts("output")).indices.fill_null(-1))
    _, first = np.unique(codes, return_index=True)
    again = np.ones(len(codes))
    again[first] = 0.0
    again[(codes < 0) | (_empty(rows, np.arange(len(rows))) == 1)] = np.nan
    return again[at]


def _failed(rows: WindowRows, at: Rows) -> FloatArray:
    return _number(rows.texts("error").is_valid().cast("float64"))[at]


def _toxic(rows: WindowRows, at: Rows) -> FloatArray:
    from judges.toxicity import toxicity_model

    model = toxicity_model()
    return _of_texts(rows, at, lambda texts: [v.probability >= model.threshold for v in model.judge(texts)])


def _refused(rows: WindowRows, at: Rows) -> FloatArray:
    from judges.patterns import REFUSALS, PatternJudge

    judge = PatternJudge("refusal", REFUSALS)
    return _of_texts(rows, at, lambda texts: [judge.find(text) is not None for text in texts])


def _of_texts(rows: WindowRows, at: Rows, verdicts: Callable[[list[str]], list[bool]]) -> FloatArray:
    """Verdicts on outputs ``[k]``; NaN where there is no text to judge."""
    outputs = rows.lists("output", at)
    there = [place for place, text in enumerate(outputs) if text is not None and text.strip()]
    found = np.full(len(at), np.nan)
    found[there] = np.array(verdicts([outputs[place] for place in there]), dtype=np.float64)
    return found


def _rate(estimand: str) -> Quantity:
    return Quantity(0.0, 1.0, estimand=estimand)


SCORERS: Mapping[str, Scorer] = {
    "latency": Scorer(_column("latency"), ("latency",), Quantity(0.0, estimand="mean seconds that a caller waited")),
    "cost": Scorer(_column("cost"), ("cost",), Quantity(0.0, estimand="mean cost of an answer in US dollars")),
    "prompt_tokens": Scorer(_column("prompt_tokens"), ("prompt_tokens",), Quantity(0.0, estimand="mean prompt tokens")),
    "output_tokens": Scorer(_column("output_tokens"), ("output_tokens",), Quantity(0.0, estimand="mean output tokens")),
    "length": Scorer(_length, ("output",), Quantity(0.0, estimand="mean characters of an output")),
    "words": Scorer(_words, ("output",), Quantity(0.0, estimand="mean words of an output")),
    "empty": Scorer(_empty, ("output",), _rate("rate of empty outputs")),
    "repeated": Scorer(_repeated, ("output",), _rate("rate of outputs that repeat another one of their window")),
    "error": Scorer(_failed, ("id",), _rate("rate of calls that failed")),
    "toxicity": Scorer(_toxic, ("output",), _rate("rate of outputs that the embedded model finds toxic"), True, True),
    "refusal": Scorer(_refused, ("output",), _rate("rate of outputs that match a refusal pattern"), True, True),
}
"""Scores by name; a rate has the range 0 to 1."""

EITHER = frozenset({"length", "words", "prompt_tokens", "output_tokens", "rows"})
"""Numbers of which neither less nor more is worse."""


def telling(values: FloatArray, name: str | None) -> Rows:
    """Places of the few rows that show a number best.

    Args:
        values: one a row ``[n]``; NaN where a row has none.
        name: of the score. Of a rate its hits are shown, of one of which more is worse the largest values; of others,
            and without a name, both ends.
    """
    there = np.flatnonzero(np.isfinite(values))
    if name is not None and SCORERS[name].quantity.high == 1.0:
        hits: Rows = there[values[there] == 1]
        return hits[:SHOWN_SAMPLES]
    order: Rows = there[np.argsort(-values[there], kind="stable")]
    if (name is not None and name not in EITHER) or len(order) <= SHOWN_SAMPLES:
        return order[:SHOWN_SAMPLES]
    half = SHOWN_SAMPLES // 2
    return np.concatenate([order[:half], order[::-1][:half]])
