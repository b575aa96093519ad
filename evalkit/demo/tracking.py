"""A training in MLflow: a run with settings and loss curves, and the model it made as a LoggedModel of that run."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from evalkit.config import Settings
from evalkit.demo.models import Training
from registry.mlflow_link import MlflowLink
from registry.sources import read_local

EXPERIMENT = "evalkit-demo-training"
_KEY = "evalkit.demo.key"


def log_training(settings: Settings, training: Training, folder: Path, *, kind: str, data: str) -> str:
    """Log a training once and return its model's URI, ``models:/m-…``; later calls find what is there.

    Args:
        settings: where MLflow's store is.
        training: what was trained; its key tells whether it is logged already.
        folder: the demo's folder, which the training's path starts from.
        kind: kind of the model, for registration.
        data: name of the training data, for people.
    """
    from mlflow.entities import Metric, Param

    client = MlflowLink(settings.tracking_uri, settings.registry_uri, settings.artifacts).client
    experiment = _experiment(client, settings)
    known = client.search_logged_models([experiment], filter_string=f"tags.`{_KEY}` = '{training.key}'")
    ready = [model for model in known if str(model.status) == "READY"]
    if ready:
        return f"models:/{ready[0].model_id}"
    run = client.create_run(experiment, run_name=training.name, tags={_KEY: training.key, "evalkit.kind": kind})
    now = int(time.time() * 1000)
    points = [Metric(n, value, now, step) for n, curve in training.curves.items() for step, value in curve]
    final = [
        Metric(name, value, now, 0) for name, value in {**training.results, "cpu_seconds": training.seconds}.items()
    ]
    params = [Param(name, str(value)) for name, value in {**training.parameters, "training_data": data}.items()]
    client.log_batch(run.info.run_id, metrics=[*points, *final], params=params)
    model = client.create_logged_model(
        experiment, name=training.name, source_run_id=run.info.run_id, tags={_KEY: training.key}, model_type=kind
    )
    with tempfile.TemporaryDirectory(prefix="evalkit-demo-") as scratch:
        _lay_out(folder / training.path, Path(scratch), kind)
        client.log_model_artifacts(model.model_id, scratch)
    client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run.info.run_id)
    return f"models:/{model.model_id}"


def _lay_out(model: Path, target: Path, kind: str) -> None:
    """Put a model's files where evalkit's flavor expects them, beside the MLmodel that describes how to run it."""
    local = read_local(str(model))
    for place, file in local.files.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / place)
    description: dict[str, Any] = dict(local.mlmodel or {})
    description["flavors"]["evalkit"]["kind"] = kind
    (target / "MLmodel").write_text(yaml.safe_dump(description), encoding="utf-8")


def _experiment(client: Any, settings: Settings) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    local = settings.tracking_uri.startswith("sqlite:")
    location = (settings.artifacts / "training").as_uri() if local else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))
