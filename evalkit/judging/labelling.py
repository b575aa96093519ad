"""Labels as they are given: a file that loses none, and what a person is shown."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from judges.base import Sample
from judges.labels import Label, read_labels
from judges.sampling import Draw, draw_chances
from metrics.base import FloatArray
from metrics.errors import InputError
from registry.digests import digest, now_ms

CANNOT_TELL = "cannot tell"
SKIP = "s"
"""The key of `CANNOT_TELL`."""
PASS_FAIL: Mapping[str, float] = {"p": 1.0, "f": 0.0}
PAIRS: Mapping[str, float] = {"a": 1.0, "b": 0.0, "t": 0.5}
WORDS: Mapping[str, str] = {"p": "pass", "f": "fail", "a": "A is better", "b": "B is better", "t": "tie"}
"""What the keys of answers stand for; numbers stand for themselves."""


@dataclass(slots=True)
class LabelFile:
    """A labeller's way through the draws, one JSON line per label, on disk before the next sample is shown.

    Attributes:
        path: the file.
        draws: what to label, in order.
        labeller: whose labels are added and continued.
        done: this labeller's labels by draw.
        history: what was labelled since the file was opened.
    """

    path: Path
    draws: Sequence[Draw]
    labeller: str
    done: dict[int, Label]
    history: list[Draw] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, draws: Sequence[Draw], labeller: str, design: dict[str, Any]) -> LabelFile:
        """Start a file, or continue one that was started with the same design.

        Args:
            path: of the file; its last line, where it was cut off, is removed.
            draws: what to label.
            labeller: a name.
            design: what the draws follow from (`design_of`); stored in the head.

        Raises:
            InputError: the file follows from another design, for its labels would have other probabilities.
        """
        if not path.exists() or path.stat().st_size == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, {"design": design})
            return cls(path, draws, labeller, {})
        _mend(path)
        with path.open(encoding="utf-8") as stream:
            first = stream.readline()
        try:
            known = json.loads(first or "null")
        except json.JSONDecodeError:
            known = None
        if not isinstance(known, dict) or "design" not in known:
            raise InputError(f"{path.name} was not written by `evalkit judge label`; name another file for new labels")
        if known["design"] != design:
            raise InputError(
                f"{path.name} was started with other samples, verdicts or another seed, so that its labels have other "
                "probabilities; use the same again, or another file"
            )
        mine = [label for label in read_labels(path) if label.labeller == labeller and label.draw is not None]
        return cls(path, draws, labeller, {label.draw: label for label in mine if label.draw is not None})

    def pending(self) -> Draw | None:
        """The first draw whose sample has no label; nothing is written."""
        known = {label.sample_id for label in self.done.values()}
        return next((draw for draw in self.draws if draw.sample_id not in known), None)

    def next(self) -> Draw | None:
        """The first draw without a label; a sample that was labelled in an earlier draw counts again by itself."""
        known = {label.sample_id: label for label in self.done.values()}
        for draw in self.draws:
            if draw.draw in self.done:
                continue
            if draw.sample_id not in known:
                return draw
            earlier = known[draw.sample_id]
            self._store(draw, earlier.value, earlier.reason)
        return None

    def add(self, draw: Draw, value: float | None, reason: str | None = None) -> None:
        """Store a label; it is on disk when this returns."""
        self._store(draw, value, reason)
        self.history.append(draw)

    def back(self) -> bool:
        """Ask for the last sample again, False where there is none; what was stored counts until it is replaced."""
        if not self.history:
            return False
        self.ask_again(self.history.pop().sample_id)
        return True

    def ask_again(self, sample_id: str) -> None:
        """Ask for a sample again; what was stored counts until it is replaced."""
        self.done = {place: label for place, label in self.done.items() if label.sample_id != sample_id}

    def _store(self, draw: Draw, value: float | None, reason: str | None) -> None:
        label = Label(draw.sample_id, value, reason, draw.probability, self.labeller, now_ms(), draw.draw)
        _append(self.path, label.to_json())
        self.done[draw.draw] = label


def design_of(sample_ids: Sequence[str], useful: FloatArray | None, seed: int) -> dict[str, Any]:
    """What the draws follow from: the samples, their chances and the seed."""
    chances = draw_chances(len(sample_ids), useful)
    population = digest([[name, float(chance)] for name, chance in zip(sample_ids, chances, strict=True)])
    return {"samples": len(sample_ids), "seed": seed, "population": population}


@dataclass(frozen=True, slots=True)
class Shown:
    """One sample as a person sees it: without verdicts, which would lead, and in pairs without telling which is whose.

    Attributes:
        parts: title and text, in order.
        swapped: whether answer A is the one that the judged output is compared with.
    """

    parts: tuple[tuple[str, str], ...]
    swapped: bool


def show(sample: Sample, draw: Draw, seed: int) -> Shown:
    """What to show beside an image; hostile text is made harmless for a terminal."""
    parts = [] if sample.prompt is None else [("prompt", sample.prompt)]
    parts += [("context", text) for text in sample.context]
    parts += [("accepted answers", "\n".join(sample.expected))] if sample.expected else []
    swapped = False
    if len(sample.others) == 1:
        swapped = bool(np.random.default_rng([seed, draw.draw]).integers(2))
        answers = [sample.output or "", sample.others[0]]
        first, second = answers[::-1] if swapped else answers
        parts += [("answer A", first), ("answer B", second)]
    elif sample.output is not None or sample.image is None:
        parts.append(("output", sample.output if sample.output is not None else f"(none: {sample.unusable})"))
    return Shown(tuple((title, harmless(text)) for title, text in parts), swapped)


def value_of(answer: str, choices: Mapping[str, float], shown: Shown) -> tuple[float | None, str | None]:
    """An answer's key as a label: its value on the judge's scale, or None and why there is none.

    Raises:
        InputError: the key is none of the choices.
    """
    if answer == SKIP:
        return None, CANNOT_TELL
    if answer not in choices:
        raise InputError(f"'{answer[:20]}' is no answer here; expected one of {', '.join([*choices, SKIP])}")
    value = choices[answer]
    return (1 - value if shown.swapped and choices == PAIRS else value), None


def harmless(text: str) -> str:
    """The text with everything visible: control and format characters, which a terminal would obey, as their codes."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co"} else f"<U+{ord(char):04X}>"
        for char in text.replace("\r\n", "\n")
    )


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("ab") as stream:
        stream.write(json.dumps(row).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _mend(path: Path) -> None:
    """Remove a last line that was cut off by a kill or a full disk."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
