"""The generations behind a window: those that show a number best, then the others, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Query, Request, Response
from sqlalchemy import Engine, select

from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import SLICE, schema
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.records import MonitorRecord
from evalkit.monitoring.rows import LONGEST_VALUE, MISSING, OTHER
from evalkit.monitoring.store import MonitorStore
from evalkit.pages import monitor_data
from evalkit.pages.monitor import Name
from evalkit.pages.monitor_sections import Addresses
from evalkit.pages.rendering import new_router, page
from evalkit.pages.window import Cadence, Revision, Start, revisions_of
from evalkit.reports.numbers import number
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from registry.actors import APPROVER, EVALUATOR, LABELER
from registry.database import reading
from registry.tables_monitoring import SignalRow

router = new_router()
Reads = Depends(needs(LABELER, EVALUATOR, APPROVER))
"""Who may read what users said."""
SHOWN = 20
_PASSAGES = 3
_TEXT, _PASSAGE = 900, 500
"""Characters of a text and of a passage: a page of them stays under 100 kB."""
_WHOLE, _ALL = 15_000, 20
"""The same of one row alone, and how many passages of it."""
_PIECE = 2_000
Text = Sequence[str]
"""A text in pieces that a page shows without cutting them."""
_SAID = {1.0: "yes", 0.0: "no"}


@dataclass(frozen=True, slots=True)
class Generation:
    """One row as it is stored, redacted; `shows` where a number points to it, `cut` where more of it is kept."""

    id: str
    at: int
    shows: bool
    prompt: Text
    output: Text
    context: Sequence[Text]
    passages: int
    label: str
    facts: Sequence[tuple[str, str]]
    error: Text
    cut: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """A page of the generations of a window.

    Attributes:
        total: that there are in the window and the slice.
        pointed: how many a number points to.
        note: what somebody should know of the choice.
    """

    rows: Sequence[Generation] = ()
    total: int = 0
    pointed: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which generations are asked for: ids that come first, a slice, how many are skipped; or one row by its id."""

    samples: Sequence[str]
    slice: str
    skip: int
    row: str = ""


@router.get("/monitors/{name}/windows/{start}/generations", dependencies=[Reads])
def generations(
    request: Request, project: InProject, name: Name, start: Start, *, cadence: Cadence = "",
    check: Annotated[str, Query(max_length=60)] = "", key: Annotated[str, Query(max_length=200)] = "",
    slice_: Annotated[str, Query(alias="slice", max_length=500)] = "", skip: Annotated[int, Query(ge=0, le=10**8)] = 0,
    row: Annotated[str, Query(max_length=500)] = "",
) -> Response:  # fmt: skip
    """What was said in a window: the samples of a number first, marked, then the others in the order of time.

    With `row` that one alone, as whole as a page can be.
    """
    store, found = monitor_data.known(project, name)
    _, revisions = revisions_of(store, found, start, cadence)
    definition = monitor_data.definition_of(store, found)
    samples = samples_of(project.engine, revisions[0].id, check, key, slice_) if check else []
    behind = Behind()
    if definition is not None:
        slices = definition.spec.source.columns.slices
        behind = _behind(_raw(store, found, definition), slices, revisions[0], Asked(samples, slice_, skip, row))
    kept = None if definition is None else definition.spec.retention.raw
    return page(
        request, "generations.html", monitor=found, where=Addresses(name), window=revisions[0], check=check, key=key,
        slice=slice_, behind=behind, skip=skip, row=row, size=SHOWN, kept=kept,
        point=_point(project.engine, revisions[0].id, check, key, slice_),
    )  # fmt: skip


def samples_of(engine: Engine, window_id: str, check: str, key: str, slice_: str) -> list[str]:
    """Ids of the rows that show a number of a window best; of the check's other numbers where it has none itself."""
    wanted = (
        select(SignalRow.key, SignalRow.samples)
        .where(SignalRow.window_id == window_id, SignalRow.check == check, SignalRow.slice == slice_)
        .order_by(SignalRow.position)
    )
    with reading(engine) as session:
        by_key = {name: [str(one) for one in samples] for name, samples in session.execute(wanted)}
    return by_key.get(key) or next((found for found in by_key.values() if found), [])


def rows_by_id(
    store: MonitorStore, found: MonitorRecord, definition: Definition, span: tuple[int, int], ids: Sequence[str]
) -> list[Generation]:
    """Rows of some ids that happened within a span, in the order of the ids; those that are gone are left out."""
    if not ids:
        return []
    table = _raw(store, found, definition).read(*span, ids=ids)
    by_id = {str(row["id"]): row for row in table.to_pylist()}
    return [_generation(by_id[one], shows=True) for one in ids if one in by_id]


def _raw(store: MonitorStore, found: MonitorRecord, definition: Definition) -> RawStore:
    return RawStore(store.folder(found) / "raw", schema(definition.spec.source.columns))


def _point(engine: Engine, window_id: str, check: str, key: str, slice_: str) -> monitor_data.Point | None:
    found = monitor_data.of_window(engine, window_id, check=check, slice_=slice_) if check else []
    return next((one for one in found if one.key == key), None)


def _behind(raw: RawStore, slices: Sequence[str], window: Revision, asked: Asked) -> Behind:
    """Read the ids of all rows, and the texts of one page alone."""
    if asked.row:
        alone = raw.read(window.start, window.end, ids=[asked.row]).to_pylist()
        rows = [_generation(one, shows=asked.row in asked.samples, whole=True) for one in alone]
        return Behind(rows, len(rows), 0)
    name, _, value = asked.slice.partition("=")
    sliced = name if name in slices and value != OTHER else ""
    index = raw.read(window.start, window.end, columns=["id", "event_time", *([SLICE + sliced] if sliced else [])])
    ids = np.asarray(index["id"].to_numpy(), dtype=object)
    note = ""
    if sliced:
        kept = [(MISSING if one is None else one[:LONGEST_VALUE]) == value for one in index[SLICE + sliced].to_pylist()]
        ids = ids[np.array(kept, dtype=bool)]
    elif asked.slice:
        note = "The slice holds rare values together: those of all rows are shown."
    there = set(ids.tolist())
    pointed = [one for one in asked.samples if one in there]
    marked = set(pointed)
    order = [*pointed, *(one for one in ids.tolist() if one not in marked)]
    wanted = order[asked.skip : asked.skip + SHOWN]
    table = raw.read(window.start, window.end, ids=wanted) if wanted else None
    by_id = {} if table is None else {str(row["id"]): row for row in table.to_pylist()}
    rows = [_generation(by_id[one], shows=one in marked) for one in wanted if one in by_id]
    return Behind(rows, len(order), len(pointed), note)


def _generation(row: Mapping[str, Any], *, shows: bool, whole: bool = False) -> Generation:
    text, passage, most = (_WHOLE, _WHOLE // _ALL, _ALL) if whole else (_TEXT, _PASSAGE, _PASSAGES)
    passages = [str(one) for one in (row["context"] or ())]
    facts = [
        ("latency", number(row["latency"], "s") if row["latency"] is not None else ""),
        ("version", row["version"] or ""),
        ("tokens", _tokens(row["prompt_tokens"], row["output_tokens"])),
        ("cost", f"{number(row['cost'])} USD" if row["cost"] is not None else ""),
        *((column.removeprefix(SLICE), str(told)) for column, told in row.items() if column.startswith(SLICE) and told),
    ]
    texts = [row["prompt"] or "", row["output"] or "", row["error"] or ""]
    prompt, output, error = (_pieces(one, text) for one in texts)
    cut = any(len(one) > text for one in texts) or len(passages) > most or any(len(one) > passage for one in passages)
    return Generation(
        str(row["id"]), int(row["event_time"]), shows, prompt, output,
        [_pieces(one, passage) for one in passages[:most]], len(passages), _SAID.get(row["label"], ""),
        [(name, told) for name, told in facts if told], error, cut and not whole,
    )  # fmt: skip


def _pieces(given: str, most: int) -> Text:
    text = given if len(given) <= most else f"{given[:most]} … ({len(given):,} characters)"
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _tokens(asked: float | None, said: float | None) -> str:
    if asked is None and said is None:
        return ""
    return f"{number(asked)} in, {number(said)} out"
