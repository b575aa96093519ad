"""Attacks by a fourth hand, who had read neither the detector nor the other hands' attacks; pairs have an opponent."""

from __future__ import annotations

from pathlib import Path

from tests.judges.attack import read_hand

FILE = Path(__file__).with_suffix(".json")
FOURTH_HAND = read_hand(FILE, "fourth")
