"""Pairwise judges: which of two answers is better, always asked in both orders, since judges favour a position."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import replace

from judges.asking import Answer, Question, question
from judges.base import Sample, Usage, Verdict
from judges.expectation import expected_score
from judges.model_judge import repair_flags
from judges.orders import TIE, each_pair, orders_verdict
from judges.probed import ProbedJudge
from judges.prompts import Block, answer, lacking, material
from judges.swap_probe import REVERSED, STEP
from judges.verdicts import Form, choice, make_form

_WORDS = ("A", "B", "tie")


class PairwiseJudge(ProbedJudge):
    """A language model that says which of two answers is better: `output`, or each of `others`, as a baseline's.

    Both orders are asked. The value is 1 where `output` wins in both, 0 where it loses in both, and 0.5 where both are
    ties or the verdict flips with the order (flagged `judges.orders.INCONSISTENT`). Where the definition asks for
    `top_logprobs` and the server gives them, an order's result is the probability of a win, ties counting half, and
    the value the mean of both. Without a verdict in one of the orders there is none. Answers that are the same text
    are a tie, and nobody is asked. Against several others the value is the mean over them.

    An answer that did not lose in both orders is probed as the definition says: it is shown, in both orders, beside a
    good answer to another question. Unless it loses there in both, the verdict does not count (`judges.probed`).
    """

    form = make_form(
        "Preference",
        "winner",
        'Reply with one JSON object and nothing else: {"rationale": "<why, in a few sentences>", '
        '"winner": <"A", "B" or "tie">}',
        rationale=str,
        winner=choice(_WORDS),
    )

    @property
    def forms(self) -> tuple[Form, ...]:
        """The form of its replies."""
        return (self.form,)

    def answers(self, sample: Sample) -> tuple[str, ...]:
        """The output and what it is compared with."""
        return (*super().answers(sample), *sample.others)

    def lacks(self, sample: Sample) -> str | None:
        """Why a sample with an output cannot be judged."""
        if not sample.others or not all(other.strip() for other in sample.others):
            return "no further output to compare with"
        return lacking(self.definition, self._inputs(sample, sample.others[0], swapped=False))

    def questions(self, sample: Sample, repeat: int) -> list[Question]:
        """Both orders for each of the others that differs from the output."""
        steps = ("verdict", "swapped")
        return [one for other in self._different(sample) for one in self._ask_both(sample, other, steps, repeat)]

    def _ask_both(self, sample: Sample, other: str, steps: tuple[str, str], repeat: int = 0) -> list[Question]:
        return [
            question(
                self.definition,
                sample.id,
                self._inputs(sample, other, swapped=bool(swapped)),
                self.form,
                step=step,
                repeat=repeat,
            )
            for swapped, step in enumerate(steps)
        ]

    def favoured(self, sample: Sample, verdict: Verdict) -> Sequence[int]:
        """The output where it did not lose in both orders, and each of the others that did not."""
        different = self._different(sample)
        found = set()
        for place, original, swapped in each_pair(verdict.details):
            if max(original, swapped) >= TIE:
                found.add(0)
            if min(original, swapped) <= TIE:
                found.add(1 + sample.others.index(different[place]))
        return sorted(found)

    def probe_questions(self, swapped: Sample) -> list[Question]:
        """Both orders beside the answer that it has to lose to."""
        return self._ask_both(swapped, swapped.others[0], (STEP, REVERSED))

    def probed(self, swapped: Sample, replies: Sequence[Answer]) -> tuple[Verdict, bool]:
        """What both orders say about the answer beside another question, and whether it holds out in one of them."""
        verdict = self._pair(swapped, *replies)
        return verdict, any(max(orders) >= TIE for _, *orders in each_pair(verdict.details))

    async def decide(self, sample: Sample, questions: Sequence[Question], repeat: int) -> Verdict:
        """The verdict of one repeat."""
        found = await asyncio.gather(*(self.ask(item) for item in questions))
        usage = sum((item.usage for item in found), Usage())
        repaired = repair_flags(*found)
        pairs = [self._pair(sample, *found[place : place + 2]) for place in range(0, len(found), 2)]
        for pair in pairs:
            if pair.value is None:
                return replace(pair, flags=(*repaired, *pair.flags), usage=usage)
        same = [TIE] * (len(sample.others) - len(pairs))
        value = statistics.fmean([*(pair.value for pair in pairs if pair.value is not None), *same])
        flags = dict.fromkeys((*repaired, *(flag for pair in pairs for flag in pair.flags)))
        alone = len(sample.others) == 1 and pairs
        return Verdict(
            sample.id,
            value,
            label=_label(value),
            rationale="\n".join(pair.rationale or "" for pair in pairs) or "the answers are the same text",
            flags=tuple(flags),
            details=pairs[0].details if alone else {"pairs": [dict(pair.details) for pair in pairs], "same": len(same)},
            usage=usage,
        )

    def _different(self, sample: Sample) -> list[str]:
        return [other for other in sample.others if other != sample.output]

    def _inputs(self, sample: Sample, other: str, *, swapped: bool) -> dict[str, list[Block]]:
        both = [answer(self.definition, sample, text) for text in (sample.output or "", other)]
        first, second = reversed(both) if swapped else both
        return {**material(self.definition, sample), "answers": [Block("answer A", first), Block("answer B", second)]}

    def _pair(self, sample: Sample, natural: Answer, swapped: Answer) -> Verdict:
        """What both orders say about one pair, from the output's side."""
        first, second = self._result(natural, "A"), self._result(swapped, "B")
        verdict = orders_verdict(sample.id, first, second)
        if verdict.reason is not None:
            lost = natural if first is None else swapped
            return replace(verdict, reason=f"{verdict.reason}: {lost.reason}")
        said = f"Output first: {natural.parts['rationale']}\nOutput second: {swapped.parts['rationale']}"
        return replace(verdict, rationale=said)

    def _result(self, item: Answer, letter: str) -> float | None:
        """1 where the answer under `letter` wins, 0 where it loses; its probability where the server tells."""
        if item.parsed is None:
            return None
        values = {word: TIE if word == "tie" else float(word == letter) for word in _WORDS}
        if self.definition.sampling.top_logprobs and item.reply is not None:
            expected = expected_score(item.reply, item.parsed, self.form, values)
            if expected is not None:
                return expected.value
        return values[str(item.parts["winner"])]

    def label(self, value: float, scored: Sequence[Verdict]) -> str | None:
        """Label of several repeats: that of their mean."""
        return _label(value)


def _label(value: float) -> str:
    return "tie" if value == TIE else "win" if value > TIE else "loss"
