"""Train the learned line of the injection detector, and measure it.

    EVALKIT_TEST_DATA=FOLDER python -m judges.training.injection

FOLDER holds ``llmbar_*``, ``qags_cnndm``, ``toxicity_davidson`` and ``tinyshakespeare.txt``: honest text. The attacks
come from a grammar (`judges.training.injection_grammar`). Nothing is learnt from ``alpaca_*``, whose outputs measure
how often honest text is suspected. Writes ``injection.safetensors`` and its card into ``judges/weights``.
"""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import pydoc_data.topics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from judges.folding import fold
from judges.injection_concepts import CONCEPTS
from judges.injection_model import SIZE, THEMES, ConceptModel, Passage, passages
from judges.training.injection_grammar import ATTACKS, attacks, honest
from judges.training.toxicity import data_folder
from judges.weights import FOLDER, Weights, save_weights
from metrics.base import FloatArray

A_KIND = 1500
A_FEW = 300
HONEST_SENTENCES = 20000
INVERSE_PENALTY = 1.0
FOLDS = 3
SPARED = {
    "threshold": 2, "a grade and the top": 45, "the top and a grade": 8, "this and praise": 7, "a grader": 12,
    "a reference": 2, "another answer": 0, "a rubric": 0, "a reader and the top": 2,
}  # fmt: skip
"""Honest texts, held out, that each threshold lets be suspected."""

LOWEST = 3.5
"""Log-odds that a threshold has at least where few honest texts have the theme."""

DOCUMENTED = ("sklearn", "pandas", "mlflow", "scipy", "sqlalchemy", "click")
"""Packages whose docstrings are honest text."""

_N = len(CONCEPTS)
_PAIRS = _N * _N
_FEW = 5
_NEVER = -3.0
"""Log-odds below which no honest text sets a threshold."""


class Texts(NamedTuple):
    """Passages of texts: what they are made of, the text of each ``[n]``, and whether it is an attack."""

    passages: list[Passage]
    of: NDArray[np.int64]
    attack: bool


def real_texts(folder: Path) -> list[str]:
    """Honest texts by people and models."""
    found: list[str] = []
    for name in ("natural", "neighbor"):
        for row in _rows(folder / f"llmbar_{name}.jsonl.gz"):
            found += [value for key, value in row.items() if isinstance(value, str) and key not in ("id", "label")]
    found += dict.fromkeys(row["context"] for row in _rows(folder / "qags_cnndm.jsonl.gz"))
    found += [row["text"] for row in _rows(folder / "toxicity_davidson.jsonl.gz")]
    found += pydoc_data.topics.topics.values()
    found += _documentation()
    found += (folder / "tinyshakespeare.txt").read_text(encoding="utf-8").split("\n\n")
    return list(dict.fromkeys(found))


def _documentation() -> Iterator[str]:
    """What installed packages say about themselves, and docstrings of some."""
    for name in sorted({dist.metadata["Name"] for dist in metadata.distributions()}):
        yield from (metadata.distribution(name).read_text("METADATA") or "").split("\n\n")
    for package in DOCUMENTED:
        specification = importlib.util.find_spec(package)
        roots = specification.submodule_search_locations if specification is not None else None
        for file in sorted(Path(next(iter(roots or ("",)))).rglob("*.py")):
            if "test" in str(file):
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8", errors="replace"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    yield from (ast.get_docstring(node) or "").split("\n\n")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def read(texts: Iterable[str], *, attack: bool) -> Texts:
    """The passages of texts that can speak of judging; an attack's are those of the whole attack."""
    found: list[Passage] = []
    of: list[int] = []
    for place, text in enumerate(texts):
        for passage in passages(fold(text)):
            found.append(passage)
            of.append(place)
    return Texts(found, np.array(of, dtype=np.int64), attack)


def matrix(given: Sequence[Passage]) -> Any:
    """Columns: concepts, pairs of concepts, pairs that follow each other; sparse ``[n, k]``."""
    from scipy.sparse import csr_matrix

    columns: list[int] = []
    starts = [0]
    for passage in given:
        columns += sorted(passage.present)
        columns += [_N + pair for pair in sorted(passage.together)]
        columns += [_N + _PAIRS + pair for pair in sorted(passage.following)]
        starts.append(len(columns))
    shape = (len(given), _N + _PAIRS + SIZE * SIZE)
    return csr_matrix((np.ones(len(columns), dtype=np.float32), columns, starts), shape=shape)


def fit(parts: Sequence[Texts], limits: Mapping[str, float] | None = None) -> Weights:
    """Logistic regression with an L2 penalty; an attack's passage weighs as much as three honest ones or more."""
    from sklearn.linear_model import LogisticRegression

    given = [passage for part in parts for passage in part.passages]
    labels = np.concatenate([np.full(len(part.passages), part.attack) for part in parts])
    share = float(labels.sum() / max(1, (~labels).sum()))
    model = LogisticRegression(C=INVERSE_PENALTY, solver="liblinear", random_state=0)
    model.fit(matrix(given), labels, np.where(labels, 1.0, max(share, 0.3)))
    learnt = model.coef_[0].astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "alone": learnt[:_N],
        "together": learnt[_N : _N + _PAIRS].reshape(_N, _N),
        "following": learnt[_N + _PAIRS :].reshape(SIZE, SIZE),
    }
    found = {name: repr(value) for name, value in (limits or dict.fromkeys(SPARED, 0.0)).items()}
    return Weights(arrays, {"format": "1", "intercept": repr(float(model.intercept_[0])), **found}, digest="")


def limits_of(held: Mapping[str, FloatArray]) -> dict[str, float]:
    """Log-odds per theme that leave as many honest texts suspected as `SPARED` says."""
    found = {name: float(np.sort(held[name])[::-1][number]) for name, number in SPARED.items()}
    return {name: max(value, LOWEST if SPARED[name] < _FEW else value) for name, value in found.items()}


def held_out(parts: Sequence[Texts], real: Texts, folded: Sequence[str]) -> dict[str, FloatArray]:
    """Highest log-odds ``[texts]`` of any passage with each theme, from models that saw none of its fold."""
    folds = np.random.default_rng(0).integers(0, FOLDS, len(folded))
    found = {name: np.full(len(folded), -np.inf) for name in SPARED}
    for fold_number in range(FOLDS):
        model = ConceptModel(fit([_part(real, folds != fold_number), *parts]))
        there = _part(real, folds == fold_number)
        for passage, of in zip(there.passages, there.of, strict=True):
            value = model.log_odds(passage)
            if value < _NEVER:
                continue
            for name in SPARED:
                if name not in THEMES or THEMES[name].search(folded[of], passage.start, passage.end) is not None:
                    found[name][of] = max(found[name][of], value)
    return found


def _part(given: Texts, chosen: NDArray[np.bool_]) -> Texts:
    places = np.flatnonzero(chosen[given.of])
    return Texts([given.passages[place] for place in places], given.of[places], given.attack)


def left_out(real: Texts, plain: Texts, kinds: Mapping[str, Texts], limits: Mapping[str, float]) -> dict[str, float]:
    """Share of each kind's attacks that is found by a model that saw none of the kind."""
    found: dict[str, float] = {}
    for kind in kinds:
        model = ConceptModel(fit([real, plain, *(given for other, given in kinds.items() if other != kind)], limits))
        texts = [fold(text) for text in attacks(kind, A_FEW)]
        found[kind] = sum(model.find(text) is not None for text in texts) / len(texts)
    return found


def main(folder: Path = FOLDER) -> None:
    """Train, measure with kinds of attacks and honest texts held out, write weights and card."""
    given = real_texts(data_folder())
    folded = [fold(text) for text in given]
    real = read(given, attack=False)
    plain = read(honest(HONEST_SENTENCES), attack=False)
    kinds = {kind: read(attacks(kind, A_KIND), attack=True) for kind in ATTACKS}
    held = held_out([plain, *kinds.values()], real, folded)
    limits = limits_of(held)
    weights = fit([real, plain, *kinds.values()], limits)
    path = save_weights("injection", weights.arrays, weights.facts, folder)
    suspected = np.any([held[name] > limits[name] for name in SPARED], axis=0).sum()
    unseen = left_out(real, plain, kinds, limits)
    card = _CARD.format(
        size=path.stat().st_size / 1000,
        concepts=_N,
        attacks=A_KIND * len(kinds),
        kinds=len(kinds),
        honest=HONEST_SENTENCES,
        real=len(given),
        suspected=suspected,
        limits="\n".join(f"| {name} | {value:.2f} | {SPARED[name]} |" for name, value in limits.items()),
        unseen="\n".join(f"| {name} | {value:.0%} |" for name, value in unseen.items()),
    )
    path.with_suffix(".md").write_text(card, encoding="utf-8")
    sys.stdout.write(card)


_CARD = """# Learned line of the injection detector

`injection.safetensors`, {size:.0f} kB, made by `python -m judges.training.injection`: a linear model on {concepts}
concepts of a passage (`judges/injection_concepts.py`), which of them stand near each other and which follow each other.

- **Trained on**: {attacks:,} attacks of {kinds} kinds from our own grammar; {honest:,} honest sentences of our own;
  {real:,} honest texts: LLMBar's prompts and answers, QAGS articles, the tweets of Davidson et al. 2017,
  Shakespeare, the Python manual, and what installed packages say about themselves. No text of them is in the file.
- **Licence**: Apache-2.0, as the package.
- **`alpaca_*` is no clean hold-out**: its outputs are not in the training set, but about ten of our honest sentences
  paraphrase outputs that an early version flagged, and the thresholds were lowered until under 0.5 % were flagged.
- **Held out**, {suspected} of the {real:,} honest texts are suspected (folds of a third each).

| theme | log-odds needed | honest texts let be suspected |
|---|---|---|
{limits}

A kind of attack that was left out of the training is found this often, as single sentences, by this line alone:

| kind | found |
|---|---|
{unseen}
"""


if __name__ == "__main__":
    main()
