"""The formats of `evalkit results`: the content of each, what it is called, and how it is sent."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow.parquet as pq

from evalkit.bundles.pack import stored_outputs
from evalkit.bundles.unpack import TooLargeError
from evalkit.ci import decided_card
from evalkit.portable import results as tables
from evalkit.portable.inspect_log import Expected, inspect_logs
from evalkit.portable.results import OUTPUTS, Results
from evalkit.reports import junit, markdown
from evalkit.session import Session
from metrics.errors import InputError

Format = Literal["csv", "parquet", "json", "markdown", "junit", "inspect"]
TABLES = frozenset({"csv", "parquet", "json"})
"""Formats that have rows: of estimates, or of samples."""
_LOG = re.compile(r"^[\w-]{1,200}\.json\Z")
_MiB = 2**20


@dataclass(frozen=True, slots=True)
class Sent:
    """How a format is sent: its content type, and how the names of its files end."""

    media: str
    suffix: str


SENT: Mapping[Format, Sent] = {
    "csv": Sent("text/csv; charset=utf-8", "csv"),
    "parquet": Sent("application/vnd.apache.parquet", "parquet"),
    "json": Sent("application/json", "json"),
    "markdown": Sent("text/markdown; charset=utf-8", "md"),
    "junit": Sent("application/xml", "xml"),
    "inspect": Sent("application/zip", "zip"),
}


def check_samples(form: Format, samples: bool) -> None:
    """Refuse samples in a format that has no rows."""
    if samples and form not in TABLES:
        raise InputError(f"samples go with csv, parquet and json; {form} has its own place for samples")


def document(session: Session, found: Results, form: Format, *, samples: bool = False) -> bytes:
    """Results in any format but inspect's, which is more than one file."""
    if form in {"junit", "markdown"}:
        if found.decision is None:
            raise InputError(
                f"{found.version.reference}: no gate has decided on these results; run `evalkit gate "
                f"{found.version.reference}`"
            )
        card, differences = decided_card(found.decision, session, compared=form == "markdown")
        if form == "junit":
            return junit.render(found.decision, card.suite)
        return markdown.render(found.decision, card, differences).encode()
    table = tables.samples_table(found) if samples else tables.estimates_table(found)
    if form == "parquet":
        return tables.to_parquet(table)
    return tables.to_csv(table) if form == "csv" else tables.to_rows(table)


def packed_logs(found: Results, expected: Expected | None = None) -> bytes:
    """Inspect's logs in one zip; the same results give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in inspect_logs(found, expected):
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def unpacked_logs(data: bytes) -> dict[str, bytes]:
    """What `packed_logs` packed, by name; anything else raises `InputError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if any(not _LOG.match(one.filename) or one.compress_type != zipfile.ZIP_STORED for one in infos):
                raise InputError("the server's answer holds other files than logs; is it older than this evalkit?")
            return {one.filename: archive.read(one) for one in infos}
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError):
        raise InputError("the logs were damaged on the way; try again") from None


def check_size(found: Results, most: int) -> None:
    """Refuse samples that fill more than `most` bytes, by what their files say, before they are read."""
    total = 0
    for record in found.evaluation.details.get("tasks", {}).values():
        try:
            shards = [path for _, path in stored_outputs(found.stored.home, record)]
        except InputError:
            continue  # outputs that are gone leave their columns empty
        for path in shards:
            total += _text_bytes(pq.read_metadata(path))
    if total > most:
        raise TooLargeError(
            f"the samples of {found.version.reference} have {total / _MiB:,.0f} MiB, more than {most // _MiB} MiB; "
            "ask for them in pages, or write them on the machine that has them"
        )


def _text_bytes(file: pq.FileMetaData) -> int:
    groups = (file.row_group(place) for place in range(file.num_row_groups))
    columns = (group.column(place) for group in groups for place in range(group.num_columns))
    return sum(one.total_uncompressed_size for one in columns if one.path_in_schema in OUTPUTS)
