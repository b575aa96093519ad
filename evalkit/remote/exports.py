"""A version's results and its archive, as a server hands them out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from evalkit.bundles.unpack import Limits
from evalkit.portable.export import Exported, check_new, whole_file
from evalkit.portable.formats import SENT, Format, unpacked_logs
from evalkit.portable.restore import LIMITS, opened
from evalkit.remote.client import Client, version_path
from metrics.errors import InputError
from registry.current import IMPORTED
from registry.entities import Evaluation, ModelVersion


def results(version: str, form: Format, *, samples: bool, preset: str | None) -> tuple[ModelVersion, dict[str, bytes]]:
    """The version, and its results by file; that of a format with one file has no name."""
    client = Client.from_environment()
    found = client.version(version).version
    chosen = _evaluation(client, found, preset)
    out = io.BytesIO()
    client.download(
        f"/evaluations/{chosen.id}/results", out, media=SENT[form].media, most=Limits().packed,
        format=form, samples=str(samples).lower(),
    )  # fmt: skip
    return found, unpacked_logs(out.getvalue()) if form == "inspect" else {"": out.getvalue()}


def export(version: str, target: Path, *, outputs: bool, withhold: bool) -> Exported:
    """Write the archive of a version to the file `target`, which exists whole or not at all."""
    check_new(target)
    client = Client.from_environment()
    found = client.version(version).version
    with whole_file(target) as stream:
        told = client.download(
            f"{version_path(found.reference)}/export", stream, media="application/zip", most=LIMITS.packed,
            outputs=str(outputs).lower(), withhold_others=str(withhold).lower(),
        )  # fmt: skip
        stream.flush()
        with opened(Path(stream.name), LIMITS) as (_, manifest):
            if manifest.version.id != found.id:
                raise InputError(f"the server sent the archive of another version than {found.reference}; try again")
    return Exported(
        manifest, target.stat().st_size, _count(told, "Evalkit-Other-Entries"), _count(told, "Evalkit-Missing-Judges")
    )


def _evaluation(client: Client, version: ModelVersion, preset: str | None) -> Evaluation:
    """The newest finished evaluation of this size on the version's suite, else an imported one."""
    of_size = [item for item in client.evaluations(version) if item.preset == preset]
    finished = [item for item in of_size if item.status == "finished"]
    finished.sort(key=lambda item: item.suite_digest != version.suite_digest)
    chosen = next((item for item in (*finished, *of_size) if item.status in {"finished", IMPORTED}), None)
    if chosen is None:
        size = f" --preset {preset}" if preset else ""
        raise InputError(
            f"{version.reference} has no results on its current suite; run `evalkit evaluate {version.reference}{size}`"
        )
    return chosen


def _count(headers: Mapping[str, str], name: str) -> int:
    told = headers.get(name, "")
    if not (told.isascii() and told.isdigit()):
        raise InputError(f"the server's answer lacks '{name}'; is it older than this evalkit?")
    return int(told)
