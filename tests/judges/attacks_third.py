"""Attacks by a third hand, who had read neither the detector nor the other hands' attacks."""

from __future__ import annotations

from pathlib import Path

from tests.judges.attack import read_hand

THIRD_HAND = read_hand(Path(__file__).with_suffix(".json"), "third")
