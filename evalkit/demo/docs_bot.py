"""A bot that answers questions about the standard library from its docstrings, in a careful and a careless version.

Both retrieve with the same TF-IDF index. The careful one answers from the best document and says that it does
not know where that document does not cover the question. The careless one has the two bugs that such bots
commonly have: it takes any of the retrieved documents, not the best, and it always has an answer.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.demo import documentation
from evalkit.demo.documentation import Entry

UNKNOWN = "I don't know: the documentation does not say."
RETRIEVED = 10
CARELESS_AMONG = 3
COVERED = 0.7
"""Share of a question's information (sum of inverse document frequencies) that a document must cover."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]|\d+")
_ASKS_WHAT = re.compile(r"^What does `(?P<name>[\w.]+)` do\?$")
_ASKS_WHICH = re.compile(r"^Which function, method or class is described so: (?P<words>.+)$")


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved document and the share of the question's information in it, 0 to 1."""

    entry: Entry
    covered: float


class Index:
    """TF-IDF over names and first paragraphs; words are split at underscores and capitals."""

    def __init__(self, documents: tuple[Entry, ...]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.documents = documents
        self._vectorizer = TfidfVectorizer(tokenizer=words, token_pattern=None, lowercase=False, sublinear_tf=True)
        self._matrix = self._vectorizer.fit_transform(_indexed(entry) for entry in documents)
        self._rarity = dict(zip(self._vectorizer.get_feature_names_out(), self._vectorizer.idf_, strict=True))
        self._unseen = float(self._vectorizer.idf_.max())

    def search(self, question: str) -> list[Hit]:
        """The best documents, best first; equal ones in the order of their names."""
        scores = (self._matrix @ self._vectorizer.transform([question]).T).toarray()[:, 0]
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        return [Hit(self.documents[place], self._covered(question, self.documents[place])) for place in best]

    def _covered(self, question: str, entry: Entry) -> float:
        asked = set(words(question))
        there = asked & set(words(_indexed(entry)))
        total = sum(self._rarity.get(word, self._unseen) for word in asked)
        return sum(self._rarity.get(word, self._unseen) for word in there) / total if total else 0.0


def words(text: str) -> list[str]:
    """Lower-case words: ``findLongest_match`` is find, longest, match."""
    return [word.lower() for word in _WORD.findall(text)]


def careful(prompt: str) -> str:
    """Answer from the best document, or say that the documentation does not say."""
    hits = _index().search(_subject(prompt))
    asked = _ASKS_WHAT.match(prompt)
    if asked:
        hits = [hit for hit in hits if hit.entry.name == asked["name"]]
    if not hits or hits[0].covered < COVERED:
        return UNKNOWN
    return _answer(prompt, hits[0].entry)


def best_document(prompt: str) -> Entry:
    """The document that the careful bot would answer from: the one asked about where it was found, else the best."""
    hits = _index().search(_subject(prompt))
    asked = _ASKS_WHAT.match(prompt)
    named = [hit for hit in hits if asked and hit.entry.name == asked["name"]]
    return (named or hits)[0].entry


def careless(prompt: str) -> str:
    """Answer from any of the retrieved documents, whatever they cover."""
    hits = _index().search(_subject(prompt))[:CARELESS_AMONG]
    place = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") % len(hits)
    return _answer(prompt, hits[place].entry)


def questions(seed: int, count: int = 400) -> dict[str, list[dict[str, Any]]]:
    """Questions with answers that follow from the docs: ``what``, ``which`` and ``unknown``, `count` of each.

    ``what`` asks for the first sentence of a named entry, ``which`` for the name, given four fifths of the
    words of that sentence without those of the name; ``unknown`` asks about names that do not exist.
    """
    chance = documentation.chance("questions", seed)
    candidates = answerable()
    known = {entry.name for entry in documentation.entries()}
    what = chance.sample(candidates, count)
    asked: dict[str, list[dict[str, Any]]] = {
        "what": [_row(f"What does `{e.name}` do?", [e.summary], e.module) for e in what],
        "which": [],
        "unknown": [],
    }
    for entry in chance.sample(candidates, len(candidates)):
        described = _description(entry, chance)
        if described and len(asked["which"]) < count:
            question = f"Which function, method or class is described so: {described}"
            asked["which"].append(_row(question, [entry.name], entry.module))
    last_parts = sorted({entry.name.rpartition(".")[2] for entry in candidates})
    while len(asked["unknown"]) < count:
        entry = chance.choice(candidates)
        name = f"{entry.name.rpartition('.')[0]}.{chance.choice(last_parts)}_{chance.choice(last_parts)}"
        if name not in known:
            known.add(name)
            asked["unknown"].append(_row(f"What does `{name}` do?", [UNKNOWN], entry.module))
    return asked


def write(folder: Path, seed: int, count: int = 400) -> dict[str, Path]:
    """Write each kind of question as JSONL (id, question, answers, module) and the card."""
    from registry.digests import file_digest

    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    splits: dict[str, dict[str, str | int]] = {}
    for kind, rows in questions(seed, count).items():
        files[kind] = folder / f"questions-{kind}.jsonl"
        lines = (json.dumps({"id": f"{kind}-{place:04d}", **row}) for place, row in enumerate(rows))
        files[kind].write_text("\n".join(lines) + "\n", encoding="utf-8")
        splits[kind] = {"file": files[kind].name, "rows": len(rows), "digest": file_digest(files[kind])}
    card = {
        "name": "stdlib-questions",
        "licence": documentation.LICENCE,
        "source": documentation.SOURCE,
        "labels": {},
        "seed": seed,
        "splits": splits,
    }
    (folder / "questions.card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return files


@cache
def answerable() -> tuple[Entry, ...]:
    """Entries with a first sentence of their own, long enough to be recognised and short enough to be said."""
    shared = Counter(entry.summary for entry in documentation.entries())
    return tuple(
        entry
        for entry in documentation.entries()
        if entry.kind != "module" and shared[entry.summary] == 1 and 30 <= len(entry.summary) <= 200
    )


@cache
def _index() -> Index:
    return Index(tuple(entry for entry in documentation.entries() if entry.kind != "module"))


def _indexed(entry: Entry) -> str:
    return f"{entry.name} {entry.summary}"


def _subject(prompt: str) -> str:
    """The part of a question that says what it is about."""
    match = _ASKS_WHAT.match(prompt) or _ASKS_WHICH.match(prompt)
    return match[1] if match else prompt


def _answer(prompt: str, entry: Entry) -> str:
    return entry.name if _ASKS_WHICH.match(prompt) else entry.summary


def _row(question: str, answers: list[str], module: str) -> dict[str, Any]:
    return {"question": question, "answers": answers, "module": module}


def _description(entry: Entry, chance: random.Random) -> str:
    """Most words of the first sentence, none of them from the name; empty where too few are left."""
    named = set(words(entry.name))
    left = [word for word in entry.summary.split() if not named & set(words(word))]
    kept = [word for word in left if chance.random() < 0.8]
    return " ".join(kept) if len(kept) >= 5 else ""
