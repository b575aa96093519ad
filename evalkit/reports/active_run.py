"""Puts estimates into the MLflow run that the caller has open."""

from __future__ import annotations

from evalkit.reports.mlflow_log import metric_values
from registry.entities import Evaluation
from registry.suite import Suite


def log_to_active_run(suite: Suite, evaluation: Evaluation) -> str | None:
    """Log estimates with their bounds, and the suite, to the active MLflow run; None where no run is active."""
    import mlflow

    run = mlflow.active_run()
    if run is None:
        return None
    mlflow.log_metrics(metric_values(evaluation))
    mlflow.set_tags({"evalkit.suite": suite.name, "evalkit.suite_digest": suite.digest})
    mlflow.log_text(suite.text, "suite.yaml")
    return str(run.info.run_id)
