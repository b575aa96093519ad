"""A person's traces in MLflow: those whose metadata or tags name the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from registry.database import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 100
_NAMED = ("metadata.`mlflow.trace.user`", "tags.user", "tags.`user_id`")
_AT_ONCE = 100


class TraceStore:
    """Traces of a tracking store, as far as it can find and delete them.

    Args:
        tracking_uri: MLflow's tracking store.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri

    @property
    def there(self) -> bool:
        """Whether the store may hold any trace; a local database that has no table of traces does not."""
        if not self._uri.startswith(("sqlite", "postgresql")):
            return True
        url = make_url(self._uri)
        if url.get_backend_name() == "sqlite" and not _exists(url.database):
            return False
        engine = connect(self._uri)
        try:
            with engine.connect().execution_options(evalkit_reading=True) as connection:
                return inspect(connection).has_table("trace_info")
        finally:
            engine.dispose()

    def of_person(self, user: str) -> tuple[dict[str, list[str]], dict[str, int], list[str]]:
        """Experiment to ids of traces, id to the time of the call, and what could not be searched."""
        from mlflow.exceptions import MlflowException

        quoted = _quoted(user)
        if quoted is None:
            return {}, {}, ["MLflow's traces: its filters take no id with both kinds of quotes"]
        found: dict[str, list[str]] = {}
        times: dict[str, int] = {}
        left: list[str] = []
        try:
            client = self._client()
            experiments = [one.experiment_id for one in client.search_experiments()]
            for field in _NAMED if experiments else ():
                self._search(client, experiments, f"{field} = {quoted}", found, times)
        except MlflowException as error:
            left.append(f"MLflow's traces could not be searched: {str(error.message).splitlines()[0][:200]}")
        return found, times, left

    def _search(
        self, client: MlflowClient, experiments: Sequence[str], wanted: str, found: dict[str, list[str]],
        times: dict[str, int],
    ) -> None:  # fmt: skip
        token = None
        while True:
            page = client.search_traces(
                locations=list(experiments), filter_string=wanted, max_results=_PAGE, page_token=token,
                include_spans=False,
            )  # fmt: skip
            for trace in page:
                key = trace.info.trace_id
                if key not in times:
                    found.setdefault(str(trace.info.experiment_id), []).append(key)
                    times[key] = int(trace.info.request_time)
            token = page.token
            if not token:
                return

    def delete(self, traces: Mapping[str, Sequence[str]]) -> tuple[int, list[str]]:
        """Delete traces by experiment; how many, and what could not be deleted."""
        from mlflow.exceptions import MlflowException

        deleted, left = 0, []
        client = self._client()
        for experiment, ids in traces.items():
            for at in range(0, len(ids), _AT_ONCE):
                part = list(ids[at : at + _AT_ONCE])
                try:
                    deleted += int(client.delete_traces(experiment, trace_ids=part))
                except (MlflowException, NotImplementedError) as error:
                    told = str(getattr(error, "message", error)).splitlines() or ["it cannot delete traces"]
                    left.append(f"{len(part)} traces of experiment {experiment} could not be deleted: {told[0][:200]}")
        return deleted, left

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self._uri)


def _exists(path: str | None) -> bool:
    from pathlib import Path

    return path is not None and Path(path).is_file()


def _quoted(user: str) -> str | None:
    """The id as a text in a filter, which knows no escapes."""
    return f"'{user}'" if "'" not in user else f'"{user}"' if '"' not in user else None
