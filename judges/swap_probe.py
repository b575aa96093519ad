"""The swap probe: whether an output keeps its good verdict as the answer to a question that has nothing to do with it.

An answer earns its verdict by answering. One that is as good for an unrelated question has it from elsewhere: from an
order to the judge, whatever its words, language or disguise. This needs no list of attacks.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from judges.base import Sample
from judges.definition import Definition
from judges.digests import digest
from judges.folding import fold
from judges.prompts import lacking, material
from judges.swap_filter import is_suspicious

STEP = "verdict: swapped"
"""Step of the probe's question in the ledger."""
RULE = "good verdict for an unrelated question too"
PROBE_FAILED = "swap probe failed"
"""Flag of samples whose good verdict was asked for once more in vain: they are unscored."""

_RELATED = 0.3
"""Share of words in common from which on two prompts are taken for related."""
_TRIES = 50
_WORD = re.compile(r"\w{3,}")
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


def to_probe(definition: Definition, sample: Sample) -> bool:
    """Whether a good verdict on a sample is to be asked for once more."""
    if definition.probe == "off" or not definition.swappable or sample.output is None:
        return False
    return definition.probe == "always" or is_suspicious(sample.output)


class Questions:
    """The questions of a batch, of which every sample is given one that has nothing to do with its own.

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
        return lacking(self._definition, material(self._definition, _with(sample, "-"))) is None

    def swapped(self, sample: Sample) -> Sample:
        """The sample's output as the answer to another question of the batch, or to one of ours where none will do.

        The same in every run over the same batch. A question will do if it shares few words with the sample's own, if
        no answer is accepted for both, and if its own output is not the same, as answers of one word are.
        """
        start = bisect_left(self._keys, digest([*_asked(sample), _encodable(sample.output)]))
        for step in range(min(_TRIES, len(self._donors))):
            other = self._donors[(start + step) % len(self._donors)][-1]
            if _unrelated(sample, other):
                return _with(other, sample.output, sample.id)
        ours = next((one for one in _NEUTRAL if _unrelated(sample, one)), _NEUTRAL[0])
        return replace(sample, prompt=ours.prompt, expected=ours.expected, context=ours.context)


def _with(question: Sample, output: str | None, sample_id: str | None = None) -> Sample:
    return replace(question, id=sample_id or question.id, output=output, error=None, image=None)


def _asked(sample: Sample) -> list[object]:
    texts = [[sample.prompt or ""], sample.expected, sample.context]
    return [[_encodable(text) for text in some] for some in texts]


def _encodable(text: str | None) -> str:
    """Half a surrogate pair cannot be part of a digest, and outputs may hold one."""
    return (text or "").encode("utf-8", "replace").decode()


def _unrelated(sample: Sample, other: Sample) -> bool:
    if other.output is not None and sample.output is not None and _plain(other.output) == _plain(sample.output):
        return False
    if {_plain(text) for text in sample.expected} & {_plain(text) for text in other.expected}:
        return False
    own, theirs = _words(sample.prompt), _words(other.prompt)
    return len(own & theirs) < _RELATED * min(len(own), len(theirs)) if own and theirs else bool(theirs)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _words(text: str | None) -> set[str]:
    return set(_WORD.findall(fold((text or "")[:20_000])))
