"""Robustness: the same prompts with typos, another case or another order, and how far the scores drop."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import Batch, Estimate, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError, did_you_mean
from metrics.scoring import errors_of, is_missing, number_column, rows
from metrics.statistics.pairing import compare_rows
from metrics.statistics.rows import Quantity

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")
_WORD = re.compile(r"[^\W\d_]{4,}")
_BESIDE = {a: b for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for a, b in zip(row, row[1:] + row[-2], strict=True)}


def _misspell(word: str, rng: random.Random) -> str:
    """One slip inside a word: two letters swapped, one left out, one doubled, or the key beside."""
    at = rng.randrange(1, len(word) - 1)
    slip = rng.randrange(4)
    if slip == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if slip == 1:
        return word[:at] + word[at + 1 :]
    if slip == 2:
        return word[: at + 1] + word[at:]
    return word[:at] + _BESIDE.get(word[at].lower(), word[at]) + word[at + 1 :]


def _typos(text: str, rate: float, rng: random.Random) -> str:
    return _WORD.sub(lambda match: _misspell(match[0], rng) if rng.random() < rate else match[0], text)


def _whitespace(text: str, rate: float, rng: random.Random) -> str:
    return re.sub(r" ", lambda _: " " * (2 + rng.randrange(3)) if rng.random() < rate else " ", text)


def _order(text: str, rate: float, rng: random.Random) -> str:
    """Sentences in another order; of a single one, its parts between commas stay, so it is unchanged."""
    sentences = _SENTENCE_END.split(text.strip())
    shuffled = sentences[:]
    rng.shuffle(shuffled)
    return " ".join(shuffled)


_PERTURBATIONS: dict[str, Callable[[str, float, random.Random], str]] = {
    "typos": _typos,
    "lower_case": lambda text, rate, rng: text.lower(),
    "upper_case": lambda text, rate, rng: text.upper(),
    "no_punctuation": lambda text, rate, rng: re.sub(r"[.,;:!?](?!\d)", "", text),
    "whitespace": _whitespace,
    "sentence_order": _order,
}

PERTURBATIONS = tuple(_PERTURBATIONS)
"""Names of the perturbations. Paraphrases need a model: generate them and give their scores to `paired_drop`."""


def perturb(text: str, kind: str, *, rate: float = 0.1, seed: int = 0) -> str:
    """Return a text as a hurried or careless writer would put it; its numbers stay.

    Args:
        text: the prompt.
        kind: one of `PERTURBATIONS`.
        rate: share of words (typos) or spaces (whitespace) that change, 0 to 1; others change all.
        seed: with the text, it decides what changes: the same in every process and order.

    Raises:
        InputError: an unknown kind or a rate out of range.

    >>> perturb("Where is Ulm?", "lower_case")
    'where is ulm?'
    """
    if kind not in _PERTURBATIONS:
        known = ", ".join(PERTURBATIONS)
        raise InputError(f"unknown perturbation '{kind}'{did_you_mean(kind, PERTURBATIONS)}; there is {known}")
    if not 0 <= rate <= 1:
        raise InputError(f"the rate of a perturbation is {rate!r}; expected 0 to 1")
    key = hashlib.blake2b(f"{seed}:{kind}:{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return _PERTURBATIONS[kind](text, rate, random.Random(key))  # noqa: S311 (no secret)


class RobustnessDrop(SampleMetric):
    """Mean fall of a score under perturbation, -1 to 1, lower is better.

    Reads ``score`` (of the plain prompt, 0 to 1) and ``perturbed_scores`` (per sample, those of its perturbed prompts);
    the drop is paired, so the difficulty of prompts cancels. A sample with an unscored perturbation is unscored.

    Args:
        worst: take the worst perturbation of each sample instead of their mean.
    """

    spec = MetricSpec(
        name="robustness_drop",
        measures="mean fall of the score when the prompt is perturbed",
        low=-1.0,
        high=1.0,
        direction="lower",
        quadrant="quality",
        needs=("score", "perturbed_scores"),
        estimand="mean of score minus perturbed score in the population of prompts",
        interval="t on the paired differences, clustered where samples share a cluster",
        validity="independent prompts or clusters; n of about 30 and more",
        source="Liang et al. 2022, HELM (arXiv 2211.09110), robustness; `worst` is their worst case",
    )

    def __init__(self, *, worst: bool = False) -> None:
        super().__init__(worst=worst)

    def score(self, batch: Batch) -> Scores:
        """Score the drop of each sample."""
        name = self.spec.name
        reasons = errors_of(batch)
        plain = number_column(batch, "score", name, reasons)
        drops = np.zeros(len(batch))
        for row, given in enumerate(batch.column("perturbed_scores", name)):
            values = _scores(given, batch.sample_ids[row])
            if not len(values) or np.isnan(values).any():
                reasons[row] = reasons[row] or "a perturbed prompt has no score"
            if reasons[row] is not None:
                continue
            if plain[row] > 1 or np.any((values < 0) | (values > 1)):
                raise InputError(f"sample {batch.sample_ids[row]!r}: '{name}' expects scores from 0 to 1")
            drops[row] = plain[row] - (values.min() if self.settings["worst"] else values.mean())
        return rows(batch, drops, reasons)


def paired_drop(
    original: ArrayLike,
    perturbed: ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    low: float | None = 0.0,
    high: float | None = 1.0,
    confidence: float = 0.95,
) -> Estimate:
    """Mean score on plain prompts minus that on the same prompts perturbed; above 0 the model does worse.

    Args:
        original: scores ``[n]``; NaN is unscored.
        perturbed: scores ``[n]`` of the same prompts in the same order.
        clusters: one name per prompt, where prompts are not independent.
        low, high: range of a score; None is unbounded.
        high: see `low`.
        confidence: two-sided level of the interval: Tango's for rates, t elsewhere.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (original, perturbed)]
    if sides[0].ndim != 1 or sides[0].shape != sides[1].shape:
        raise InputError(f"scores have shapes {list(sides[0].shape)} and {list(sides[1].shape)}; expected [n] twice")
    ids = [str(i) for i in range(len(sides[0]))]
    names = None if clusters is None else [str(name) for name in clusters]
    if names is not None and len(names) != len(ids):
        raise InputError(f"{len(names)} clusters for {len(ids)} scores; expected one each")
    if not ids:
        return Estimate(math.nan, coverage=0.0, method="no interval: no pairs", confidence=confidence)
    a, b = (
        rows(Batch(ids, {}, names), side, [None if math.isfinite(v) else "no score" for v in side]) for side in sides
    )
    return compare_rows(a, b, Quantity(low, high, estimand="score under perturbation"), confidence=confidence)


def _scores(given: Any, sample: str) -> Any:
    if is_missing(given):
        return np.empty(0)
    try:
        values = np.array([math.nan if v is None else v for v in given], dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1:
        raise InputError(f"sample {sample!r}: 'perturbed_scores' is not a list of numbers")
    return values
