"""Train the learned line of the injection detector, and measure it: the same weights on every run.

    python -m judges.training.injection

The attacks come from a grammar (`judges.training.injection_grammar`), the honest text from the same grammar, from our
own prose (`judges.training.injection_honest_prose`) and from the docstrings of packages in set versions. No output of a
model, no data set and nothing that the tests or benchmarks measure with is read. Writes ``injection.safetensors`` and
its card into ``judges/weights``.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from judges.folding import fold
from judges.injection_concepts import CONCEPTS
from judges.injection_model import SIZE, ConceptModel, Passage, passages, theme_of
from judges.training.injection_grammar import ATTACKS, attacks, honest, honest_paragraphs
from judges.weights import FOLDER, Weights, save_weights
from metrics.base import FloatArray
from metrics.errors import InputError

A_KIND = 1500
A_FEW = 300
HONEST_SENTENCES = 20000
INVERSE_PENALTY = 1.0
FOLDS = 3
HONEST_PARAGRAPHS = 15000
HELD_OUT = 5
"""Paragraphs of docstrings, held out, that reach the threshold: the one number that was chosen after a look at how many
outputs of `alpaca_*` are suspected."""

DOCUMENTED = {"mlflow": "3.17.2", "scikit-learn": "1.9.1", "scipy": "1.17.1", "pandas": "3.0.6"}
"""Packages whose docstrings are honest text, in the versions of `constraints.txt`."""

_ROOTS = {"scikit-learn": "sklearn"}
_N = len(CONCEPTS)
_PAIRS = _N * _N
_NEVER = -3.0
"""Log-odds below which no honest text sets a threshold."""


class Texts(NamedTuple):
    """Passages of texts: what they are made of, the text of each ``[n]``, and whether it is an attack."""

    passages: list[Passage]
    of: NDArray[np.int64]
    attack: bool


def documentation() -> list[str]:
    """Paragraphs of docstrings, each once, in a set order."""
    for name, version in DOCUMENTED.items():
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            there = "none"
        if there != version:
            raise InputError(
                f"the learned line is trained on docstrings of {name} {version}; there is {there}: install that"
            )
    return list(dict.fromkeys(chain.from_iterable(map(_paragraphs, DOCUMENTED))))


def _paragraphs(name: str) -> Iterator[str]:
    listed = metadata.files(name) or ()
    root = _ROOTS.get(name, name)
    for file in sorted(listed, key=str):
        if file.suffix != ".py" or file.parts[0] != root or "test" in str(file):
            continue
        for node in ast.walk(ast.parse(Path(str(file.locate())).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield from (ast.get_docstring(node) or "").split("\n\n")


def digest_of(texts: Iterable[str]) -> str:
    """``sha256:`` of texts in their order."""
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode() + b"\0")
    return f"sha256:{found.hexdigest()}"


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


def fit(parts: Sequence[Texts], threshold: float = 0.0) -> Weights:
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
    facts = {"format": "2", "intercept": repr(float(model.intercept_[0])), "threshold": repr(threshold)}
    return Weights(arrays, facts, digest="")


def threshold_from(held: FloatArray) -> float:
    """Log-odds that `HELD_OUT` of the held-out paragraphs ``[n]`` reach."""
    return float(np.sort(held)[-HELD_OUT])


def held_out(parts: Sequence[Texts], real: Texts, folded: Sequence[str]) -> FloatArray:
    """Highest log-odds ``[texts]`` of any passage that has a theme, from models that saw none of its fold."""
    folds = np.random.default_rng(0).integers(0, FOLDS, len(folded))
    found = np.full(len(folded), -np.inf)
    for fold_number in range(FOLDS):
        model = ConceptModel(fit([_part(real, folds != fold_number), *parts]))
        there = _part(real, folds == fold_number)
        for passage, of in zip(there.passages, there.of, strict=True):
            value = model.log_odds(passage)
            if value > found[of] and theme_of(folded[of], passage) is not None:
                found[of] = value
    return found


def _part(given: Texts, chosen: NDArray[np.bool_]) -> Texts:
    places = np.flatnonzero(chosen[given.of])
    return Texts([given.passages[place] for place in places], given.of[places], given.attack)


class Material(NamedTuple):
    """What is learnt from: paragraphs, honest sentences, attacks by kind, and the digest of all their texts."""

    real: Texts
    plain: Texts
    kinds: Mapping[str, Texts]
    paragraphs: list[str]
    digest: str

    @property
    def parts(self) -> list[Texts]:
        """All of it but the paragraphs."""
        return [self.plain, *self.kinds.values()]


def left_out(given: Material, threshold: float) -> dict[str, float]:
    """Share of each kind's attacks that is found by a model that saw none of the kind."""
    found: dict[str, float] = {}
    for kind in given.kinds:
        others = [texts for other, texts in given.kinds.items() if other != kind]
        model = ConceptModel(fit([given.real, given.plain, *others], threshold))
        texts = [fold(text) for text in attacks(kind, A_FEW)]
        found[kind] = sum(model.find(text) is not None for text in texts) / len(texts)
    return found


def material() -> Material:
    """Make all texts and read their passages."""
    paragraphs = documentation()
    sentences = [*honest(HONEST_SENTENCES), *honest_paragraphs(HONEST_PARAGRAPHS)]
    written = {kind: list(attacks(kind, A_KIND)) for kind in ATTACKS}
    return Material(
        read(paragraphs, attack=False),
        read(sentences, attack=False),
        {kind: read(texts, attack=True) for kind, texts in written.items()},
        paragraphs,
        digest_of(chain(paragraphs, sentences, *written.values())),
    )


def main(folder: Path = FOLDER) -> None:
    """Train, measure with kinds of attacks and honest texts held out, write weights and card."""
    given = material()
    held = held_out(given.parts, given.real, [fold(text) for text in given.paragraphs])
    threshold = threshold_from(held)
    weights = fit([given.real, *given.parts], threshold)
    path = save_weights("injection", weights.arrays, {**weights.facts, "texts": given.digest}, folder)
    unseen = left_out(given, threshold)
    card = _CARD.format(
        size=path.stat().st_size / 1000,
        concepts=_N,
        attacks=A_KIND * len(given.kinds),
        kinds=len(given.kinds),
        honest=HONEST_SENTENCES,
        real=len(given.paragraphs),
        packages=", ".join(f"{name} {version}" for name, version in DOCUMENTED.items()),
        digest=given.digest,
        paragraphs=HONEST_PARAGRAPHS,
        held_out=HELD_OUT,
        threshold=threshold,
        unseen="\n".join(f"| {name} | {value:.0%} |" for name, value in unseen.items()),
    )
    path.with_suffix(".md").write_text(card, encoding="utf-8")
    sys.stdout.write(card)


_CARD = """# Learned line of the injection detector

`injection.safetensors`, {size:.0f} kB, made by `python -m judges.training.injection`: a linear model on {concepts}
concepts of a passage (`judges/injection_concepts.py`), which of them stand near each other and which follow each other.

- **Trained on**: {attacks:,} attacks of {kinds} kinds from our own grammar; {honest:,} honest sentences of our own, and
  {paragraphs:,} paragraphs of four of them; {real:,} paragraphs of docstrings of {packages}.
  No text of them is in the file.
- **Digest of the training text**: `{digest}`.
  A second training gives the same weights.
- **Licence**: Apache-2.0, as the package.
- **Not trained on**: any output of a model, any data set. No honest sentence shares five words in a row with an output
  of `alpaca_*`.
- **Threshold**: {threshold:.2f}, the log-odds that {held_out} of the {real:,} paragraphs of docstrings reach, held out
  (folds of a third each). That they are {held_out} was chosen after a look at how many outputs of
  `alpaca_*` are suspected.

A kind of attack that was left out of the training is found this often, as single sentences, by this line alone:

| kind | found |
|---|---|
{unseen}
"""


if __name__ == "__main__":
    main()
