"""A monitor that a client sends to a server: the files that go with it, and what it may name there.

A server reads no file, imports no module and opens no variable because a client has named it. Small texts that a
monitor names (its contract, judges, tables of pairs) are sent with it and kept apart, in a folder of the server's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from evalkit.errors import ForbiddenError
from evalkit.monitoring.definition import Definition
from evalkit.reports.contract import Contract
from judges.loading import parse_definition
from judges.yaml_source import MAX_BYTES
from metrics.errors import InputError
from registry.digests import digest, new_id, short
from registry.paths import confine

SOURCES = "EVALKIT_SOURCE_"
"""What the server's variables begin with that hold addresses of databases for monitors of clients."""
MAX_FILES = 50
_TABLES = (".csv", ".jsonl")
_ASKED, _AT_URLS = ("openai", "litellm", "gateway"), ("http", "https", "hf")


def gather(definition: Definition) -> dict[str, str]:
    """The files that a monitor names, by name; what is too large to be sent raises `InputError`."""
    found: dict[str, str] = {}
    size = 0
    for name in _named(definition):
        try:
            path = confine(definition.folder, name, "the monitor's file")
            size += path.stat().st_size
            if size > MAX_BYTES:
                raise InputError(f"{name}: the monitor's files have more than {MAX_BYTES // 1000} kB together")
            found[name] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{name}: not UTF-8 text; only texts are sent to a server") from None
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror})") from None
    return found


def receive(folder: Path, name: str, text: str, files: Mapping[str, str], *, trusted: bool) -> Definition:
    """Check a monitor that was sent, and keep its files.

    Args:
        folder: where its files are kept, as `MonitorStore.sent_folder` says.
        name: that it must have.
        text: of its file.
        files: that came with it, by the name that it calls them.
        trusted: whether an admin has sent it.

    Raises:
        InputError: it names what only the server's own files may name, or lacks one of its own.
        ForbiddenError: only an admin may send this.
    """
    read = Definition.from_text(text, Path("/nonexistent"))
    if read.name != name:
        raise InputError(f"the monitor calls itself '{read.name}', not '{name}'")
    _check_files(read, files)
    _check_named(read)
    models = _models(read, files)
    _check_models(models)
    if not trusted:
        _check_harmless(read, models)
    return Definition.from_text(text, _keep(folder, files), origin=read.origin)


def _named(definition: Definition) -> list[str]:
    """Names of the texts that go with a monitor."""
    contract = definition.spec.contract
    named = [] if contract is None else [contract]
    for check in definition.checks:
        named += [*check.needs.judges, *check.needs.tables]
    return list(dict.fromkeys(named))


def _check_files(definition: Definition, files: Mapping[str, str]) -> None:
    named = _named(definition)
    if len(named) > MAX_FILES:
        raise InputError(f"the monitor names {len(named)} files; at most {MAX_FILES} are sent")
    for name in named:
        if name not in files:
            raise InputError(f"the monitor names the file '{name}', which was not sent: a server reads none of its own")
    for name in files:
        if name not in named:
            raise InputError(f"the monitor names no file '{name}'; only those that it names are sent")
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in files.values()) > MAX_BYTES:
        raise InputError(f"the monitor's files have more than {MAX_BYTES // 1000} kB together")
    contract = definition.spec.contract
    if contract is not None:
        Contract.parse(files[contract], contract)


def _check_named(definition: Definition) -> None:
    """Refuse what nobody but the owner of the server's machine may name."""
    spec = definition.spec
    here = "apply it on the server's machine"
    if spec.source.files is not None:
        raise InputError(
            f"`source: files` are on the server's machine, where no client names any; {here}, or use a stream"
        )
    if spec.source.sql is not None and not spec.source.sql.url.startswith(SOURCES):
        raise InputError(
            f"`sql`: a client names variables that begin with {SOURCES}, not {spec.source.sql.url}; set such a one for "
            f"the server's workers, or {here}"
        )
    for rule in spec.redact:
        if ":" in rule:
            raise InputError(f"`redact: {rule}` is a Python function, which a server runs for no client; {here}")
    if any(destination.allow_private for destination in spec.notify):
        raise InputError(f"`allow_private`: a client names no hosts of the server's own network; {here}")
    for check in definition.checks:
        for variable in check.needs.variables:
            raise InputError(f"`{check.address}` hands the variable {variable} to a model; {here}")
        for folder in check.needs.folders:
            raise InputError(f"`{check.address}` reads {folder}, which cannot be sent; {here}")
        for table in check.needs.tables:
            if not table.endswith(_TABLES):
                raise InputError(f"`{check.address}`: '{table}' cannot be sent; give .csv or .jsonl")


def _models(definition: Definition, files: Mapping[str, str]) -> list[str]:
    """Models that checks and the judges in files ask."""
    found = [model for check in definition.checks for model in check.needs.models]
    judges = {name for check in definition.checks for name in check.needs.judges}
    asked = [parse_definition(files[name], name).model for name in sorted(judges)]
    return found + [model for model in asked if model is not None]


def _check_models(models: list[str]) -> None:
    for model in models:
        if model.partition(":")[0] not in (*_ASKED, *_AT_URLS):
            raise InputError(
                f"'{model[:100]}' lies on the server's machine; a client names openai:/, litellm:/, gateway:/"
            )


def _check_harmless(definition: Definition, models: list[str]) -> None:
    """Refuse what would ask addresses of the sender's choice, or act in another role than an evaluator's."""
    for check in definition.checks:
        if check.needs.watched:
            raise ForbiddenError(f"`{check.address}` asks the watched model or its suite's judge: an admin may send it")
        if check.spec.alert is not None and check.spec.alert.demote:
            raise ForbiddenError(f"`{check.address}` takes an alias away (`demote`): an admin may send it")
    for model in models:
        if "@http" in model or model.partition(":")[0] in _AT_URLS:
            raise ForbiddenError(f"'{model[:100]}' is asked at an address, or fetched: an admin may send it")


def _keep(folder: Path, files: Mapping[str, str]) -> Path:
    """A folder with the files, the same one for the same files; it is there whole or not at all."""
    target = folder / short(digest(dict(files)), 32)
    if target.is_dir():
        return target
    making = target.with_name(f".{new_id()}")
    try:
        making.mkdir(parents=True, mode=0o700)
        for given, text in files.items():
            path = confine(making, given, "the monitor's file")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        making.rename(target)
    except (OSError, UnicodeEncodeError) as error:
        if not target.is_dir():  # else another request has kept the same
            why = getattr(error, "strerror", None) or "a text that is no UTF-8"
            raise InputError(f"the monitor's files cannot be kept under their names ({why})") from None
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target
