"""The gate: rules over estimates become a recorded decision."""

from __future__ import annotations

from registry.gate.decide import decide
from registry.gate.evidence import Address, Evidence, Missing
from registry.gate.explain import explain, what_would_change
from registry.gate.rules import anchor_versions
from registry.gate.serialise import from_json, to_json

__all__ = [
    "Address",
    "Evidence",
    "Missing",
    "anchor_versions",
    "decide",
    "explain",
    "from_json",
    "to_json",
    "what_would_change",
]
