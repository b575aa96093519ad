"""What tells two windows of text apart: a classifier on words, the words that it goes by, and telling examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.base import Estimate, FloatArray
from metrics.drift.domain_classifier import LEAST_ROWS, held_out_estimates, random_halves
from metrics.errors import InputError
from metrics.statistics.false_discovery import benjamini_hochberg
from metrics.statistics.intervals import tail

_WORD = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
"""Runs of letters and digits; single characters in scripts that are written without spaces."""

_LONGEST = 20_000
_VOCABULARY = 20_000
_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class TellingWord:
    """A word that one window has more often than the other.

    Attributes:
        word: in lower case.
        reference: share of the held-out reference texts that have it.
        current: share of the held-out current texts that have it.
        p_adjusted: exact p-value of equal shares, after Benjamini and Hochberg over all words that were tried.
    """

    word: str
    reference: float
    current: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class TextDrift:
    """Drift between two sets of texts.

    Attributes:
        estimates: ``value`` (area under the ROC curve on the held-out half, 0.5 is no drift), ``p_value``,
            ``critical``.
        words: words whose share differs beyond chance, the largest difference first; empty without drift.
        examples: positions of held-out current texts that look least like the reference, most telling first.
    """

    estimates: Mapping[str, Estimate]
    words: tuple[TellingWord, ...]
    examples: NDArray[np.intp]


def text_drift(
    reference: Sequence[str | None],
    current: Sequence[str | None],
    *,
    words: int = 15,
    examples: int = 10,
    confidence: float = 0.95,
    seed: int = 0,
) -> TextDrift:
    """Classifier two-sample test of texts by their words: 0.5 is no drift, 1 complete drift.

    Args:
        reference: texts ``[m]``, 40 at least; None is missing.
        current: texts ``[n]``.
        words: how many telling words to name at most.
        examples: how many telling texts to name.
        confidence: two-sided level of the interval, one minus the level of ``critical``, and one minus the false
            discovery rate of the words.
        seed: of the split.

    One half of each set trains a logistic regression on which words a text has; the other half gives the area and
    checks the words that the regression goes by, so that a word is never named because of the texts that chose it.
    The first 20,000 characters of a text count, and the 20,000 most frequent words. Needs scikit-learn.

    `InputError` on entries that are not text, and on fewer than 40 texts a side.

    Source: Lopez-Paz and Oquab 2017; Fisher's exact test for the words.
    """
    tail(confidence)
    sides = [_present(values, name) for values, name in ((reference, "reference"), (current, "current"))]
    rng = np.random.default_rng(seed)
    halves = [random_halves(len(texts), rng) for texts, _ in sides]
    fit = [[texts[i] for i in half[0]] for (texts, _), half in zip(sides, halves, strict=True)]
    held = [[texts[i] for i in half[1]] for (texts, _), half in zip(sides, halves, strict=True)]
    offered = len(current)
    model = _trained(fit, seed)
    found: tuple[TellingWord, ...] = ()
    if model is None:
        scores = np.zeros(len(held[0])), np.zeros(len(held[1]))
    else:
        vectorizer, weights = model
        counts = [vectorizer.transform(texts) for texts in held]
        scores = counts[0] @ weights, counts[1] @ weights
        found = _telling(vectorizer.get_feature_names_out(), weights, counts, words, 1 - confidence)
    kept = sides[1][0]
    estimates = held_out_estimates(scores, len(kept), len(kept) / offered, False, confidence)
    order = np.argsort(-scores[1], kind="stable")[:examples]
    return TextDrift(estimates, found, sides[1][1][halves[1][1][order]])


def _present(values: Sequence[str | None], name: str) -> tuple[list[str], NDArray[np.intp]]:
    """Texts that are there, cut, and their positions."""
    kept, places = [], []
    for place, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, str):
            raise InputError(f"{name}: entry {place} is {type(value).__name__}, expected text or None")
        kept.append(value[:_LONGEST])
        places.append(place)
    if len(kept) < LEAST_ROWS:
        raise InputError(f"{name}: {len(kept)} texts, {LEAST_ROWS} are needed")
    return kept, np.array(places, dtype=np.intp)


def _trained(fit: list[list[str]], seed: int) -> tuple[Any, FloatArray] | None:
    """Vocabulary and word weights; None where the texts have no word in common with each other."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    vectorizer = CountVectorizer(binary=True, min_df=2, max_features=_VOCABULARY, token_pattern=_WORD)
    try:
        rows = vectorizer.fit_transform([*fit[0], *fit[1]])
    except ValueError:  # an empty vocabulary
        return None
    labels = np.repeat([0, 1], [len(fit[0]), len(fit[1])])
    with threadpool_limits(1):
        model = LogisticRegression(C=0.1, max_iter=500, class_weight="balanced", random_state=seed).fit(rows, labels)
    return vectorizer, model.coef_[0]


def _telling(
    names: NDArray[np.str_], weights: FloatArray, counts: list[Any], most: int, rate: float
) -> tuple[TellingWord, ...]:
    """Words that the classifier goes by and that the held-out texts confirm."""
    from scipy.stats import fisher_exact

    tried = np.argsort(-np.abs(weights), kind="stable")[:_CANDIDATES]
    tried = tried[weights[tried] != 0]
    if not len(tried):
        return ()
    with_word = [np.asarray(side[:, tried].sum(axis=0)).ravel() for side in counts]
    sizes = [side.shape[0] for side in counts]
    p = benjamini_hochberg(
        [
            float(fisher_exact([[a, sizes[0] - a], [b, sizes[1] - b]]).pvalue)
            for a, b in zip(with_word[0].tolist(), with_word[1].tolist(), strict=True)
        ]
    )
    shares = [side / size for side, size in zip(with_word, sizes, strict=True)]
    kept = [i for i in np.argsort(-np.abs(shares[1] - shares[0]), kind="stable") if p[i] <= rate][:most]
    return tuple(TellingWord(str(names[tried[i]]), float(shares[0][i]), float(shares[1][i]), float(p[i])) for i in kept)
