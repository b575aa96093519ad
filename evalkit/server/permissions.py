"""Which requests only read, and which only label: what viewers and labelers may send.

MLflow's own permissions come after this and stay in force. What is not listed here writes: a new route of MLflow is
closed to viewers until it is.
"""

from __future__ import annotations

import re

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

_API = r"/(?:ajax-)?api/\d\.\d/mlflow/"

_READS = re.compile(
    rf"{_API}(?:"
    r"(?:experiments|runs|logged-models|datasets|issues|traces)/search"
    r"|experiments/search-datasets"
    r"|registered-models/get-latest-versions"
    r"|traces/(?:batchGetInfos|calculate-filter-correlation|metrics)"
    r"|artifacts/presigned-download-url"
    r"|prompt-optimization/jobs/search"
    r"|ui-telemetry"
    r")|/graphql"
)
"""Requests of MLflow's that are sent by POST and change nothing."""

_LABELS = re.compile(
    rf"{_API}(?:"
    r"traces/[^/]+/assessments(?:/[^/]+)?"
    r"|review-queues/(?:get-or-create-user|items/set-status)"
    r")"
)
"""Requests of MLflow's that write what a person says about an output."""

_ONESELF = re.compile(rf"{_API}users/update-password|/evalkit/api/v1/tokens(?:/[^/]+)?")
"""Everybody's own affair: MLflow asks for the old password, or for an admin; of tokens there are only one's own."""

OWN = "/evalkit/"


def only_reads(method: str, path: str) -> bool:
    """Whether a request changes nothing."""
    return method in SAFE or (method == "POST" and _READS.fullmatch(path) is not None)


def concerns_oneself(path: str) -> bool:
    """Whether a writing request changes nothing but the sender's own account."""
    return _ONESELF.fullmatch(path) is not None


def only_labels(path: str) -> bool:
    """Whether a writing request of MLflow's writes a label."""
    return _LABELS.fullmatch(path) is not None
