"""The generations behind a window: those that show a number best, then the others, as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from sqlalchemy import Engine

from evalkit.monitoring.fields import SLICE
from evalkit.pages.monitor import Name
from evalkit.pages.monitor_sections import Addresses
from evalkit.pages.rendering import new_router, page
from evalkit.pages.window import Cadence, Start
from evalkit.reports.numbers import number
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import monitor_data
from evalkit.views.generations import SHOWN, Asked, Behind, Row, behind, samples_of
from evalkit.views.windows import revisions_of
from registry.actors import APPROVER, EVALUATOR, LABELER

router = new_router()
Reads = Depends(needs(LABELER, EVALUATOR, APPROVER))
"""Who may read what users said."""
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
    window = revisions[0]
    samples = samples_of(project.engine, window.id, check, key, slice_) if check else []
    found_rows = Behind()
    if definition is not None:
        asked = Asked(samples, slice_, skip, SHOWN, row)
        found_rows = behind(store, found, definition, (window.start, window.end), asked)
    kept = None if definition is None else definition.spec.retention.raw
    return page(
        request, "generations.html", monitor=found, where=Addresses(name), window=window, check=check, key=key,
        slice=slice_, behind=found_rows, skip=skip, row=row,
        rows=[generation(one, whole=bool(row)) for one in found_rows.rows], size=SHOWN, kept=kept,
        point=_point(project.engine, window.id, check, key, slice_),
    )  # fmt: skip


def _point(engine: Engine, window_id: str, check: str, key: str, slice_: str) -> monitor_data.Point | None:
    found = monitor_data.of_window(engine, window_id, check=check, slice_=slice_) if check else []
    return next((one for one in found if one.key == key), None)


def generation(row: Row, *, whole: bool = False) -> Generation:
    """A row as a page shows it; `whole` as far as a page can."""
    told = row.told
    text, passage, most = (_WHOLE, _WHOLE // _ALL, _ALL) if whole else (_TEXT, _PASSAGE, _PASSAGES)
    passages = [str(one) for one in (told["context"] or ())]
    facts = [
        ("latency", number(told["latency"], "s") if told["latency"] is not None else ""),
        ("version", told["version"] or ""),
        ("tokens", _tokens(told["prompt_tokens"], told["output_tokens"])),
        ("cost", f"{number(told['cost'])} USD" if told["cost"] is not None else ""),
        *((column.removeprefix(SLICE), str(one)) for column, one in told.items() if column.startswith(SLICE) and one),
    ]
    texts = [told["prompt"] or "", told["output"] or "", told["error"] or ""]
    prompt, output, error = (_pieces(one, text) for one in texts)
    cut = any(len(one) > text for one in texts) or len(passages) > most or any(len(one) > passage for one in passages)
    return Generation(
        str(told["id"]), int(told["event_time"]), row.shows, prompt, output,
        [_pieces(one, passage) for one in passages[:most]], len(passages), _SAID.get(told["label"], ""),
        [(name, fact) for name, fact in facts if fact], error, cut and not whole,
    )  # fmt: skip


def _pieces(given: str, most: int) -> Text:
    text = given if len(given) <= most else f"{given[:most]} … ({len(given):,} characters)"
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _tokens(asked: float | None, said: float | None) -> str:
    if asked is None and said is None:
        return ""
    return f"{number(asked)} in, {number(said)} out"
