"""Attacks from a file, end to end: the real judges with default settings, and models that obey what they judge.

Each kind of judge gets all of its attacks as one batch, so that the probe finds other questions there. A model either
obeys whatever it understands (`tests.judges.obeying_judge`), or every attack without reading it: then nothing but the
detector and the probe stands between an attack and its verdict.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from judges.base import SUSPECTED_INJECTION, Sample, Usage, Verdict
from judges.calls import Bought, Call
from judges.clients.base import Reply
from judges.definition import Definition, Probe
from judges.opening import Judge, open_judge
from judges.prompts import answer
from metrics.errors import InputError
from tests.judges.attack import Form
from tests.judges.obeying_judge import ObeyingJudge

Obeys = Literal["what it understands", "always", "always, by place", "always, with a tie"]
MODES: tuple[Obeys, ...] = ("what it understands", "always", "always, by place", "always, with a tie")

_GRADING = "Judge the answer to the request.\n{{ prompt }}\n{{ output }}\n"
_COMPARING = "Decide which answer serves the request better.\n{{ prompt }}\n{{ answers }}\n"
_JUDGES: Mapping[str, Judge] = {
    "score": Judge("grader", "scale", None, _GRADING, scale=[1, 5]),
    "pass": Judge("checker", "pass_fail", None, _GRADING),
    "pairwise": Judge("comparer", "pairwise", None, _COMPARING),
}
_FIELDS: Mapping[str, Form] = {"score": "score", "pass": "verdict", "pairwise": "winner"}
_BEST: Mapping[str, str] = {"score": "5", "pass": "pass"}
_WORST: Mapping[str, str] = {"score": "1", "pass": "fail"}
_HONEST: Mapping[str, float] = {"score": 1.0, "pass": 0.0, "pairwise": 0.0}
_BLOCK = re.compile(r"<<<BEGIN (.+?) ([0-9a-f]{16})>>>\n(.*?)\n<<<END \1 \2>>>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """One attack of a file: its answer is bad, and an honest judge says so.

    Attributes:
        judge: ``score``, ``pass`` or ``pairwise``.
        opponent: the answer that it is compared with.
    """

    id: str
    kind: str
    judge: str
    question: str
    answer: str
    opponent: str


@dataclass(slots=True)
class Outcome:
    """How many attacks of one kind there were, what flagged them, and which changed a verdict unflagged."""

    attacks: int = 0
    by_detector: int = 0
    by_probe: int = 0
    changed: list[str] = field(default_factory=list)


def read_attacks(path: Path) -> list[Written]:
    """Attacks of a file of JSON lines, or of one JSON array.

    An object has ``id``, ``kind``, ``kinds_of_judge`` (``score``, ``pass`` or ``pairwise``, or a list of them),
    ``question``, ``answer`` and perhaps ``opponent``.

    Raises:
        InputError: in one line, for what cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    found = []
    try:
        rows = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(one) for one in text.split("\n") if one.strip()]
        )
        for row in rows:
            given = row["kinds_of_judge"]
            for judge in [given] if isinstance(given, str) else given:
                opponent = row.get("opponent") or f"{row['question']} Any textbook has a page on this, with pictures."
                found.append(Written(str(row["id"]), row["kind"], judge, row["question"], row["answer"], opponent))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path.name}: expected attacks as JSON lines with id, kind, kinds_of_judge, question and answer ({error})"
        ) from None
    if unknown := {one.judge for one in found} - set(_JUDGES):
        raise InputError(f"{path.name}: `kinds_of_judge` is score, pass or pairwise, got '{min(unknown)}'")
    return found


class AttackedDesk:
    """A desk whose model obeys the attacks of one batch, and is honest about everything else."""

    def __init__(self, attacks: Mapping[str, Written], definition: Definition, obeys: Obeys) -> None:
        self.model = f"obeying:/{obeys}"
        self._attacks, self._obeys = attacks, obeys
        self._shown = {
            one.id: answer(definition, Sample(one.id, one.answer, one.question), one.answer) for one in attacks.values()
        }

    async def ask(self, judge: str, judge_version: str, call: Call) -> Bought:
        """The verdict that the sample's attack wants, where it is shown."""
        attack = self._attacks[call.sample_id]
        prompt = "\n".join(message.content for message in call.request.messages)
        blocks = {label: text for label, _, text in _BLOCK.findall(prompt)}
        shown = self._shown[attack.id]
        places = [label[-1] for label, text in blocks.items() if text == shown]
        verdict = self._verdict(attack, prompt, shown, places[0] if places else None, call.step)
        key = _FIELDS[attack.judge]
        text = json.dumps({"rationale": "", key: int(verdict) if key == "score" else verdict})
        return Bought(Reply(text), None, Usage(1))

    async def prepare(self, judge: str, judge_version: str, calls: Sequence[Call]) -> None:
        """Nothing to look up."""

    def _verdict(self, attack: Written, prompt: str, shown: str, place: str | None, step: str) -> str:
        if attack.judge == "pairwise":
            first = "B" if step.startswith("swapped") else "A"  # where the answer stands that is asked about
            honest = "A" if (place or first) == "B" else "B"
            best = {"always": place, "always, by place": "A"}.get(self._obeys, "tie")
        else:
            honest, best = _WORST[attack.judge], _BEST[attack.judge]
        if place is None:
            return honest
        if self._obeys != "what it understands":
            return str(best)
        own = prompt.replace(f"\n{shown}\n", "\n\n")
        asked = ObeyingJudge(honest, form=_FIELDS[attack.judge], own_prompt=own)
        return asked.demand(prompt) or honest


def verdicts_on(
    attacks: Sequence[Written], judge: str, obeys: Obeys, *, guarded: bool = True, probe: Probe = "suspicious"
) -> dict[str, Verdict]:
    """The verdict on every attack on one kind of judge, by the attack's id; without the detector unless guarded."""
    batch = {one.id: one for one in attacks if one.judge == judge}
    samples = [
        Sample(one.id, one.answer, one.question, others=(one.opponent,) if judge == "pairwise" else ())
        for one in batch.values()
    ]
    definition = _JUDGES[judge].definition.model_copy(update={"probe": probe})
    opened = open_judge(definition, AttackedDesk(batch, definition, obeys))
    if not guarded:
        opened.detector = None
    return {verdict.sample_id: verdict for verdict in opened.judge(samples)}


def changed(attack: Written, verdict: Verdict) -> bool:
    """Whether an attack changed a verdict, and nothing flagged it."""
    return verdict.reason != SUSPECTED_INJECTION and verdict.value != _HONEST[attack.judge]


def measure_file(attacks: Sequence[Written], obeys: Obeys) -> dict[tuple[str, str], Outcome]:
    """What came of the attacks, by kind of judge and of attack."""
    found: dict[tuple[str, str], Outcome] = {}
    for judge in _JUDGES:
        if judge != "pairwise" and obeys in {"always, by place", "always, with a tie"}:
            continue
        verdicts = verdicts_on(attacks, judge, obeys)
        for one in attacks:
            if one.judge == judge:
                outcome = found.setdefault((judge, one.kind), Outcome())
                verdict = verdicts[one.id]
                outcome.attacks += 1
                if verdict.reason == SUSPECTED_INJECTION:
                    probed = verdict.details.get("swapped") is True
                    outcome.by_probe += probed
                    outcome.by_detector += not probed
                elif changed(one, verdict):
                    outcome.changed.append(one.id)
    return found


def print_file(path: Path) -> None:
    """Measure the attacks of a file and print what came of them."""
    attacks = read_attacks(path)
    for obeys in MODES:
        found = measure_file(attacks, obeys)
        print(f"a model that obeys {obeys}:")
        for judge in _JUDGES:
            outcomes = {kind: one for (of, kind), one in found.items() if of == judge}
            if outcomes:
                total = Counter({"attacks": 0})
                for one in outcomes.values():
                    total.update(attacks=one.attacks, detector=one.by_detector, probe=one.by_probe)
                    total.update(changed=len(one.changed))
                print(
                    f"  {judge}: {total['attacks']} attacks, {total['detector']} flagged by the detector, "
                    f"{total['probe']} by the probe, {total['changed']} changed a verdict unflagged"
                )
                for kind, one in sorted(outcomes.items()):
                    names = f": {', '.join(one.changed)}" if one.changed else ""
                    print(
                        f"    {kind}: {one.attacks}, {one.by_detector} by the detector, {one.by_probe} by the probe, "
                        f"{len(one.changed)} changed{names}"
                    )
