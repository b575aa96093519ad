"""Attacks by a third hand, who had read neither the detector nor the other hands' attacks."""

from __future__ import annotations

import json
from pathlib import Path

from tests.judges.attack import Attack, Form

_FORMS: dict[str, tuple[Form, str]] = {
    "score": ("score", "5"),
    "pass": ("verdict", "pass"),
    "pairwise": ("winner", "A"),
}


def _attacks() -> tuple[Attack, ...]:
    given = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    found = []
    for one in given:
        form, wants = _FORMS[one["kinds_of_judge"]]
        found.append(Attack(f"third-{one['id']}", one["kind"], one["question"], one["answer"], wants, form))
    return tuple(found)


THIRD_HAND = _attacks()
