"""Samples of lm-evaluation-harness: ``samples_<task>_<date>.jsonl`` of ``--log_samples``, or its results with samples.

Agrees with `lm_eval` 0.4. Where a task compares likelihoods, the output is the likeliest continuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.datasets.columns import list_value, text_value
from evalkit.imports.files import ResultsFile
from evalkit.imports.rows import Result, number
from metrics.errors import InputError

NAME = "lm_eval"
_FILE = re.compile(r"^samples_(?P<task>.+?)_\d{4}-\d{2}-\d{2}T[\d.:-]+\.jsonl$")
_OWN = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
    | {"doc_hash", "prompt_hash", "target_hash"}
)


def recognises(file: ResultsFile) -> bool:
    """Whether the file holds samples, or at least results, of lm-evaluation-harness."""
    if file.rows:
        return {"doc_id", "arguments", "filtered_resps"} <= file.rows[0].keys()
    return {"results", "versions", "configs"} <= file.document.keys()


def read(files: Sequence[ResultsFile]) -> tuple[list[Result], list[str]]:
    """Read the samples of all files; raises `InputError` for results that hold averages only."""
    return [_result(sample, task) for file in files for task, sample in _samples(file)], []


def _samples(file: ResultsFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if file.rows:
        match = _FILE.match(file.path.name)
        task = match["task"] if match else file.path.name.removesuffix(".jsonl").removeprefix("samples_")
        yield from ((task, row) for row in file.rows)
        return
    samples = file.document.get("samples")
    if not isinstance(samples, dict):
        raise InputError(
            f"{file.path.name}: holds averages only; run lm_eval with --log_samples and import its samples_*.jsonl"
        )
    for task, rows in samples.items():
        yield from ((str(task), row) for row in rows if isinstance(row, dict))


def _result(sample: Mapping[str, Any], task: str) -> Result:
    requests = _requests(sample.get("arguments"))
    answers = sample.get("filtered_resps")
    answers = answers if isinstance(answers, list) else []
    likelihoods = [_likelihood(answer) for answer in answers]
    choices = [request[1] for request in requests if len(request) > 1 and isinstance(request[1], str)]
    compared = len(choices) == len(answers) > 1 and None not in likelihoods
    output: Any = answers[0] if answers else None
    if compared:
        output = choices[max(range(len(choices)), key=lambda place: likelihoods[place] or 0.0)]
    elif isinstance(output, list):
        output = output[0] if len(output) == 1 else output
    found = Result(
        id=str(sample.get("doc_id")),
        prompt=text_value(requests[0][0]) if requests and requests[0] else None,
        output=text_value(output),
        expected=_expected(sample.get("target"), choices if compared else []),
        variant={"task": task, "filter": str(sample.get("filter", "none"))},
    )
    names = sample.get("metrics")
    named = [str(name) for name in names] if isinstance(names, list) else [key for key in sample if key not in _OWN]
    for name in named:
        value = sample.get(name)
        found.scores[name] = number(value)
        if found.scores[name] is None:
            found.reasons[name] = f"a {type(value).__name__} is no score of one sample"
    return found


def _requests(arguments: Any) -> list[list[Any]]:
    """The arguments of a sample's requests: lists as `lm_eval` has them, or objects as it writes them."""
    if isinstance(arguments, dict):
        arguments = [list(one.values()) if isinstance(one, dict) else one for one in arguments.values()]
    return [one for one in arguments if isinstance(one, list)] if isinstance(arguments, list) else []


def _likelihood(answer: Any) -> float | None:
    """The first of ``[log-likelihood, whether it is the greedy one]``; None for other answers."""
    if isinstance(answer, list) and len(answer) == 2 and str(answer[1]) in {"True", "False"}:
        return number(answer[0])
    return None


def _expected(target: Any, choices: Sequence[str]) -> Sequence[str]:
    """Accepted answers; the number of a choice becomes its text."""
    told = isinstance(target, int) or (isinstance(target, str) and target.isdecimal() and len(target) < 10)
    place = int(target) if told else None
    if place is not None and 0 <= place < len(choices):
        return [choices[place]]
    return list_value(target) or ()
