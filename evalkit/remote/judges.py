"""What a server keeps of judges: verdicts, calibrations, scores and costs. What is in files stays on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.judging.asking import Asked
from evalkit.judging.ledger import Part, Total
from evalkit.remote.client import Client, version_path
from judges.base import Usage
from judges.calibration import JudgeReport
from judges.recorded import verdict_from_json
from metrics.errors import InputError
from registry.mlflow_link import parse_reference

_PAGE = 1000


def costs(parts: Sequence[Part], since: int) -> list[Total]:
    """What the replies in the server's ledger cost, by groups, from a moment on (UTC milliseconds)."""
    found = Client.from_environment().items("/costs", by=",".join(parts), since=since, limit=_PAGE)
    return [
        Total(
            item["group"], item["requests"], item["prompt_tokens"], item["output_tokens"], item["cost"],
            item["unpriced"], item["seconds"],
        )
        for item in found
    ]  # fmt: skip


def stored_verdicts(reference: str, metric: str) -> Asked:
    """The verdicts behind a judged score of a version."""
    client, path = Client.from_environment(), f"{version_path(reference)}/verdicts"
    about = client.get(path, metric=metric, limit=1)
    verdicts = tuple(verdict_from_json(item) for item in client.items(path, metric=metric, limit=_PAGE))
    return Asked(about["judge"], about["judge_version"], verdicts, Usage())


def keep(report: JudgeReport, labels: str) -> str:
    """Store a calibration; return its id. `labels` is the digest of the labels."""
    body = {"report": report.to_json(), "labels_digest": labels}
    return str(Client.from_environment().send("POST", "/calibrations", body)["id"])


def version_scores(versions: Sequence[str], metric: str) -> dict[str, dict[str, float]]:
    """Scores by version and sample id, higher is better; NaN where a sample is unscored."""
    names = {_name(reference): reference for reference in versions}
    found: dict[str, dict[str, float]] = {reference: {} for reference in names.values()}
    query = {"versions": ",".join(names), "metric": metric, "limit": _PAGE}
    for item in Client.from_environment().items("/comparisons/scores", **query):
        for name, score in item["scores"].items():
            if name not in names:
                raise InputError("the server's answer names other versions; is it older than this evalkit?")
            found[names[name]][item["sample_id"]] = float("nan") if score is None else float(score)
    return found


def _name(reference: str) -> str:
    name, number, alias = parse_reference(reference)
    return f"{name}/{number}" if alias is None else f"{name}@{alias}"
