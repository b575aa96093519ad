from __future__ import annotations

import math

from evalkit.runner.batches import by_call
from metrics.base import Batch


def test_samples_of_a_call_share_a_cluster_wherever_they_stand() -> None:
    latency = [0.5, 0.25, 0.5, math.nan, 0.25, math.nan, 0.75]
    clusters = by_call(Batch([f"s{i}" for i in range(7)], {"latency": latency})).clusters
    assert clusters is not None
    assert clusters[0] == clusters[2] != clusters[1] == clusters[4]
    assert len({clusters[0], clusters[1], clusters[3], clusters[5], clusters[6]}) == 5  # unknown is not equal
