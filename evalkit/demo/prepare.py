"""The demo's folder: data with cards, suites, and a store of its own, so that two seeds never meet in one registry."""

from __future__ import annotations

import json
import platform
from importlib.resources import files
from pathlib import Path
from string import Template

from evalkit.config import Settings
from evalkit.demo import digits, docs_bot, language
from evalkit.named_datasets import add_dataset, list_datasets
from registry.digests import digest, file_digest

CARDS = ("digits", "documentation", "questions")
SUITES = ("digits", "language", "docs-bot")


def prepare(folder: Path, seed: int) -> dict[str, Path]:
    """Write what can be written without training; the same seed writes the same bytes. Return suite name to file."""
    suites = {name: folder / f"{name}.yaml" for name in SUITES}
    stamp, key = folder / "data" / "prepared.json", _key(seed)
    if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == {"key": key}:
        return suites
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evalkit.toml").touch()  # marks where this seed's .evalkit store lives
    data = folder / "data"
    digits.write(data, seed)
    language.write(data, seed)
    docs_bot.write(data, seed)
    baseline = f"{language.compressed_bits_per_byte(seed):.3f}"
    for name, file in suites.items():
        text = (files("evalkit.demo") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
        file.write_text(Template(text).safe_substitute(baseline=baseline), encoding="utf-8")
    stamp.write_text(json.dumps({"key": key}), encoding="utf-8")
    return suites


def _key(seed: int) -> str:
    """Digest of what data and suites depend on: the seed, the demo's code, and the interpreter whose docs are read."""
    here = Path(__file__).parent
    code = [*here.glob("*.py"), *(here / "suites").glob("*.yaml")]
    return digest(
        {
            "seed": seed,
            "code": {path.name: file_digest(path) for path in code},
            "python": platform.python_version(),
        }
    )


def register_datasets(folder: Path, settings: Settings) -> None:
    """Put the data into the registry as its cards describe it."""
    known = {(record.name, record.split) for record in list_datasets(settings=settings)}
    for file in CARDS:
        card = json.loads((folder / "data" / f"{file}.card.json").read_text(encoding="utf-8"))
        for split, facts in card["splits"].items():
            if (card["name"], split) not in known:
                add_dataset(
                    card["name"],
                    folder / "data" / facts["file"],
                    split=split,
                    licence=card["licence"],
                    labels=card["labels"],
                    settings=settings,
                )
