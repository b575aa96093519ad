"""Results as logs that Inspect's viewer reads: one log a task.

The fields are those of `inspect_ai` 0.3's ``EvalLog``, version 2 (``status``, ``eval``, ``plan``, ``results``,
``stats``, ``samples``). Intervals have no place of their own there: they are metrics beside the number (``value.low``,
``value.high``), and whole estimates are in each metric's metadata. Pictures are left out. An unscored sample has the
score NaN, as Inspect writes it, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalkit.portable.results import Results, outputs_of, sample_values, task_scores
from evalkit.runner.shards import UNREADABLE, ShardFolder
from evalkit.runner.verdicts import FOLDER as VERDICTS
from evalkit.runner.verdicts import read_verdicts
from metrics.base import Scores
from registry.digests import short

FORMAT = 2
Expected = Mapping[str, Mapping[str, Sequence[str]]]


def inspect_logs(results: Results, expected: Expected | None = None) -> Iterator[tuple[str, bytes]]:
    """File names and contents of the logs, one of each task.

    Args:
        results: what is stored.
        expected: accepted answers by task and sample, where the data are at hand.
    """
    when = datetime.fromtimestamp(results.evaluation.started_at / 1000, UTC).strftime("%Y-%m-%dT%H-%M-%S-00-00")
    for task in results.evaluation.details.get("tasks", {}):
        log = _log(results, task, (expected or {}).get(task, {}))
        name = "".join(sign if sign.isalnum() else "-" for sign in task)
        yield f"{when}_{name}_{short(results.evaluation.digest)}.json", _json(log)


def _log(results: Results, task: str, expected: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    evaluation, record = results.evaluation, results.stored.task(task) or {}
    scores = task_scores(results, task)
    first = next(iter(scores.values()), None)
    keys = list(first.sample_ids if first is not None else outputs_of(results, task))
    data = record.get("data") or {}
    started, ended = (_time(at) for at in (evaluation.started_at, evaluation.finished_at or evaluation.started_at))
    told = {
        "evalkit_version": results.version.reference, "suite": results.suite, "evaluation": evaluation.digest,
        "artifact_digest": results.version.artifact_digest, "suite_digest": evaluation.suite_digest,
        "verdict": results.decision.outcome if results.decision is not None else None,
    }  # fmt: skip
    return {
        "version": FORMAT,
        "status": "success",
        "eval": {
            "eval_id": short(evaluation.digest, 22),
            "run_id": evaluation.id,
            "created": started,
            "task": f"{results.suite}/{task}",
            "task_id": short(record.get("outputs", evaluation.digest), 22),
            "task_version": 0,
            "task_attribs": {},
            "task_args": {},
            "dataset": {"name": data.get("name"), "samples": len(keys), "sample_ids": keys, "shuffled": False},
            "model": f"{results.version.name}/{results.version.version}",
            "model_args": {},
            "config": {"epochs": 1},
            "packages": {"evalkit": _own_version()},
            "metadata": told,
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": len(keys),
            "completed_samples": len(keys),
            "scores": list(_scores(results, task, scores)),
        },
        "stats": {"started_at": started, "completed_at": ended, "model_usage": {}},
        "samples": list(_samples(results, task, keys, scores, expected)),
    }


def _scores(results: Results, task: str, scores: Mapping[str, Scores]) -> Iterator[dict[str, Any]]:
    by_metric: dict[str, dict[str, dict[str, Any]]] = {}
    for item in results.evaluation.estimates:
        if item.task != task:
            continue
        whole = item.estimate.to_json()
        found = by_metric.setdefault(item.metric, {})
        for part in ("value", "low", "high"):
            name = item.key if part == "value" else f"{item.key}.{part}"
            label = f"{name} [{item.slice}]" if item.slice else name
            number = whole[part]
            if part != "value" and number is None:
                continue
            more = {"group": item.slice} if item.slice else {}
            found[label] = {"name": name, "value": float("nan") if number is None else number, **more}
            found[label] |= {"params": {}, "metadata": whole} if part == "value" else {"params": {}}
    for metric, values in by_metric.items():
        counted = {}
        if metric in scores:
            known = sum(value is not None for value in sample_values(scores[metric]))
            counted = {"scored_samples": known, "unscored_samples": len(scores[metric]) - known}
        yield {"name": metric, "scorer": metric, "params": {}, **counted, "metrics": values}


def _samples(
    results: Results,
    task: str,
    keys: Sequence[str],
    scores: Mapping[str, Scores],
    expected: Mapping[str, Sequence[str]],
) -> Iterator[dict[str, Any]]:
    outputs = outputs_of(results, task)
    model = f"{results.version.name}/{results.version.version}"
    judged = {
        metric: dict(zip(own.sample_ids, _scored(results, task, metric, own), strict=True))
        for metric, own in scores.items()
    }
    slices = next((own.slices for own in scores.values()), {})
    for place, key in enumerate(keys):
        row = outputs.get(key, {})
        prompt, text = row.get("prompt") or "", row.get("text") or ""
        reply = {"role": "assistant", "content": text, "source": "generate"}
        counts = {name: row.get(f"{name}_tokens") or 0 for name in ("prompt", "output")}
        usage = {
            "input_tokens": counts["prompt"], "output_tokens": counts["output"], "total_tokens": sum(counts.values()),
        }  # fmt: skip
        sample: dict[str, Any] = {
            "id": key,
            "epoch": 1,
            "input": prompt,
            "target": list(expected.get(key, ())),
            "messages": [{"role": "user", "content": prompt}, reply],
            "output": {
                "model": model,
                "choices": [{"message": reply, "stop_reason": "stop"}],
                "completion": text,
                "usage": usage,
                "time": row.get("latency"),
            },
            "scores": {metric: found[key] for metric, found in judged.items() if key in found},
            "metadata": {name: values[place] for name, values in slices.items()},
            "store": {},
            "events": [],
            "model_usage": {},
            "attachments": {},
        }
        if row.get("latency") is not None:
            sample |= {"total_time": row["latency"], "working_time": row["latency"]}
        if row.get("error"):
            sample["error"] = {"message": row["error"], "traceback": "", "traceback_ansi": ""}
        yield sample


def _scored(results: Results, task: str, metric: str, own: Scores) -> Iterator[dict[str, Any]]:
    said = _rationales(results, task, metric)
    for key, value, reason in zip(own.sample_ids, sample_values(own), own.reasons, strict=True):
        score: dict[str, Any] = {"value": float("nan") if value is None else value}
        if reason:
            score["reason"] = reason
        if said.get(key):
            score["explanation"] = said[key]
        yield score


def _rationales(results: Results, task: str, metric: str) -> dict[str, str | None]:
    """What a judge said of each sample; nothing where its verdicts are not stored here."""
    digest = (results.stored.record(task, metric) or {}).get("verdicts")
    if digest is None:
        return {}
    folder = ShardFolder.known(results.stored.home / VERDICTS, digest)
    found: dict[str, str | None] = {}
    for rows in folder.existing("parquet"):
        try:
            found |= {verdict.sample_id: verdict.rationale for verdict in read_verdicts(folder.file(rows, "parquet"))}
        except UNREADABLE:
            continue
    return found


def _json(log: Mapping[str, Any]) -> bytes:
    # Inspect reads and writes NaN as a constant, which strict JSON has not
    return json.dumps(log, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")


def _own_version() -> str:
    try:
        return version("evalkit")
    except PackageNotFoundError:  # run from a checkout
        return "0"
