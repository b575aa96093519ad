"""A model behind an OpenAI-compatible server."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evalkit.generators.base import Generation, LogLikelihood, Modality, Request
from evalkit.generators.redaction import one_line
from metrics.errors import InputError

_OURS = frozenset({"api", "system", "concurrency", "batch_size", "timeout", "retries", "seed", "modality"})
_FATAL = {
    401: "refuses the key: name the variable that holds it under `env` (OPENAI_API_KEY)",
    403: "refuses access with this key",
    404: "does not know this model or path",
}


class OpenAIEndpoint:
    """Text from chat completions (default) or completions; log-likelihoods where the server echoes log-probabilities.

    Settings: ``api`` (``chat`` or ``completions``), ``system`` (a system message), ``concurrency`` (default 4),
    ``timeout`` (seconds for one answer, default 120), ``retries`` (default 5; the server's Retry-After is honoured);
    everything else (temperature, max_tokens, ...) goes into the request. Latency is the time of the sample's own call
    with its retries. Each request carries the lower 31 bits of its sample's seed; servers may ignore it.
    """

    modality: Modality = "text"
    batch_size = 32

    def __init__(self, client: Any, model: str, settings: Mapping[str, Any] | None = None) -> None:
        self._client = client
        self._model = model
        self._settings = dict(settings or {})
        self.name = model

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> OpenAIEndpoint:
        """Make a client for ``base_url`` (the official server by default); the key is OPENAI_API_KEY."""
        del trust_pickle  # an endpoint hands over text, never objects
        try:
            import openai
        except ModuleNotFoundError:
            raise InputError("openai is not installed; install it with: pip install 'evalkit[endpoints]'") from None
        model, base_url = description.get("model"), description.get("base_url")
        if not model:
            raise InputError("an endpoint needs the name of a model: openai:/NAME or openai:/NAME@http://host:port/v1")
        key = os.environ.get("OPENAI_API_KEY")
        if not key and not base_url:
            raise InputError("OPENAI_API_KEY is not set; set it and name it under `env` of the task")
        settings = dict(description.get("settings") or {})
        client = openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",
            max_retries=int(settings.get("retries", 5)),
            timeout=float(settings.get("timeout", 120)),
        )
        return cls(client, str(model), settings)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return one answer per request; a call that fails for good becomes an error of its sample."""
        merged = {**self._settings, **settings}
        ask = self._ask_completions if _api(merged) == "completions" else self._ask_chat
        with ThreadPoolExecutor(max_workers=max(1, int(merged.get("concurrency", 4)))) as pool:
            return list(pool.map(lambda request: self._timed(ask, request, merged), requests))

    def log_likelihoods(self, texts: Sequence[str], settings: Mapping[str, Any]) -> list[LogLikelihood]:
        """Return log-likelihoods from echoed log-probabilities, each token but the first."""
        import openai

        del settings
        found = []
        for text in texts:
            before = time.perf_counter()
            try:
                answer = self._client.completions.create(
                    model=self._model, prompt=text, max_tokens=0, echo=True, logprobs=1, temperature=0
                )
            except openai.APIError as error:
                self._raise_fatal(error)
                raise self._no_likelihood(one_line(error)) from None
            values = getattr(answer.choices[0].logprobs, "token_logprobs", None) if answer.choices else None
            if not values:
                raise self._no_likelihood("the answer holds no token_logprobs")
            known = [value for value in values if value is not None]
            nll = -math.fsum(known) if known else math.nan
            found.append(LogLikelihood(nll, len(known), time.perf_counter() - before, None if known else "empty text"))
        return found

    def _no_likelihood(self, why: str) -> InputError:
        return InputError(
            f"the server of '{self._model}' does not tell log-likelihoods (completions with echo and logprobs): {why}; "
            "drop perplexity from the task or evaluate the model from its weights"
        )

    def _timed(self, ask: Any, request: Request, settings: Mapping[str, Any]) -> Generation:
        import openai

        before = time.perf_counter()
        try:
            text, usage = ask(request, {k: v for k, v in settings.items() if k not in _OURS}, settings)
        except openai.APIError as error:
            self._raise_fatal(error)
            return Generation(error=one_line(error), latency=time.perf_counter() - before)
        return Generation(
            text=text,
            latency=time.perf_counter() - before,
            prompt_tokens=getattr(usage, "prompt_tokens", None),
            output_tokens=getattr(usage, "completion_tokens", None),
        )

    def _ask_chat(self, request: Request, body: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, Any]:
        messages = [{"role": "user", "content": request.prompt or ""}]
        if settings.get("system"):
            messages.insert(0, {"role": "system", "content": str(settings["system"])})
        answer = self._client.chat.completions.create(
            model=self._model, messages=messages, seed=request.seed & 0x7FFFFFFF, **body
        )
        return (answer.choices[0].message.content or "" if answer.choices else ""), answer.usage

    def _ask_completions(
        self, request: Request, body: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> tuple[str, Any]:
        del settings
        answer = self._client.completions.create(
            model=self._model, prompt=request.prompt or "", seed=request.seed & 0x7FFFFFFF, **body
        )
        return (answer.choices[0].text or "" if answer.choices else ""), answer.usage

    def _raise_fatal(self, error: Exception) -> None:
        """What holds for every sample stops the run instead of failing each one."""
        status = getattr(error, "status_code", None)
        if status in _FATAL:
            raise InputError(f"the server of '{self._model}' {_FATAL[status]} (HTTP {status})") from None


def _api(settings: Mapping[str, Any]) -> str:
    api = settings.get("api", "chat")
    if api not in {"chat", "completions"}:
        raise InputError(f"`api: {api}` is not known; use chat or completions")
    return str(api)
