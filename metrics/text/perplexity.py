"""Perplexity and bits per byte from token log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metrics.base import PRIMARY, Batch, Estimate, MetricSpec, SampleMetric, Scores
from metrics.scoring import batch_of, errors_of, number_column, rows
from metrics.statistics.rows import Quantity
from metrics.text.likelihood import token_log_likelihoods

BITS = "bits_per_byte"
MEAN = "mean"


class Perplexity(SampleMetric):
    """Corpus perplexity ``exp(sum nll / sum tokens)``, 1 and above, lower is better.

    Reads stored columns: ``nll`` (nats, summed over a text's scored tokens), ``tokens`` (how many those are) and, for
    ``bits_per_byte``, ``bytes`` (UTF-8 bytes of the text). The interval is the delta method's on the log scale,
    exponentiated. Perplexities of models with different tokenizers do not compare; bits per byte do, but note that a
    tokenizer without a BOS token leaves each text's first token unscored. Stored rows hold nll and tokens:
    from them come the value and ``mean``, not ``bits_per_byte``.
    """

    spec = MetricSpec(
        name="perplexity",
        measures="exponential of the mean negative log-likelihood per token",
        low=1.0,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("nll", "tokens"),
        estimand="perplexity per token in the population of texts",
        interval="t with the delta method on the log scale, clustered where texts share a cluster",
        validity="independent texts or clusters; 30 texts and more",
        source="Jelinek et al. 1977; sliding windows as in the Hugging Face guide to perplexity",
        keys={BITS: "negative log-likelihood in bits per UTF-8 byte", MEAN: "mean of the perplexities of single texts"},
    )

    def __init__(self) -> None:
        super().__init__()

    def quantities(self) -> dict[str, Quantity]:
        """Key to what it estimates."""
        return {
            PRIMARY: Quantity(scale="log", estimand=self.spec.estimand),
            BITS: Quantity(low=0.0, estimand="bits per byte in the population of texts"),
            MEAN: Quantity(low=1.0, estimand="mean perplexity of a text"),
        }

    def score(self, batch: Batch) -> Scores:
        """Rows of nats (values) and tokens (denominators)."""
        reasons = errors_of(batch)
        nll = number_column(batch, "nll", self.spec.name, reasons)
        tokens = number_column(batch, "tokens", self.spec.name, reasons)
        reasons = [
            reason or ("no scored tokens" if count == 0 else None)
            for reason, count in zip(reasons, tokens, strict=True)
        ]
        return rows(batch, nll, reasons, denominators=tokens)

    def components(self, scores: Scores) -> dict[str, Scores]:
        """The corpus ratio and the perplexities of single texts."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            single = np.exp(scores.values / scores.denominators)
        return {PRIMARY: scores, MEAN: replace(scores, values=single, denominators=np.ones(len(scores)))}

    def batch_components(self, batch: Batch) -> dict[str, Scores]:
        """`components`, and bits per byte where the bytes are known."""
        scores = self.score(batch)
        reasons = list(scores.reasons)
        if "bytes" in batch.columns:
            size = number_column(batch, "bytes", self.spec.name, reasons)
        else:
            size = np.full(len(batch), np.nan)
        bits = np.where(np.isnan(size) | (size == 0), np.nan, scores.values / math.log(2))
        return self.components(scores) | {BITS: replace(scores, values=bits, denominators=size)}


def perplexity(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_length: int | None = None,
    stride: int | None = None,
    batch_size: int = 16,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Perplexity of texts under a causal language model; keys ``value``, ``bits_per_byte`` and ``mean``.

    Arguments as for `token_log_likelihoods`. A text without a scored token is unscored.
    """
    scored = token_log_likelihoods(model, tokenizer, texts, max_length=max_length, stride=stride, batch_size=batch_size)
    columns = {
        "nll": [nll for nll, _ in scored],
        "tokens": [tokens for _, tokens in scored],
        "bytes": [len(text.encode("utf-8", "surrogatepass")) for text in texts],
    }
    metric = Perplexity()
    return metric.compute(metric.update(metric.init(), batch_of(columns, len(texts))), confidence=confidence)
