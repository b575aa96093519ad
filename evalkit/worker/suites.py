"""Which suite judges a version that was registered without evalkit.

The version's own where the policy accepts it; else the one that judges the champion, else the newest version of the
model that has one, else one that the policy names. Data are read from where *we* know the suite: beside the file that
a person registered or named in the policy. Only a suite that nobody vouches for is read together with the version's
own files, and then it may not promote by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.worker.formats import needs_files
from judges.yaml_source import MAX_BYTES
from metrics.errors import InputError
from registry.carried import TAG_SUITE_DIGEST, suite_file
from registry.entities import ModelVersion
from registry.paths import confine
from registry.policy import Policy
from registry.store import Registry
from registry.suite import Suite

PLACES = (
    "evalkit/suite.yaml",
    "evalkit_suite.yaml",
    "suite.yaml",
    "artifacts/evalkit_suite.yaml",
    "artifacts/suite.yaml",
    "extra_files/suite.yaml",
)
"""Where a suite may lie among a version's files."""


class NeedsSuiteError(InputError):
    """There is no suite that could judge the version."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The suite that judges a version, with the folder of its data; `brought`: only the version vouches for it."""

    suite: Suite
    brought: bool


def choose_suite(registry: Registry, held: Any, policy: Policy, files: Path) -> Chosen:
    """Choose the suite of a version.

    Args:
        registry: where suites are known.
        held: MLflow's record of the version.
        policy: what rules over the model.
        files: the version's files on this machine; must stay until it was evaluated.

    Raises:
        NeedsSuiteError: there is none, or none whose data are on this machine.
    """
    known = registry.known(held)
    registered = known is not None and registry.registered_from(known) is not None
    own = _own(registry, held, known, files)
    trusted = _trusted(registry, held, policy)
    if own is not None and own.digest not in trusted and not policy.suites:
        if not registered:
            return Chosen(_complete(own), brought=True)
        trusted = [own.digest]  # by whoever registered this version with it
    wanted = [own.digest] if own is not None and own.digest in trusted else trusted
    for digest in wanted:
        found = registry.suite_at_home(digest)
        if found is not None and (found.file is not None or not needs_files(found.spec)):
            return Chosen(found, brought=False)
    if wanted:
        raise NeedsSuiteError(
            "the data of its suite are not on the worker's machine; name the suite there: `evalkit policy set --suite`"
        )
    raise NeedsSuiteError(
        "neither it nor another version of the model has a suite; put suite.yaml among its files, run "
        f"`evalkit register {held.name} --model models:/{held.name}/{held.version} --suite suite.yaml`, or name one in "
        "the policy"
    )


def _trusted(registry: Registry, held: Any, policy: Policy) -> list[str]:
    """Digests of suites that somebody on our side vouches for, the preferred one first."""
    others = [v for v in registry.versions(held.name) if v.version != int(held.version)]
    champion = [v.suite_digest for v in others if policy.aliases[0] in v.aliases]
    former = [v.suite_digest for v in reversed(others) if registry.registered_from(v) is not None]
    if policy.suites:
        ordered = [digest for digest in (*champion, *former) if digest in policy.suites]
        return _unique([*ordered, *policy.suites])
    return champion or former[:1]


def _own(registry: Registry, held: Any, known: ModelVersion | None, files: Path) -> Suite | None:
    if known is not None and registry.registered_from(known) is not None:
        return registry.suite_at_home(known.suite_digest)
    digest = known.suite_digest if known is not None else held.tags.get(TAG_SUITE_DIGEST)
    for place in (*PLACES, f"evalkit/{suite_file(digest)}") if digest else PLACES:
        found = _read(files, place)
        if found is not None and (digest is None or found.digest == digest):
            return found
    if digest is not None:
        raise NeedsSuiteError("the suite that its tag names is not among its files")
    return None


def _read(files: Path, place: str) -> Suite | None:
    path = confine(files, place, "the version")
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise NeedsSuiteError(f"the suite {place} among its files is not UTF-8 text") from None
    return _parse(text, path.parent, place, check_files=False)


def _complete(suite: Suite) -> Suite:
    """A suite that a version brings, whose data must be among the version's files too."""
    return _parse(suite.text, suite.folder, suite.origin, check_files=True)


def _parse(text: str, folder: Path, place: str, *, check_files: bool) -> Suite:
    try:
        return Suite.from_text(text, folder, origin=place, check_files=check_files)
    except InputError as error:
        raise NeedsSuiteError(f"the suite among its files cannot be used: {error}") from None


def _unique(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(items))
