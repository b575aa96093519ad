"""Metrics of text."""

from __future__ import annotations

from metrics.text.calibration import BrierScore, ExpectedCalibrationError, brier_score, expected_calibration_error
from metrics.text.closed_answers import ChoiceAccuracy, ExpectedFacts, ListF1
from metrics.text.diversity import DistinctN
from metrics.text.form import EmptyRate, WordCount
from metrics.text.likelihood import token_log_likelihoods
from metrics.text.perplexity import Perplexity, perplexity
from metrics.text.question_answering import ExactMatch, TokenF1, exact_match, token_f1
from metrics.text.rouge import Rouge1, Rouge2, RougeL, RougeLsum, rouge
from metrics.text.tolerant import DateMatch, NumericMatch
from metrics.text.translation import Bleu, ChrF, bleu, chrf
from metrics.text.unanswerable import SquadV2, squad_v2

__all__ = [
    "Bleu",
    "BrierScore",
    "ChoiceAccuracy",
    "ChrF",
    "DateMatch",
    "DistinctN",
    "EmptyRate",
    "ExactMatch",
    "ExpectedCalibrationError",
    "ExpectedFacts",
    "ListF1",
    "NumericMatch",
    "Perplexity",
    "Rouge1",
    "Rouge2",
    "RougeL",
    "RougeLsum",
    "SquadV2",
    "TokenF1",
    "WordCount",
    "bleu",
    "brier_score",
    "chrf",
    "exact_match",
    "expected_calibration_error",
    "perplexity",
    "rouge",
    "squad_v2",
    "token_f1",
    "token_log_likelihoods",
]
