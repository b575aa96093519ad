"""A Hugging Face causal language model, by folder or by name on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.generators.base import Generation, GenerationFailed, LogLikelihood, Modality, Request
from evalkit.generators.redaction import one_line
from metrics.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import torch

_KNOWN = frozenset(
    {
        "batch_size",
        "device",
        "max_length",
        "max_new_tokens",
        "modality",
        "repetition_penalty",
        "stop",
        "stride",
        "temperature",
        "top_k",
        "top_p",
    }
)


class CausalLanguageModel:
    """Continues prompts, and tells the log-likelihood of texts.

    Decoding is greedy by default. With ``temperature`` above 0 it samples, each sample with noise from its own seed
    (the Gumbel-max form of sampling), so that batches may be cut anyhow. Prompts of a batch are padded on the left.

    Settings: ``max_new_tokens`` (default 64), ``temperature`` (default 0), ``top_k``, ``top_p``,
    ``repetition_penalty``, ``stop`` (texts that end the output and are cut off), ``device``; for log-likelihoods
    ``max_length`` and ``stride`` of `metrics.text.likelihood.token_log_likelihoods`.
    """

    modality: Modality = "text"
    batch_size = 16
    buckets_by_length = True
    """A batch takes as long as its longest text; a sample's noise comes from its own seed, whatever its batch."""

    def __init__(
        self, model: Any, tokenizer: Any, settings: Mapping[str, Any] | None = None, *, name: str | None = None
    ) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._settings = dict(settings or {})
        self.device = str(next(model.parameters()).device)
        self.name = name or type(model).__name__
        ends = model.generation_config.eos_token_id if model.generation_config.eos_token_id is not None else []
        self._ends = {ends} if isinstance(ends, int) else set(ends)
        if tokenizer.eos_token_id is not None:
            self._ends.add(tokenizer.eos_token_id)
        self._pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        self._start = next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> CausalLanguageModel:
        """Load ``path`` (a folder) or ``name``; safetensors only unless `trust_pickle`; never code from the hub."""
        import torch

        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ModuleNotFoundError:
            raise InputError("transformers is not installed; install it with: pip install 'evalkit[text]'") from None
        settings = dict(description.get("settings") or {})
        folder = description.get("path")
        source = str(folder or description.get("name") or "")
        if folder and not (Path(source) / "config.json").is_file():
            raise InputError(f"{source} is not a Hugging Face model: it has no config.json")
        if folder and not trust_pickle and not any(Path(source).glob("*.safetensors")):
            raise InputError(
                f"{source} has no .safetensors weights, and loading others can run code; save the model with "
                "save_pretrained, or allow it with --trust-pickle if you trust where it comes from"
            )
        options = {"local_files_only": bool(folder), "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(description.get("tokenizer_path") or source, **options)
            model = AutoModelForCausalLM.from_pretrained(
                source, use_safetensors=None if trust_pickle else True, dtype=settings.get("dtype", "auto"), **options
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise GenerationFailed(f"the language model {source} cannot be loaded: {one_line(error)}") from None
        settings.pop("dtype", None)
        device = str(settings.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
        return cls(model.to(device), tokenizer, settings, name=Path(source).name if folder else source)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return one continuation per request, without the prompt."""
        merged = self._merged(settings)
        limit = int(merged.get("max_new_tokens", 64))
        made: dict[int, Generation] = {}
        prompts: dict[int, list[int]] = {}
        room = self._context()
        for index, request in enumerate(requests):
            tokens = self._tokenizer(request.prompt or "")["input_ids"] or (
                [] if self._start is None else [self._start]
            )
            if not tokens:
                made[index] = Generation(error="empty prompt, and the tokenizer has no token to start from")
            elif room is not None and len(tokens) + limit > room:
                made[index] = Generation(
                    error=f"the prompt has {len(tokens)} tokens; with {limit} new ones the model takes {room - limit}",
                    prompt_tokens=len(tokens),
                )
            else:
                prompts[index] = tokens
        if prompts:
            outputs = self._continue(list(prompts.values()), [requests[i].seed for i in prompts], merged, limit)
            for (index, tokens), output in zip(prompts.items(), outputs, strict=True):
                text = self._cut(self._tokenizer.decode(output, skip_special_tokens=True), merged.get("stop"))
                made[index] = Generation(text=text, prompt_tokens=len(tokens), output_tokens=len(output))
        return [made[index] for index in range(len(requests))]

    def log_likelihoods(self, texts: Sequence[str], settings: Mapping[str, Any]) -> list[LogLikelihood]:
        """Return the exact log-likelihood of each text, with windows where it is longer than the context."""
        from metrics.text.likelihood import token_log_likelihoods

        merged = self._merged(settings)
        options = {key: merged[key] for key in ("max_length", "stride", "batch_size") if key in merged}
        pairs = token_log_likelihoods(self._model, self._tokenizer, list(texts), **options)
        return [LogLikelihood(nll, tokens, error=None if tokens else "no token to score") for nll, tokens in pairs]

    def _merged(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        merged = {**self._settings, **settings}
        for name in merged:
            if name not in _KNOWN:
                raise InputError(f"a language model has no setting '{name}'{did_you_mean(name, _KNOWN)}")
        return merged

    def _context(self) -> int | None:
        config = self._model.config
        found = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions")]
        return next((int(length) for length in found if length), None)

    def _continue(
        self, prompts: list[list[int]], seeds: list[int], settings: Mapping[str, Any], limit: int
    ) -> list[list[int]]:
        """Return the new tokens of each prompt, up to and without the end token."""
        import torch

        width = max(map(len, prompts))
        padded = torch.tensor([[self._pad] * (width - len(p)) + p for p in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.device)
        options: dict[str, Any] = {"max_new_tokens": limit, "do_sample": False, "pad_token_id": self._pad}
        if self._ends:
            options["eos_token_id"] = sorted(self._ends)
        if settings.get("repetition_penalty") is not None:
            options["repetition_penalty"] = float(settings["repetition_penalty"])
        if float(settings.get("temperature") or 0) > 0:
            options["logits_processor"] = _sampling(settings, seeds)
        with torch.inference_mode():
            output = self._model.generate(input_ids=padded, attention_mask=mask, **options)
        new = output[:, width:].tolist()
        return [row[: next((i for i, token in enumerate(row) if token in self._ends), len(row))] for row in new]

    @staticmethod
    def _cut(text: str, stop: Any) -> str:
        for mark in [stop] if isinstance(stop, str) else stop or []:
            text = text.partition(str(mark))[0]
        return text


def _sampling(settings: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    """Logits processors after which the greedy choice is a sample: the usual warpers, then Gumbel noise per row."""
    import torch
    from transformers import LogitsProcessorList
    from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    processors = LogitsProcessorList([TemperatureLogitsWarper(float(settings["temperature"]))])
    if settings.get("top_k"):
        processors.append(TopKLogitsWarper(int(settings["top_k"])))
    if settings.get("top_p") is not None and float(settings["top_p"]) < 1:
        processors.append(TopPLogitsWarper(float(settings["top_p"])))
    sources = [np.random.default_rng(seed) for seed in seeds]

    def add_noise(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = np.stack([source.gumbel(size=scores.shape[-1]) for source in sources])
        return scores.float() + torch.from_numpy(noise).to(scores.device, torch.float32)

    processors.append(add_noise)
    return processors
