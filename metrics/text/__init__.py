"""Metrics of text."""

from __future__ import annotations

from metrics.text.diversity import DistinctN
from metrics.text.form import EmptyRate, WordCount
from metrics.text.likelihood import token_log_likelihoods
from metrics.text.perplexity import Perplexity, perplexity
from metrics.text.question_answering import ExactMatch, TokenF1, exact_match, token_f1
from metrics.text.rouge import Rouge1, Rouge2, RougeL, RougeLsum, rouge
from metrics.text.translation import Bleu, ChrF, bleu, chrf

__all__ = [
    "Bleu",
    "ChrF",
    "DistinctN",
    "EmptyRate",
    "ExactMatch",
    "Perplexity",
    "Rouge1",
    "Rouge2",
    "RougeL",
    "RougeLsum",
    "TokenF1",
    "WordCount",
    "bleu",
    "chrf",
    "exact_match",
    "perplexity",
    "rouge",
    "token_f1",
    "token_log_likelihoods",
]
