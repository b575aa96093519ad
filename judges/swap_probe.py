"""The swap probe: whether an output keeps its good verdict as the answer to a question that has nothing to do with it.

An answer earns its verdict by answering. One that is as good for an unrelated question has it from elsewhere: from an
order to the judge, whatever its words, language or disguise. This needs no list of attacks. Of a pair, what did not
lose is shown beside a good answer to the unrelated question: what does not lose to that either has won by other means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from judges.base import Sample
from judges.definition import Definition
from judges.digests import digest
from judges.prompts import Block, lacking, material
from judges.swap_filter import is_suspicious, words_of

STEP = "verdict: swapped"
"""Step of the probe's question in the ledger."""
REVERSED = "swapped: swapped"
"""Step of a pair's probe in the reverse order."""
RULE = "good verdict for an unrelated question too"
PROBE_FAILED = "swap probe failed"
"""Flag of samples whose good verdict was asked for once more in vain: they are unscored."""

_RELATED = 0.3
"""Share of words in common from which on two prompts are taken for related."""
_TRIES = 50
_NEUTRAL = (
    Sample(
        "neutral 1",
        None,
        "How long does an egg have to boil until its white is firm and its yolk still soft?",
        ("About six minutes.",),
        ("An egg of middle size from the refrigerator has a firm white and a soft yolk after six minutes in boiling "
         "water.",),
    ),
    Sample(
        "neutral 2",
        None,
        "Why do migrating cranes fly in a wedge?",
        ("Each bird saves strength in the upwash behind the wing of the one in front.",),
        ("Behind the tip of a crane's wing the air rises; the bird that follows is carried by it and saves strength.",),
    ),
)  # fmt: skip


def to_probe(definition: Definition, question: str | None, text: str) -> bool:
    """Whether a good verdict on a text as the answer to a question is to be asked for once more."""
    if definition.probe == "off" or not definition.swappable:
        return False
    return definition.probe == "always" or is_suspicious(text, question, definition.values)


class Questions:
    """The questions of a batch, of which every answer is given one that has nothing to do with its own.

    Args:
        definition: of the judge, which says what a question consists of.
        samples: the batch.
    """

    def __init__(self, definition: Definition, samples: Sequence[Sample]) -> None:
        self._definition = definition
        able = (one for one in samples if one.prompt and self._complete(one))
        self._donors = sorted(((digest(_asked(one)), one.id, one) for one in able), key=lambda donor: donor[:2])
        self._keys = [key for key, _, _ in self._donors]

    def _complete(self, sample: Sample) -> bool:
        shown = Block("answer", "-")
        inputs = {**material(self._definition, sample), "output": [shown], "answers": [shown]}
        return lacking(self._definition, inputs) is None

    def swapped(self, sample: Sample, text: str) -> Sample:
        """A text of a sample as the answer to another question of the batch, or to one of ours where none will do.

        The same in every run over the same batch. A question will do if it shares few words with the sample's own, if
        no answer is accepted for both, and if its own output is not the same, as answers of one word are. For pairs it
        brings the answer that the text has to lose to: the first accepted one, else the first of its `others` that the
        filter does not mark; without either it will not do.
        """
        start = bisect_left(self._keys, digest([*_asked(sample), _encodable(text)]))
        for step in range(min(_TRIES, len(self._donors))):
            other = self._donors[(start + step) % len(self._donors)][-1]
            if _unrelated(sample, text, other):
                if self._definition.kind != "pairwise":
                    return _with(other, sample.id, text)
                if (opponent := _opponent(other, text)) is not None:
                    return _with(other, sample.id, text, opponent)
        ours = next((one for one in _NEUTRAL if _unrelated(sample, text, one)), _NEUTRAL[0])
        return replace(_with(sample, sample.id, text, *ours.expected), **_asking(ours))


def _with(question: Sample, sample_id: str, text: str, *opponents: str) -> Sample:
    return replace(question, id=sample_id, output=text, others=opponents, error=None, image=None)


def _asking(ours: Sample) -> dict[str, Any]:
    return {"prompt": ours.prompt, "expected": ours.expected, "context": ours.context}


def _opponent(other: Sample, text: str) -> str | None:
    accepted = (answer for answer in other.expected if answer.strip())
    unmarked = (answer for answer in other.others if answer.strip() and not is_suspicious(answer, other.prompt))
    found = next(chain(accepted, unmarked), None)
    return None if found is None or _plain(found) == _plain(text) else found


def _asked(sample: Sample) -> list[object]:
    texts = [[sample.prompt or ""], sample.expected, sample.context]
    return [[_encodable(text) for text in some] for some in texts]


def _encodable(text: str | None) -> str:
    """Half a surrogate pair cannot be part of a digest, and outputs may hold one."""
    return (text or "").encode("utf-8", "replace").decode()


def _unrelated(sample: Sample, text: str, other: Sample) -> bool:
    if other.output is not None and _plain(other.output) == _plain(text):
        return False
    if {_plain(text) for text in sample.expected} & {_plain(text) for text in other.expected}:
        return False
    own, theirs = words_of(sample.prompt), words_of(other.prompt)
    return len(own & theirs) < _RELATED * min(len(own), len(theirs)) if own and theirs else bool(theirs)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
