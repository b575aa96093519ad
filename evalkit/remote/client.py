"""The thin client of the REST API: requests, pages, errors in one line, records as the registry hands them out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from evalkit.remote import SERVER, TOKEN, server_url
from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import Decision, Evaluation, ModelVersion, Promotion, StoredEstimate
from registry.gate.serialise import from_json
from registry.mlflow_link import PromotionRefusedError, parse_reference

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
PREFIX = "/evalkit/api/v1"
_SECONDS = (10, 120)
"""For the connection, and for the next bytes of an answer: a gate may compute for a while."""
_FILE_SECONDS = (10, 1800)
_BLOCK = 2**20


class DeniedError(InputError):
    """The server knows who asks, and does not let them."""

    exit_code = 1  # refused is not a usage error


class NotThereError(InputError):
    """The server has no such thing."""


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """A version as the server has it, with what `registry.entities.ModelVersion` does not say."""

    version: ModelVersion
    registered_at: int
    author: str | None
    outcome: str | None


class Client:
    """A server and the login for it.

    Args:
        url: the server's address, without a path of the API.
        token: sent as a bearer token; without one, MLflow's ``MLFLOW_TRACKING_USERNAME`` and password are.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
            raise InputError(
                f"{SERVER}={parts.scheme}://{parts.hostname or ''}: expected http://host:port or https://…, without a "
                f"name or password; put a token into {TOKEN}"
            )
        self.url, self._token = url.rstrip("/"), token

    @classmethod
    def from_environment(cls) -> Client:
        """The server that the environment names; its token is handed to MLflow's own client too."""
        url = server_url()
        if url is None:
            raise InputError(f"no server is named; set {SERVER}=http://host:port")
        token = os.environ.get(TOKEN) or None
        client = cls(url, token)
        if token is not None:
            os.environ["MLFLOW_TRACKING_TOKEN"] = token
        return client

    # Requests

    def get(self, path: str, **query: Any) -> Any:
        """The JSON behind a path."""
        return self._send("GET", path, params={key: value for key, value in query.items() if value is not None})

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """The items of all pages."""
        cursor = None
        while True:
            found = self.get(path, **query, cursor=cursor)
            yield from _field(found, "items")
            cursor = found.get("next")
            if cursor is None:
                return

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Send JSON, return JSON."""
        more: dict[str, Any] = {} if body is None else {"json": body}
        return self._send(method, path, params=query, **more)

    def upload(self, path: str, file: Path, **query: Any) -> Any:
        """Send a file."""
        with file.open("rb") as stream:
            headers = {"Content-Type": "application/zip", "Content-Length": str(file.stat().st_size)}
            given = {key: value for key, value in query.items() if value is not None}
            return self._send("POST", path, params=given, data=stream, headers=headers, timeout=_FILE_SECONDS)

    def download(self, path: str, out: IO[bytes], *, media: str, most: int, **query: Any) -> Mapping[str, str]:
        """Write the file of this content type behind a path, at most so many bytes; return the answer's headers."""
        import requests

        answer = self._ask("GET", path, params=query, headers={"Accept": "*/*"}, timeout=_FILE_SECONDS, stream=True)
        with answer:
            headers: Mapping[str, str] = answer.headers
            if not answer.ok:
                self._read(answer)
            if headers.get("content-type") != media:
                raise self._strange(answer)
            written = 0
            try:
                for block in answer.iter_content(_BLOCK):
                    written += len(block)
                    if written > most:
                        raise InputError(f"the server {self.url} sends more than {most // _BLOCK} MiB; nothing is kept")
                    out.write(block)
            except requests.RequestException as error:
                raise InputError(f"the server {self.url} broke off ({_cause(error)}); try again") from None
            return headers

    def _send(self, method: str, path: str, **more: Any) -> Any:
        return self._read(self._ask(method, path, **more))

    def _ask(self, method: str, path: str, **more: Any) -> requests.Response:
        import requests

        headers = {"Accept": "application/json", **more.pop("headers", {})}
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        auth: Any = None
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
            auth = _no_netrc
        elif user:
            auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        try:
            return requests.request(
                method, f"{self.url}{PREFIX}{path}", headers=headers, auth=auth,
                timeout=more.pop("timeout", _SECONDS), allow_redirects=False, **more,
            )  # fmt: skip
        except requests.Timeout:
            raise InputError(f"the server {self.url} did not answer in time; try again") from None
        except requests.RequestException as error:
            raise InputError(f"the server {self.url} cannot be reached ({_cause(error)}); is {SERVER} right?") from None

    def _read(self, answer: requests.Response) -> Any:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.ok and content is not None:
            return content
        told = content if isinstance(content, dict) and isinstance(content.get("message"), str) else None
        if answer.status_code == 401:
            raise DeniedError(f"{self.url} needs a login; put a token into {TOKEN}")
        if told is None or "error" not in told:
            raise self._strange(answer)
        if told["error"] == "refused":
            raise PromotionRefusedError(told["message"])
        kinds = {403: DeniedError, 404: NotThereError}
        raise kinds.get(answer.status_code, InputError)(told["message"])

    def _strange(self, answer: requests.Response) -> InputError:
        return InputError(
            f"{self.url} answered {answer.status_code} where evalkit's API was expected; is it `evalkit server`, "
            "and not older than this evalkit?"
        )

    # Records

    def version(self, reference: str) -> RemoteVersion:
        """The version behind ``models:/name/2`` or ``models:/name@alias``."""
        return remote_version(self.get(version_path(reference)))

    def versions(self, name: str) -> list[RemoteVersion]:
        """Versions of a model, oldest first."""
        return [remote_version(item) for item in self.items(f"/models/{quoted(name)}/versions")]

    def suite_text(self, digest: str) -> str:
        """Text of a suite."""
        return str(_field(self.get(f"/suites/{digest}"), "text"))

    def evaluations(self, version: ModelVersion) -> list[Evaluation]:
        """Evaluations of a version, newest first, without their estimates."""
        return [evaluation(item) for item in self.items(f"{version_path(version.reference)}/evaluations")]

    def with_estimates(self, found: Evaluation) -> Evaluation:
        """An evaluation with its estimates."""
        return evaluation(self.get(f"/evaluations/{found.id}"), self.items(f"/evaluations/{found.id}/estimates"))

    def decisions(self, version: ModelVersion) -> list[Decision]:
        """Decisions on a version, newest first."""
        return [decision(item) for item in self.items(f"{version_path(version.reference)}/decisions")]


def version_path(reference: str) -> str:
    """Path of a version in the API."""
    name, number, alias = parse_reference(reference)
    return f"/models/{quoted(name)}/versions/{number if alias is None else f'@{quoted(alias)}'}"


def quoted(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def remote_version(data: Mapping[str, Any]) -> RemoteVersion:
    """A version from the API's JSON."""
    own = {item.name: _field(data, item.name) for item in fields(ModelVersion)}
    own |= {"training_data": tuple(own["training_data"]), "aliases": tuple(own["aliases"])}
    return RemoteVersion(ModelVersion(**own), _field(data, "registered_at"), data.get("author"), data.get("outcome"))


def evaluation(data: Mapping[str, Any], estimates: Iterator[Any] | None = None) -> Evaluation:
    """An evaluation from the API's JSON, with estimates where they are given."""
    own = {item.name: _field(data, item.name) for item in fields(Evaluation) if item.name != "estimates"}
    own["warnings"] = tuple(own["warnings"])
    found = tuple(
        StoredEstimate(
            item["task"], item["metric"], item["key"], item["slice"], Estimate.from_json(item["estimate"]),
            item["scores_digest"],
        )
        for item in estimates or ()
    )  # fmt: skip
    return Evaluation(estimates=found, **own)


def decision(data: Mapping[str, Any]) -> Decision:
    """A decision from the API's JSON."""
    return from_json(data)


def promotion(data: Mapping[str, Any]) -> Promotion:
    """A promotion from the API's JSON."""
    return Promotion(**{item.name: _field(data, item.name) for item in fields(Promotion)})


def made(kind: type[T], data: Mapping[str, Any]) -> T:
    """A record whose fields are all in the API's JSON."""
    return kind(**{item.name: _field(data, item.name) for item in fields(kind)})  # type: ignore[arg-type]


def _field(data: Any, name: str) -> Any:
    if not isinstance(data, Mapping) or name not in data:
        raise InputError(f"the server's answer lacks '{name}'; is it older than this evalkit?")
    return data[name]


def _no_netrc(request: Any) -> Any:
    return request  # `requests` would put a name and password from ~/.netrc in place of the token


def _cause(error: Exception) -> str:
    inner: Any = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    text = str(reason)
    return (text.rsplit(": ", 1)[-1] if ": " in text else text)[:200]
