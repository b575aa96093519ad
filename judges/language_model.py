"""Pointwise judges: a score on a scale, a label, or pass and fail, for one output at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judges.asking import Answer, Question, question
from judges.base import Sample, Verdict
from judges.calls import Desk
from judges.definition import Definition
from judges.expectation import expected_score
from judges.injection import find_injection
from judges.model_judge import Detector, repair_flags, unscored
from judges.probed import ProbedJudge
from judges.prompts import lacking, material
from judges.swap_probe import STEP
from judges.verdicts import Form, choice, make_form
from metrics.errors import InputError

_KINDS = ("scale", "labels", "pass_fail")


class LanguageModelJudge(ProbedJudge):
    """A language model that grades one output at a time by a prompt, a rubric and a scale or labels.

    The value is the number on the scale, the label's value, or 1 for pass and 0 for fail. Where the definition asks for
    `top_logprobs` and the server gives them, it is the expectation over the scale (G-Eval); over `repeats` it is the
    mean, with the standard deviation as spread.

    A good verdict is probed as the definition says: one that the output keeps as the answer to another question does
    not count (`judges.probed`).

    Args:
        definition: of kind scale, labels or pass_fail.
        desk: where replies are bought.
        detector: what finds outputs that address the judge; None trusts every output.
    """

    def __init__(self, definition: Definition, desk: Desk, *, detector: Detector | None = find_injection) -> None:
        if definition.kind not in _KINDS:
            raise InputError(
                f"judge '{definition.name}' is of kind {definition.kind}, expected one of {', '.join(_KINDS)}"
            )
        super().__init__(definition, desk, detector=detector)
        self.form = grading_form(definition)

    @property
    def forms(self) -> tuple[Form, ...]:
        """The form of its one reply."""
        return (self.form,)

    def lacks(self, sample: Sample) -> str | None:
        """Why a sample with an output cannot be judged."""
        return lacking(self.definition, material(self.definition, sample))

    def questions(self, sample: Sample, repeat: int) -> list[Question]:
        """The one question about a sample."""
        inputs = material(self.definition, sample)
        return [question(self.definition, sample.id, inputs, self.form, repeat=repeat)]

    async def decide(self, sample: Sample, questions: Sequence[Question], repeat: int) -> Verdict:
        """The verdict of one repeat."""
        answer = await self.ask(questions[0])
        if answer.parsed is None:
            return unscored(sample, answer)
        given = str(answer.parts[self.form.decides])
        value, details = self._value(given, answer)
        for name in self.definition.fields:
            details[name] = answer.parts[name]
        return Verdict(
            sample.id,
            value,
            label=self._label(value, given),
            rationale=str(answer.parts["rationale"]) or None,
            flags=repair_flags(answer),
            details=details,
            usage=answer.usage,
        )

    def favoured(self, sample: Sample, verdict: Verdict) -> Sequence[int]:
        """The one output, where its verdict is good."""
        good = verdict.value is not None and self.definition.good(verdict.value, verdict.label)
        return range(len(self.answers(sample))) if good else ()

    def probe_questions(self, swapped: Sample) -> list[Question]:
        """The question about the output beside another one."""
        inputs = material(self.definition, swapped)
        return [question(self.definition, swapped.id, inputs, self.form, step=STEP)]

    def probed(self, swapped: Sample, replies: Sequence[Answer]) -> tuple[Verdict, bool]:
        """The verdict beside the other question, and whether it is good too."""
        (reply,) = replies
        if reply.parsed is None:
            return unscored(swapped, reply), False
        given = str(reply.parts[self.form.decides])
        value, _ = self._value(given, reply)
        return Verdict(swapped.id, value), self.definition.good(value, self._label(value, given))

    def label(self, value: float, scored: Sequence[Verdict]) -> str | None:
        """Label of several repeats: on a scale that of their mean, else that of most."""
        return self._label(value, "") if self.definition.kind == "scale" else super().label(value, scored)

    def _value(self, given: str, answer: Answer) -> tuple[float, dict[str, Any]]:
        values: Mapping[str, float] = self.definition.values
        if self.definition.sampling.top_logprobs and answer.reply is not None and answer.parsed is not None:
            expected = expected_score(answer.reply, answer.parsed, self.form, values)
            if expected is not None:
                probabilities = {word: share for word, share in expected.probabilities.items() if share > 0}
                return expected.value, {"given": given, "probabilities": probabilities, "mass": expected.mass}
        return values[given], {}

    def _label(self, value: float, given: str) -> str | None:
        if self.definition.kind != "scale":
            return given
        passed = self.definition.passed(value, None)
        return None if passed is None else "pass" if passed else "fail"


def grading_form(definition: Definition) -> Form:
    """The form of a graded verdict: the rationale first, so that the verdict follows from it."""
    decides = "score" if definition.kind == "scale" else "verdict"
    allowed: list[str | int] = list(definition.values)
    if definition.kind == "scale":
        allowed = [int(word) for word in definition.values]
    parts: dict[str, Any] = {"rationale": str}
    shown = ['"rationale": "<why, in a few sentences>"']
    for name, kind in definition.fields.items():
        if isinstance(kind, list):
            parts[name], told = choice(kind), "<" + _listed([f'"{word}"' for word in kind]) + ">"
        else:
            parts[name], told = (float, "<a number>") if kind == "number" else (str, '"<text>"')
        shown.append(f'"{name}": {told}')
    parts[decides] = choice(allowed)
    few = [str(word) if isinstance(word, int) else f'"{word}"' for word in allowed]
    told = _listed(few) if len(few) <= 11 else f"a whole number from {few[0]} to {few[-1]}"
    shown.append(f'"{decides}": <{told}>')
    instruction = f"Reply with one JSON object and nothing else: {{{', '.join(shown)}}}"
    return make_form("Verdict", decides, instruction, **parts)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
