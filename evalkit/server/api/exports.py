"""A version's results in the formats of others, and a version with all that was measured of it, as files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse

from evalkit.bundles.unpack import Limits
from evalkit.portable import formats
from evalkit.portable.export import export
from evalkit.portable.formats import SENT, Format
from evalkit.portable.results import results_in
from evalkit.server.api.evaluations import evaluation
from evalkit.server.api.models import Anybody, find
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Key, ModelName, VersionName
from evalkit.server.identity import needs
from registry.actors import EVALUATOR
from registry.entities import ModelVersion

router = new_router("exports")
OTHERS, MISSING = "Evalkit-Other-Entries", "Evalkit-Missing-Judges"
_MOST = 256 * 2**20
"""Bytes of the samples that are put into one answer."""
_BLOCK = 2**20
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_FILE = {"type": "string", "format": "binary"}


@router.get(
    "/evaluations/{key}/results",
    dependencies=[Anybody],
    summary="Results of an evaluation as a file",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {sent.media.partition(";")[0]: {"schema": _FILE} for sent in SENT.values()},
        }
    },
)
def get_results(
    project: InProject,
    key: Key,
    *,
    form: Annotated[Format, Query(alias="format", description="`inspect` is a zip with a log for each task.")] = "csv",
    samples: Annotated[bool, Query(description="csv, parquet, json: a row for each sample.")] = False,
) -> Response:
    """As `evalkit results` writes them; Inspect's logs are without accepted answers, which are in the suite's data."""
    formats.check_samples(form, samples)
    made = evaluation(project, key)
    found = results_in(project.session, project.registry.version_by_id(made.version_id), made)
    if samples or form == "inspect":
        formats.check_size(found, _MOST)
    # Data lie where the suite says, and whoever sent it must not read a file of the server's by naming it
    content = (
        formats.packed_logs(found)
        if form == "inspect"
        else formats.document(project.session, found, form, samples=samples)
    )
    what = "samples" if samples else "results"
    return Response(
        content,
        media_type=SENT[form].media,
        headers={"Content-Disposition": _attachment(found.version, what, SENT[form].suffix)},
    )


@router.get(
    "/models/{name}/versions/{version}/export",
    dependencies=[Depends(needs(EVALUATOR))],
    summary="A version with all that was measured of it, as an archive",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "What `evalkit export` writes.",
            "content": {"application/zip": {"schema": _FILE}},
            "headers": {
                OTHERS: {"schema": {"type": "integer"}, "description": "Audit entries of other models inside."},
                MISSING: {"schema": {"type": "integer"}, "description": "Files of judges that are not inside."},
            },
        }
    },
)
def export_version(
    project: InProject,
    name: ModelName,
    version: VersionName,
    *,
    outputs: Annotated[bool, Query(description="With outputs and judges' verdicts.")] = True,
    withhold_others: Annotated[bool, Query(description="Without what the audit says of other models.")] = False,
) -> StreamingResponse:
    """At most 1 GiB, which another store imports. Files of judges are inside where they came with a submission."""
    found = find(project, name, version)
    folder = project.settings.home / "submitted"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as place:
        target = Path(place) / "archive.zip"  # as messages call it
        made = export(
            project.session, found, target, outputs=outputs, withhold=withhold_others, kept_only=True,
            most=Limits().packed,
        )  # fmt: skip
        stream = target.open("rb")  # it can be read to its end, and has no name from here on: nothing is left behind
    headers = {
        "Content-Length": str(made.size),
        "Content-Disposition": _attachment(found, "export", "zip"),
        "Cache-Control": "private, no-store",
        OTHERS: str(made.others),
        MISSING: str(made.missing),
    }
    return StreamingResponse(_blocks(stream), headers=headers, media_type="application/zip")


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while block := stream.read(_BLOCK):
            yield block


def _attachment(version: ModelVersion, what: str, suffix: str) -> str:
    name = _UNSAFE.sub("-", version.name)[:80].strip(".-") or "version"
    return f'attachment; filename="{name}-{version.version}-{what}.{suffix}"'
