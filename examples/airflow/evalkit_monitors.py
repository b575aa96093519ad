"""A DAG for Airflow 2.4 and later that runs the monitors of an evalkit project once an hour.

Put the file into Airflow's folder of DAGs, install evalkit where its tasks run, and set two variables of Airflow:
`evalkit_project` is the project's folder, `evalkit_monitors` a list of monitors as JSON, such as ["prod", "shop"].
Each monitor is a task of its own: it fails, and is tried again, by itself. A run reads what is new and computes what is
due, so a run that was missed or is repeated loses and doubles nothing; that is why there is no catch-up.

Take this or `evalkit worker`: either runs the monitors, and both together would only wait for each other.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

from airflow import DAG
from airflow.models import Variable
from airflow.operators.bash import BashOperator

with DAG(
    dag_id="evalkit_monitors",
    description="Windows of what models say in production",
    schedule="10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["evalkit"],
) as dag:
    project = Variable.get("evalkit_project")
    for name in Variable.get("evalkit_monitors", deserialize_json=True):
        BashOperator(
            task_id=f"run_{name}",
            bash_command=f"evalkit run-due --monitor {shlex.quote(name)}",
            cwd=project,
            append_env=True,
            execution_timeout=timedelta(hours=1),
        )
