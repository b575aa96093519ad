"""Judges whose good verdicts are probed: what keeps one as the answer to an unrelated question has not earned it."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from judges.asking import Answer, Question
from judges.base import SUSPECTED_INJECTION, Sample, Usage, Verdict
from judges.injection import Suspicion
from judges.model_judge import AT_ONCE, ModelJudge
from judges.swap_probe import PROBE_FAILED, RULE, Questions, to_probe

RECORDED = "replay:"
"""How the names of recordings begin; they hold no replies to a probe."""
_PASSAGE = 160


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of a probe: the answer's place among the sample's, the new verdict, and whether it is as good."""

    answer: int
    verdict: Verdict
    kept: bool


class ProbedJudge(ModelJudge):
    """A judge that asks once more about answers that did well, as the definition's `probe` says.

    An answer that does as well under an unrelated question (`judges.swap_probe`) leaves its sample unscored with the
    reason `SUSPECTED_INJECTION`. Where that cannot be found out the sample is unscored with the reason why: what is
    worth asking about has no verdict until the answer is known. Recorded replies are not probed.
    """

    @abstractmethod
    def favoured(self, sample: Sample, verdict: Verdict) -> Sequence[int]:
        """Places among `answers` of those that did well in a verdict."""

    @abstractmethod
    def probe_questions(self, swapped: Sample) -> list[Question]:
        """What to ask about an answer beside another question."""

    @abstractmethod
    def probed(self, swapped: Sample, replies: Sequence[Answer]) -> tuple[Verdict, bool]:
        """The verdict beside the other question, and whether it is as good."""

    @property
    def probes(self) -> bool:
        """Whether anything is probed at all."""
        able = self.definition.swappable and self.definition.probe != "off"
        return able and not self.desk.model.startswith(RECORDED)

    def identity(self) -> dict[str, Any]:
        """Everything that its verdicts depend on, JSON-ready."""
        return super().identity() | ({"probe": self.definition.probe} if self.probes else {})

    async def judge_async(self, samples: Sequence[Sample]) -> list[Verdict]:
        """Return one verdict per sample, in order; what did well is probed once all are there."""
        verdicts = await super().judge_async(samples)
        suspects = list(self._suspects(samples, verdicts)) if self.probes else []
        if not suspects:
            return verdicts
        others = Questions(self.definition, samples)
        swapped = [others.swapped(samples[place], self.answers(samples[place])[answer]) for place, answer in suspects]
        asked = [self.probe_questions(one) for one in swapped]
        await self.desk.prepare(self.name, asked[0][0].version, [one.call for questions in asked for one in questions])
        room = asyncio.Semaphore(AT_ONCE)

        async def probe(answer: int, one: Sample, questions: Sequence[Question]) -> Probe:
            async with room:
                replies = await asyncio.gather(*(self.ask(item) for item in questions))
            usage = sum((reply.usage for reply in replies), Usage())
            verdict, kept = self.probed(one, replies)
            return Probe(answer, replace(verdict, usage=usage), kept)

        found = await asyncio.gather(
            *(probe(answer, *of) for (_, answer), of in zip(suspects, zip(swapped, asked, strict=True), strict=True))
        )
        by_place: dict[int, list[Probe]] = {}
        for (place, _), one in zip(suspects, found, strict=True):
            by_place.setdefault(place, []).append(one)
        return [
            self._left(samples[place], verdict, by_place[place]) if place in by_place else verdict
            for place, verdict in enumerate(verdicts)
        ]

    def _suspects(self, samples: Sequence[Sample], verdicts: Sequence[Verdict]) -> Iterator[tuple[int, int]]:
        for place, (sample, verdict) in enumerate(zip(samples, verdicts, strict=True)):
            if verdict.value is not None:
                texts = self.answers(sample)
                for answer in self.favoured(sample, verdict):
                    if to_probe(self.definition, sample.prompt, texts[answer]):
                        yield place, answer

    def _left(self, sample: Sample, verdict: Verdict, probes: Sequence[Probe]) -> Verdict:
        """What is left of a verdict after its answers were probed."""
        usage = sum((one.verdict.usage for one in probes), verdict.usage)
        if (caught := next((one for one in probes if one.kept), None)) is not None:
            details = {
                "suspicion": Suspicion(RULE, self.answers(sample)[caught.answer][:_PASSAGE]).as_json(),
                "answer": caught.answer,
                "swapped": True,
                "verdicts": {"own question": verdict.value, "other question": caught.verdict.value},
            }
            flags = (*verdict.flags, SUSPECTED_INJECTION)
            return Verdict(sample.id, None, SUSPECTED_INJECTION, flags=flags, details=details, usage=usage)
        if (failed := next((one.verdict for one in probes if one.verdict.value is None), None)) is not None:
            flags = (*verdict.flags, PROBE_FAILED)
            return Verdict(sample.id, None, failed.reason or "no verdict", flags=flags, usage=usage)
        return replace(verdict, usage=usage)
