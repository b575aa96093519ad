"""60 days of simulated traffic: questions that people ask, answered by the demo's own bots.

What is drawn by chance is who asks what and when, how long an answer takes, and what people say about a few answers.
The answers are the bots' own. Each different question is answered once by each bot and looked up after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.demo import docs_bot, documentation
from evalkit.demo.documentation import Entry

if TYPE_CHECKING:
    import pyarrow as pa

DAY_MS = 86_400_000
START = 1_767_571_200_000
"""2026-01-05T00:00Z, a Monday."""
DAYS = 60
EMPTY_DAY = 24
"""The log was lost."""
BROKEN_DAY = 32
"""The log has latency in milliseconds."""
SWAP_DAY = 40
"""From here on the careless bot answers everybody."""
DRIFT_DAY = 50
"""From here on other people ask: more about the network, more about names that do not exist."""
CANARY = 0.05
"""Share of questions that the careless bot answers before that: a canary release."""
WEEKDAY, WEEKEND = 450, 300
LABELS_A_DAY = 20
LABELLED_EVERY = 7
"""People label on Mondays, what was said in the week before."""
MISTAKEN = 0.03
"""Share of labels that are wrong."""

QUESTIONS_OF_A_KIND = 400
KINDS = ("what", "which", "unknown")
_KIND_SHARES = {"usual": (0.60, 0.25, 0.15), "drifted": (0.40, 0.25, 0.35)}
_AREAS = {
    "network": "asyncio cgi email ftplib http imaplib ipaddress mailbox nntplib poplib smtplib socket socketserver ssl "
    "telnetlib urllib webbrowser wsgiref xmlrpc",
    "tools": "ast bdb dis doctest inspect logging pdb pickletools profile pydoc symtable trace traceback unittest",
    "data": "base64 codecs collections configparser csv datetime json pathlib shelve tarfile typing xml zipfile",
}
_AREA_WEIGHTS = {
    "usual": {"network": 1.0, "tools": 1.0, "data": 1.0, "other": 1.0},
    "drifted": {"network": 2.5, "tools": 0.7, "data": 0.7, "other": 0.7},
}
_AREA = {module: area for area, modules in _AREAS.items() for module in modules.split()}
_SLOWNESS = 0.35
"""Standard deviation of the logarithm of latency."""
_SECONDS = {"careful": 0.40, "careless": 0.52}
"""Seconds before the first word: the careless bot reads several documents, the careful one the best."""
_SECONDS_A_TOKEN = 0.004
_USERS = 300
_PARAGRAPHS = "\n\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """What one bot says to every question ``[q]``.

    Attributes:
        texts: as the application shows them.
        wrong: whether a person would say that it hallucinates: the best document does not say it, or what was asked
            about does not exist.
    """

    texts: NDArray[np.object_]
    wrong: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pool:
    """Every question that may be asked ``[q]``, with the best document and both bots' answers."""

    prompts: NDArray[np.object_]
    kinds: NDArray[np.object_]
    areas: NDArray[np.object_]
    contexts: NDArray[np.object_]
    careful: Answers
    careless: Answers


@cache
def pool(seed: int) -> Pool:
    """The questions of a seed, answered; takes seconds."""
    asked = [(kind, row) for kind, rows in docs_bot.questions(seed, QUESTIONS_OF_A_KIND).items() for row in rows]
    prompts = [row["question"] for _, row in asked]
    best = [docs_bot.best_document(prompt) for prompt in prompts]
    kinds = [kind for kind, _ in asked]
    expected = [set(row["answers"]) for _, row in asked]
    return Pool(
        _objects(prompts),
        _objects(kinds),
        _objects([_AREA.get(row["module"], "other") for _, row in asked]),
        _objects([f"{entry.name}: {entry.text.strip().split(_PARAGRAPHS)[0]}" for entry in best]),
        _answers([docs_bot.careful(prompt) for prompt in prompts], best, expected),
        _answers([docs_bot.careless(prompt) for prompt in prompts], best, expected),
    )


def day(seed: int, number: int) -> pa.Table:
    """The log of a day, 1 to `DAYS`; without rows on `EMPTY_DAY`. The same seed gives the same rows.

    Columns: id, time (UTC milliseconds), prompt, output, context, latency (seconds), prompt_tokens, output_tokens,
    user, version, and the slices kind and area.
    """
    import pyarrow as pa

    questions, drawn = pool(seed), _draw(seed, number)
    chance = np.random.default_rng([seed, number, 2])
    at, careless = drawn.questions, drawn.careless
    outputs = np.where(careless, questions.careless.texts[at], questions.careful.texts[at])
    contexts, tokens = questions.contexts[at], _tokens(outputs)
    first_word = np.where(careless, _SECONDS["careless"], _SECONDS["careful"])
    latency = first_word * np.exp(chance.normal(0, _SLOWNESS, len(at))) + _SECONDS_A_TOKEN * tokens
    return pa.table(
        {
            "id": drawn.ids,
            "time": drawn.times,
            "prompt": questions.prompts[at].tolist(),
            "output": outputs.tolist(),
            "context": pa.array([[text] for text in contexts], type=pa.list_(pa.string())),
            "latency": latency * (1000 if number == BROKEN_DAY else 1),
            "prompt_tokens": _tokens(questions.prompts[at]) + _tokens(contexts),
            "output_tokens": tokens,
            "user": [f"user-{who:03}" for who in chance.integers(1, _USERS, len(at), endpoint=True)],
            "version": np.where(careless, "docs-bot/2", "docs-bot/1").tolist(),
            "kind": questions.kinds[at].tolist(),
            "area": questions.areas[at].tolist(),
        }
    )


def number_of(moment: int) -> int:
    """The day, from 1, that holds a moment (UTC milliseconds)."""
    return (moment - START) // DAY_MS + 1


def labels(seed: int, number: int) -> pa.Table:
    """What people said about random rows of a day: id, time, label (1 where it hallucinates) and label_probability.

    They say it later: see `labelled_on`.
    """
    import pyarrow as pa

    questions, drawn = pool(seed), _draw(seed, number)
    chance = np.random.default_rng([seed, number, 3])
    rows = np.sort(chance.choice(len(drawn.ids), min(LABELS_A_DAY, len(drawn.ids)), replace=False))
    at = drawn.questions[rows]
    wrong = np.where(drawn.careless[rows], questions.careless.wrong[at], questions.careful.wrong[at])
    said = wrong ^ (chance.random(len(rows)) < MISTAKEN)
    return pa.table(
        {
            "id": [drawn.ids[row] for row in rows],
            "time": drawn.times[rows],
            "label": said.astype(np.int64),
            "label_probability": np.full(len(rows), len(rows) / max(len(drawn.ids), 1)),
        }
    )


def labelled_on(number: int) -> range:
    """The days whose labels come in on a day."""
    return range(max(1, number - LABELLED_EVERY), number if number % LABELLED_EVERY == 1 else 0)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Who asked what on a day ``[n]``, and which of them the careless bot answered."""

    ids: list[str]
    times: NDArray[np.int64]
    questions: NDArray[np.intp]
    careless: NDArray[np.bool_]


def _draw(seed: int, number: int) -> _Drawn:
    questions = pool(seed)
    chance = np.random.default_rng([seed, number, 1])
    usual = WEEKDAY if (number - 1) % 7 < 5 else WEEKEND
    rows = 0 if number == EMPTY_DAY else int(chance.poisson(usual))
    return _Drawn(
        [f"{number:02}-{row:04}" for row in range(rows)],
        np.sort(chance.integers(0, DAY_MS, rows)) + START + (number - 1) * DAY_MS,
        chance.choice(len(questions.prompts), rows, p=_shares(questions, number)),
        np.ones(rows, dtype=bool) if number >= SWAP_DAY else chance.random(rows) < CANARY,
    )


def _shares(questions: Pool, number: int) -> NDArray[np.float64]:
    """The chance of each question to be the next one ``[q]``."""
    mix = "drifted" if number >= DRIFT_DAY else "usual"
    shares = np.array([_AREA_WEIGHTS[mix][area] for area in questions.areas])
    for kind, share in zip(KINDS, _KIND_SHARES[mix], strict=True):
        own = questions.kinds == kind
        shares[own] *= share / shares[own].sum()
    return shares


def _answers(texts: list[str], best: list[Entry], expected: list[set[str]]) -> Answers:
    """Answers as shown, and whether each says something that the best document does not."""
    about = {entry.name: entry for entry in documentation.entries()}
    wrong = [
        text != docs_bot.UNKNOWN and (text not in {entry.name, entry.summary} or docs_bot.UNKNOWN in right)
        for text, entry, right in zip(texts, best, expected, strict=True)
    ]
    # The application shows the first sentence of what the bot names
    shown = [f"{text}: {about[text].summary}" if text in about else text for text in texts]
    return Answers(_objects(shown), np.array(wrong))


def _tokens(texts: NDArray[np.object_]) -> NDArray[np.int64]:
    """About four characters each."""
    return np.array([len(text) // 4 + 1 for text in texts], dtype=np.int64)


def _objects(values: list[str]) -> NDArray[np.object_]:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
