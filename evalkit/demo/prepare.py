"""The demo's folder: data with cards, suites, and a store of its own, so that two seeds never meet in one registry."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from evalkit.demo import digits, docs_bot, language

SUITES = ("digits", "language", "docs-bot")


def prepare(folder: Path, seed: int) -> dict[str, Path]:
    """Write what can be written without training; the same seed writes the same bytes. Return suite name to file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evalkit.toml").touch()  # marks where this seed's .evalkit store lives
    data = folder / "data"
    digits.write(data, seed)
    language.write(data, seed)
    docs_bot.write(data, seed)
    baseline = f"{language.compressed_bits_per_byte(seed):.3f}"
    suites = {}
    for name in SUITES:
        text = (files("evalkit.demo") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
        suites[name] = folder / f"{name}.yaml"
        suites[name].write_text(Template(text).safe_substitute(baseline=baseline), encoding="utf-8")
    return suites
