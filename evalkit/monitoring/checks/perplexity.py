"""Perplexity of a window's texts: under a language model of one's own, or as the server logged its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, Field

from evalkit.monitoring.checks.base import SHOWN_SAMPLES, Beside, Check, Measured, Needs, Signal, Tools
from evalkit.monitoring.fields import NATS, TOKENS
from evalkit.monitoring.rows import WindowRows
from evalkit.monitoring.sampling import Drawn
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, PerDay, Strict
from evalkit.monitoring.states import StateKey, States, moments_in, moments_state
from metrics.base import FloatArray, Scores, State
from metrics.errors import InputError
from metrics.statistics.moments import moments_of
from metrics.statistics.rows import Quantity, estimate

PERPLEXITY, BITS = "perplexity", "bits_per_byte"


class _Settings(Strict):
    """Settings; a text is `model`.

    Attributes:
        model: a Hugging Face causal language model: a folder below the monitor's, or ``hf:NAME``. Without one the
            logged log-probabilities of the outputs are read.
        of: which text the model reads.
        sample: rows for each day that the model reads at most, stratified by slice.
        max_length: tokens of context; the model's own by default.
        stride: tokens by which the context advances over a longer text; half of it by default.
    """

    model: str | None = Field(default=None, min_length=1, max_length=500)
    of: Literal["prompt", "output"] = "output"
    sample: PerDay = 500
    max_length: int | None = Field(default=None, ge=2, le=1_000_000)
    stride: int | None = Field(default=None, ge=1, le=1_000_000)


class Perplexity(Check):
    """Corpus perplexity, the exponential of nats over tokens, and bits per byte, for all rows and each slice."""

    kind = "perplexity"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        given = {"model": spec.settings} if isinstance(spec.settings, str) else spec.settings
        self._given = _Settings.model_validate(given or {})
        if self._given.model is not None:
            return
        if monitor.source.columns.logprobs is None:
            raise InputError("perplexity needs a `model:`, or `columns: {logprobs: …}` with what the server logged")
        if self._given.of != "output":
            raise InputError("logged log-probabilities are those of outputs; `of: prompt` needs a `model:`")

    @property
    def needs(self) -> Needs:
        """The model that reads, unless likelihoods were logged."""
        model = self._given.model
        if model is None or model.startswith("hf:"):
            return Needs(models=() if model is None else (model,))
        return Needs(folders=(f"the model '{model}'",))

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Nats, tokens and bytes of a sample, or of all rows where they were logged."""
        of = self._given.of
        needed = NATS if self._given.model is None else of
        if not rows.has(needed):
            return Measured(notes=[f"{self.address}: no row has {'log-probabilities' if needed == NATS else of}"])
        drawn, nats, tokens = self._likelihoods(rows, tools)
        texts = rows.lists(of, drawn.rows)
        sizes = np.array([math.nan if text is None else len(text.encode("utf-8", "surrogatepass")) for text in texts])
        place = np.full(len(rows), -1)
        place[drawn.rows] = np.arange(len(drawn.rows))
        states: dict[StateKey, State] = {}
        samples: dict[StateKey, list[str]] = {}
        for slice_, at in rows.groups(self.spec.slices).items():
            own = place[at]
            own = np.sort(own[own >= 0])
            clusters = None if rows.clusters is None else rows.clusters[drawn.rows[own]].tolist()
            for name, sums, counts in ((PERPLEXITY, nats, tokens), (BITS, nats / math.log(2), sizes)):
                states[name, slice_] = _state(sums[own], counts[own], drawn.weights[own], clusters)
            each = nats[own] / tokens[own]
            known = own[np.isfinite(each)]
            worst = known[np.argsort(-each[np.isfinite(each)], kind="stable")[:SHOWN_SAMPLES]]
            samples[PERPLEXITY, slice_] = rows.ids[drawn.rows[worst]].tolist()
        return Measured(states, samples)

    def _likelihoods(self, rows: WindowRows, tools: Tools) -> tuple[Drawn, FloatArray, FloatArray]:
        """Which rows, with the nats and scored tokens of each ``[k]``; NaN where there are none."""
        if self._given.model is None:
            everything = Drawn(np.arange(len(rows)), np.ones(len(rows)), len(rows))
            return everything, rows.numbers(NATS), rows.numbers(TOKENS)
        drawn = rows.sample(self._given.sample)
        texts = rows.lists(self._given.of, drawn.rows)
        there = [place for place, text in enumerate(texts) if text is not None and text.strip()]
        options = {"max_length": self._given.max_length, "stride": self._given.stride}
        settings = {name: value for name, value in options.items() if value is not None}
        found = tools.log_likelihoods(self._given.model, [texts[place] for place in there], settings) if there else []
        nats, tokens = np.full(len(texts), np.nan), np.full(len(texts), np.nan)
        for place, (nll, count) in zip(there, found, strict=True):
            if count > 0 and math.isfinite(nll):
                nats[place], tokens[place] = nll, count
        return drawn, nats, tokens

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """Both numbers of each slice."""
        who = "the server's own model" if self._given.model is None else self._given.model
        quantities = {
            PERPLEXITY: Quantity(scale="log", estimand=f"perplexity per token of {self._given.of}s under {who}"),
            BITS: Quantity(low=0.0, estimand=f"bits per byte of {self._given.of}s under {who}"),
        }
        found = []
        for (name, slice_), state in states.items():
            made = estimate(moments_in(state), quantities[name], confidence=self.monitor.confidence)
            found.append(Signal(name, slice_, made, *self.enough(made, slice_)))
        return found


def _state(sums: FloatArray, counts: FloatArray, weights: FloatArray, clusters: Sequence[str] | None) -> State:
    """Mergeable state of a ratio of sums; a row without either, or of size 0, is unscored."""
    usable = np.isfinite(sums) & np.isfinite(counts) & (counts > 0)
    n = len(sums)
    table = Scores(
        range(n),  # type: ignore[arg-type]
        np.where(usable, sums, np.nan), np.where(usable, counts, 1.0), weights, clusters, (),
    )  # fmt: skip
    return moments_state(moments_of(table, low=0.0, high=None))
