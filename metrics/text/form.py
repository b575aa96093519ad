"""The form of an output: whether it is empty, and how many words it has."""

from __future__ import annotations

from metrics.base import Batch, MetricSpec, SampleMetric, Scores
from metrics.scoring import rows, text_column


class EmptyRate(SampleMetric):
    """Share of outputs that hold nothing but white space, 0 to 1, lower is better.

    Here an empty output is a score of 1; a sample with an error or no output at all is unscored.
    """

    spec = MetricSpec(
        name="empty",
        measures="share of empty or white-space outputs",
        low=0.0,
        high=1.0,
        direction="lower",
        quadrant="quality",
        needs=("output",),
        estimand="rate of empty outputs in the population of prompts",
        interval="Wilson; on the effective n where samples share a cluster",
        validity="independent samples or clusters; 5 or more expected of each outcome, else it covers 84 % and more",
        source="counted",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score 1 for an empty output, else 0."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=True)
        return rows(batch, [float(not text.strip()) for text in texts], reasons)


class WordCount(SampleMetric):
    """Mean number of words per output, split at white space; an empty output has 0 words."""

    spec = MetricSpec(
        name="word_count",
        measures="mean number of words per output",
        low=0.0,
        high=None,
        direction="none",
        quadrant="quality",
        needs=("output",),
        estimand="mean words per output in the population of prompts",
        interval="t, clustered where samples share a cluster",
        validity="independent samples or clusters; n of about 30 and more",
        source="counted",
        units="words",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the number of words."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=True)
        return rows(batch, [float(len(text.split())) for text in texts], reasons)


class CharacterCount(SampleMetric):
    """Mean number of characters (Unicode code points) per output; an empty output has none."""

    spec = MetricSpec(
        name="character_count",
        measures="mean number of characters per output",
        low=0.0,
        high=None,
        direction="none",
        quadrant="quality",
        needs=("output",),
        estimand="mean characters per output in the population of prompts",
        interval="t, clustered where samples share a cluster",
        validity="independent samples or clusters; n of about 30 and more",
        source="counted; unlike words it needs no spaces, so it also fits Chinese, Japanese and Thai",
        units="characters",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the number of characters."""
        texts, reasons = text_column(batch, "output", self.spec.name, empty_counts=True)
        return rows(batch, [float(len(text)) for text in texts], reasons)
