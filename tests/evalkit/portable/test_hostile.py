"""What was changed, on the way or on purpose, is refused by name, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.bundles.unpack import Limits, TooLargeError
from evalkit.portable.manifest import AUDIT, DECISIONS, MANIFEST, canonical, exact, read_manifest, sealed
from evalkit.portable.restore import restore
from evalkit.session import Session
from metrics.errors import InputError
from registry.audit import GENESIS
from registry.digests import digest

from .conftest import Origin, members_of, rows_of, write_members


def resealed(members: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """Members whose manifest names their digests: what somebody would send who knows how archives are made."""
    manifest = json.loads(members[MANIFEST])
    manifest.pop("digest")
    files = {n: f"sha256:{hashlib.sha256(d).hexdigest()}" for n, d in members.items() if n != MANIFEST}
    told = sealed({**manifest, "files": files, **changes})
    return {**members, MANIFEST: canonical(told.model_dump(mode="json"))}


def test_one_flipped_byte_in_any_member_is_refused_by_name(origin: Origin, elsewhere: Session, tmp_path: Path) -> None:
    before = rows_of(elsewhere)
    whole = origin.archive.read_bytes()
    members = members_of(origin.archive)
    with zipfile.ZipFile(origin.archive) as archive:
        places = {info.filename: info.header_offset + 30 + len(info.filename) for info in archive.infolist()}
    for name, start in places.items():
        for at in (0, len(members[name]) // 2, len(members[name]) - 1):
            flipped = bytearray(whole)
            flipped[start + at] ^= 1
            path = tmp_path / "flipped.zip"
            path.write_bytes(flipped)
            with pytest.raises(InputError, match=name.rpartition("/")[2]):
                restore(elsewhere, path)
            honest = bytearray(members[name])
            honest[at] ^= 1
            with pytest.raises(InputError) as caught:
                restore(elsewhere, write_members(path, {**members, name: bytes(honest)}))
            assert name in str(caught.value), "the zip's own checksum is not what finds it"
    assert rows_of(elsewhere) == before
    assert not list((elsewhere.settings.home / "submitted").glob("*"))


def _numbers_changed(members: dict[str, bytes]) -> dict[str, bytes]:
    (name,) = (n for n in members if n.startswith("evaluations/"))
    record = json.loads(members[name])
    record["estimates"][0]["estimate"]["value"] = 0.999
    return resealed({**members, name: exact(record)})


def _decision_changed(members: dict[str, bytes]) -> dict[str, bytes]:
    rows = json.loads(members[DECISIONS])
    rows[0]["record"]["rules"][0]["reason"] = "because I say so"
    return resealed({**members, DECISIONS: exact(rows)})


def _decision_slipped_in(members: dict[str, bytes]) -> dict[str, bytes]:
    rows = json.loads(members[DECISIONS])
    key = rows[0]["id"][:-1] + ("0" if rows[0]["id"][-1] != "0" else "1")
    made = {**rows[0], "id": key, "record": {**rows[0]["record"], "id": key}}
    return resealed({**members, DECISIONS: exact([*rows, made])})


def _entry_changed(members: dict[str, bytes]) -> dict[str, bytes]:
    lines = [json.loads(line) for line in members[AUDIT].splitlines()]
    lines[1]["actor"] = "somebody else"
    return resealed({**members, AUDIT: b"".join(canonical(line) + b"\n" for line in lines)})


def _entry_replaced(members: dict[str, bytes]) -> dict[str, bytes]:
    """With a hash that is right for the entry, but not for the one after."""
    lines = [json.loads(line) for line in members[AUDIT].splitlines()]
    told = {**lines[1], "actor": "somebody else"}
    told.pop("hash")
    lines[1] = {**told, "hash": digest(told)}
    return resealed({**members, AUDIT: b"".join(canonical(line) + b"\n" for line in lines)})


def _entry_left_out(members: dict[str, bytes]) -> dict[str, bytes]:
    lines = members[AUDIT].splitlines(keepends=True)
    return resealed({**members, AUDIT: b"".join(lines[:1] + lines[2:])})


def _other_head(members: dict[str, bytes]) -> dict[str, bytes]:
    told = json.loads(members[MANIFEST])["audit"]
    return resealed(members, audit={**told, "head": GENESIS})


def _suite_changed(members: dict[str, bytes]) -> dict[str, bytes]:
    (name,) = (n for n in members if n.startswith("suites/"))
    return resealed({**members, name: members[name].replace(b"0.5", b"0.1")})


def _scores_gone(members: dict[str, bytes]) -> dict[str, bytes]:
    gone = next(n for n in sorted(members) if "/scores/" in n)
    return resealed({n: d for n, d in members.items() if n != gone})


def _newer(members: dict[str, bytes]) -> dict[str, bytes]:
    told = json.loads(members[MANIFEST])
    return {**members, MANIFEST: canonical({**told, "schema_version": 2})}


_CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], str]] = {
    "numbers": (_numbers_changed, "is not what its scores give"),
    "decision": (_decision_changed, "not as the archive's audit tells"),
    "decision slipped in": (_decision_slipped_in, "in no entry"),
    "audit entry": (_entry_changed, "entry 3 was changed"),
    "audit entry with its hash": (_entry_replaced, "entry 4 does not follow"),
    "audit entry left out": (_entry_left_out, "exactly the entries"),
    "end of the audit": (_other_head, "does not end with"),
    "suite": (_suite_changed, "another suite than its name says"),
    "scores": (_scores_gone, "cannot be read|are missing"),
    "newer schema": (_newer, "schema version 2"),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_with_all_digests_made_anew_is_found(
    origin: Origin, elsewhere: Session, tmp_path: Path, change: str
) -> None:
    make, expected = _CHANGES[change]
    before = rows_of(elsewhere)
    path = write_members(tmp_path / "changed.zip", make(members_of(origin.archive)))
    with pytest.raises(InputError, match=expected) as caught:
        restore(elsewhere, path)
    assert "\n" not in str(caught.value)
    assert rows_of(elsewhere) == before


@pytest.mark.parametrize(
    "name", ["../out.txt", "/etc/out", "files/../../out", "suites/a.yaml", "model.pkl", "files\\..\\x", MANIFEST]
)
def test_a_member_of_any_other_name_is_refused(origin: Origin, elsewhere: Session, tmp_path: Path, name: str) -> None:
    path = tmp_path / "strange.zip"
    path.write_bytes(origin.archive.read_bytes())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns() if name == MANIFEST else _nothing():
        archive.writestr(name, "x")
    with pytest.raises(InputError, match=r"no part of an evaluation|twice"):
        restore(elsewhere, path)
    assert not (elsewhere.settings.home / "submitted").exists()


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_links_bombs_and_files_that_are_none_are_refused(origin: Origin, elsewhere: Session, tmp_path: Path) -> None:
    members = members_of(origin.archive)
    score = next(name for name in members if "/scores/" in name)
    path = tmp_path / "x.zip"

    def refused(expected: str, limits: Limits | None = None) -> None:
        with pytest.raises(InputError, match=expected):
            restore(elsewhere, path, **({"limits": limits} if limits else {}))

    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo(score)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    refused("not a plain file")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(score, b"0" * 2**24)
    refused("times its size")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    refused("is compressed")
    write_members(path, members)
    refused("more than 0 MiB", Limits(unpacked=1000))
    with pytest.raises(TooLargeError, match="at most 3"):
        restore(elsewhere, path, limits=Limits(files=3))
    path.write_bytes(b"no zip at all")
    refused("damaged or no archive")
    path.write_bytes(origin.archive.read_bytes()[:100])
    refused("damaged or no archive")
    path.unlink()
    refused("there is no file")
    with pytest.raises(InputError, match="cannot be a model's name"):
        restore(elsewhere, origin.archive, name="a/b")


def test_other_numbers_under_a_known_key_are_refused(origin: Origin, elsewhere: Session) -> None:
    from sqlalchemy import create_engine, text

    restore(elsewhere, origin.archive)
    engine = create_engine(elsewhere.settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE evalkit_estimates SET record = replace(record, '\"n\": 40', '\"n\": 41')"))
    before = rows_of(elsewhere)
    with pytest.raises(InputError, match="is here already with other numbers"):
        restore(elsewhere, origin.archive)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM evalkit_estimates"))
        connection.execute(text("DELETE FROM evalkit_decisions"))
        connection.execute(text("UPDATE evalkit_evaluations SET id = 'made-here'"))
    engine.dispose()
    with pytest.raises(InputError, match="made the same evaluation itself"):
        restore(elsewhere, origin.archive)
    assert before


def test_a_manifest_is_read_to_the_byte(origin: Origin) -> None:
    data = members_of(origin.archive)[MANIFEST]
    assert read_manifest(data).digest == origin.exported.manifest.digest
    for changed in (data + b" ", data.replace(b'"kind"', b' "kind"', 1), b"[]", b"{}", b"nonsense"):
        with pytest.raises(InputError, match=r"manifest\.json"):
            read_manifest(changed)


def test_what_fails_while_storing_is_not_laid_to_the_archive(
    origin: Origin, elsewhere: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the chain went on")

    monkeypatch.setattr("evalkit.portable.restore._store", fails)
    with pytest.raises(RuntimeError, match="the chain went on"):
        restore(elsewhere, origin.archive)
