"""What an erasure has to do, written down before it does anything: a killed one is continued by the same command.

The journal holds ids of rows, counts and windows, never the person's id nor a text; it is removed at the end.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from registry.digests import new_id

FOLDER = "erasures"
KEY_FILE = "erasure.key"


@dataclass(slots=True)
class Journal:
    """One erasure.

    Attributes:
        id: UUIDv7 of the erasure.
        buffered: stream to ids of its records.
        rows: id of a monitor to ids of its raw rows.
        moments: id of a monitor to event times of the person's rows, UTC milliseconds.
        traces: id of an MLflow experiment to ids of traces.
        counts: what was erased, by place.
    """

    id: str = field(default_factory=new_id)
    buffered: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    moments: dict[str, list[int]] = field(default_factory=dict)
    traces: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def merge(self, found: Journal) -> None:
        """Add what a later search has found."""
        for own, new in ((self.buffered, found.buffered), (self.rows, found.rows), (self.traces, found.traces)):
            for key, ids in new.items():
                own[key] = sorted({*own.get(key, ()), *ids})
        for monitor, moments in found.moments.items():
            self.moments[monitor] = sorted({*self.moments.get(monitor, ()), *moments})

    def add(self, counts: dict[str, int]) -> None:
        """Count what was erased."""
        for place, number in counts.items():
            self.counts[place] = self.counts.get(place, 0) + number

    @property
    def trace_ids(self) -> set[str]:
        """Ids of all traces."""
        return {key for ids in self.traces.values() for key in ids}

    @property
    def sample_ids(self) -> set[str]:
        """Ids under which judges may have been asked, or people have labelled."""
        kept = (*self.buffered.values(), *self.rows.values(), *self.traces.values())
        return {key for ids in kept for key in ids}


def subject_of(home: Path, user: str, *, make: bool = True) -> str:
    """The person in receipts: HMAC-SHA256 of the id under the project's own key.

    A plain digest of an e-mail address is found by trying addresses. With the key one can show that a given person
    was erased; once the key is removed nobody can tell whom a receipt is about. Empty where there is no key yet and
    none is to be made.
    """
    if not make and not (home / KEY_FILE).is_file():
        return ""
    key = _key(home / KEY_FILE)
    return "hmac-sha256:" + hmac.new(key, user.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.touch(mode=0o600)
    part.write_bytes(secrets.token_bytes(32))
    try:
        os.link(part, path)  # unlike a replacement, fails where another process was first
    except FileExistsError:
        pass
    finally:
        part.unlink()
    return path.read_bytes()


def journal_file(home: Path, subject: str) -> Path:
    """Where the journal of a person's erasure lies."""
    return home / FOLDER / f"{subject.rpartition(':')[2][:32]}.json"


def read_journal(file: Path) -> Journal | None:
    """The journal of an erasure that did not end; None where there is none."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Journal(**found)


def write_journal(file: Path, journal: Journal) -> None:
    """Write the journal whole, for the eyes of its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.touch(mode=0o600)
    with part.open("w", encoding="utf-8") as stream:
        json.dump(asdict(journal), stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
