"""Similarity of embeddings: how close an output is in meaning to the best reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.scoring import accepted_answers, batch_of, errors_of, is_missing, rows

Embedder = Callable[[Sequence[str]], Any]
"""From n texts to an array ``[n, d]``, NumPy or torch."""


class EmbeddingSimilarity(SampleMetric):
    """Mean cosine of the output's and the best reference's embedding, -1 to 1, higher is better.

    Reads ``embedding`` (one vector per sample) and ``expected_embedding`` (one vector, or one per accepted answer). The
    embedder is part of what is measured: values of two embedders do not compare. A sample without either vector is
    unscored; so is one with a zero or infinite vector.
    """

    spec = MetricSpec(
        name="embedding_similarity",
        measures="mean cosine between the embeddings of output and best reference",
        low=-1.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=("embedding", "expected_embedding"),
        estimand="mean cosine similarity in the population of samples, for this embedder",
        interval="t, clustered where samples share a cluster",
        validity="independent samples or clusters; n of about 30 and more",
        source="Reimers and Gurevych 2019, Sentence-BERT",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the cosine with the closest reference."""
        reasons = errors_of(batch)
        values = np.zeros(len(batch))
        sides = zip(
            batch.column("embedding", self.spec.name), batch.column("expected_embedding", self.spec.name), strict=True
        )
        for row, (given, expected) in enumerate(sides):
            if reasons[row] is not None:
                continue
            ours, others = _vectors(given, batch.sample_ids[row]), _vectors(expected, batch.sample_ids[row])
            if ours is None or others is None:
                reasons[row] = "no embedding" if ours is None else "no reference's embedding"
                continue
            if len(ours) != 1 or ours.shape[1] != others.shape[1]:
                raise InputError(
                    f"sample {batch.sample_ids[row]!r}: embeddings have shapes {list(ours.shape)} and "
                    f"{list(others.shape)}; expected one vector and references of its length"
                )
            lengths = np.linalg.norm(ours) * np.linalg.norm(others, axis=1)
            if not np.all(np.isfinite(lengths) & (lengths > 0)):
                reasons[row] = "an embedding is zero or not finite"
                continue
            values[row] = np.clip((others @ ours[0] / lengths).max(), -1.0, 1.0)
        return rows(batch, values, reasons)


def _vectors(given: Any, sample: str) -> FloatArray | None:
    if is_missing(given):
        return None
    values = given.detach().cpu().float().numpy() if hasattr(given, "detach") else given
    try:
        array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        array = np.empty((0, 0, 0))
    if array.ndim != 2:
        raise InputError(f"sample {sample!r}: an embedding is no vector; expected numbers, or a list of vectors")
    return array if array.size else None


def embedding_similarity(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str] | str],
    *,
    embed: Embedder,
    confidence: float = 0.95,
) -> Estimate:
    """Mean cosine of each prediction with its closest reference, -1 to 1, higher is better.

    Args:
        predictions: one text per item; None or an empty text is unscored.
        references: per item a text or a list of texts.
        embed: called once with all different texts; returns one vector for each.
        confidence: two-sided level of the interval.

    Raises:
        InputError: different lengths, or an embedder that returns another number of vectors.
    """
    if len(predictions) != len(references):
        raise InputError(f"{len(predictions)} predictions for {len(references)} references; expected one each")
    accepted = [list(accepted_answers(given, str(place))) for place, given in enumerate(references)]
    outputs = [text if isinstance(text, str) and text.strip() else None for text in predictions]
    texts = list(dict.fromkeys([t for t in outputs if t is not None] + [t for many in accepted for t in many]))
    vectors = embed(texts) if texts else []
    if len(vectors) != len(texts):
        raise InputError(f"the embedder returned {len(vectors)} vectors for {len(texts)} texts; expected one each")
    place = dict(zip(texts, vectors, strict=True))
    columns = {
        "embedding": [None if text is None else place[text] for text in outputs],
        "expected_embedding": [np.stack([np.asarray(place[t]) for t in many]) if many else None for many in accepted],
    }
    metric = EmbeddingSimilarity()
    return metric.summarise(metric.score(batch_of(columns, len(outputs))), confidence=confidence)[PRIMARY]
