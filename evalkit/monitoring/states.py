"""Mergeable states of windows: moments, column sketches, samples of vectors and of verdicts; packed without pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray, Scores, State
from metrics.drift.sketch import ColumnSketch
from metrics.errors import InputError
from metrics.statistics.moments import Moments, moments_of

MOMENTS, SKETCH, VECTORS, VERDICTS = "moments", "sketch", "vectors", "verdicts"
VERSION = 1
_MOST_ENTRIES = 100_000

StateKey = tuple[str, str]
"""Which number of a check, and which slice."""
States = Mapping[StateKey, State]


def moments_state(moments: Moments) -> State:
    """State of scored rows."""
    return State(MOMENTS, VERSION, {}, moments.to_arrays())


def moments_in(state: State) -> Moments:
    """What `moments_state` keeps."""
    return Moments.from_arrays(_checked(state, MOMENTS).arrays)


def scored(
    values: FloatArray,
    *,
    weights: FloatArray | None = None,
    clusters: NDArray[Any] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> State:
    """State of one score per row ``[n]``; NaN is unscored."""
    n = len(values)
    scores = Scores(
        sample_ids=range(n),  # type: ignore[arg-type]
        values=values,
        denominators=np.ones(n),
        weights=np.ones(n) if weights is None else weights,
        clusters=None if clusters is None else clusters.tolist(),
        reasons=(),
    )
    return moments_state(moments_of(scores, low=low, high=high))


def sketch_state(sketch: ColumnSketch) -> State:
    """State of a column."""
    return State(SKETCH, VERSION, sketch.facts(), sketch.arrays())


def sketch_in(state: State) -> ColumnSketch:
    """What `sketch_state` keeps."""
    found = _checked(state, SKETCH)
    return ColumnSketch.from_parts(found.facts, found.arrays)


def vectors_state(vectors: NDArray[np.float32], hashed: NDArray[np.uint64], most: int) -> State:
    """State of a random sample of vectors ``[n, d]``: the `most` with the smallest hashes of all that were offered."""
    kept = np.argsort(hashed, kind="stable")[:most]
    arrays: dict[str, NDArray[Any]] = {"vectors": vectors[kept].astype(np.float16), "hashes": hashed[kept]}
    return State(VECTORS, VERSION, {"most": most, "offered": len(vectors)}, arrays)


def verdicts_state(columns: Mapping[str, NDArray[Any]], offered: int) -> State:
    """State of rows with several verdicts each, column by column ``[n]``."""
    return State(VERDICTS, VERSION, {"offered": offered}, dict(columns))


def merge(a: State, b: State) -> State:
    """State of both runs of rows, a's before b's."""
    if a.metric != b.metric or a.metric not in _MERGE:
        raise InputError(f"states of '{a.metric}' and '{b.metric}' do not merge; run the windows again")
    return _MERGE[a.metric](a, b)


def merge_all(parts: Sequence[States]) -> dict[StateKey, State]:
    """States of all parts, in their order; a slice that only some parts have counts from those."""
    found: dict[StateKey, State] = {}
    for part in parts:
        for key, state in part.items():
            found[key] = merge(found[key], state) if key in found else state
    return found


def pack(states: States) -> bytes:
    """One archive of all states of a check."""
    buffer = io.BytesIO()
    keys = sorted(states)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _add(archive, "index.json", json.dumps(keys, ensure_ascii=False).encode())
        for place, key in enumerate(keys):
            _add(archive, f"{place}.npz", states[key].to_bytes())
    return buffer.getvalue()


def unpack(content: bytes) -> dict[StateKey, State]:
    """Read what `pack` wrote; never unpickles."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            keys = json.loads(archive.read("index.json"))
            if len(keys) > _MOST_ENTRIES:
                raise InputError(f"a window's states name {len(keys):,} numbers; at most {_MOST_ENTRIES:,} are read")
            return {(key[0], key[1]): State.from_bytes(archive.read(f"{at}.npz")) for at, key in enumerate(keys)}
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError(f"a window's states cannot be read ({error}); run the window again") from None


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A fixed date: equal states are equal bytes
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED, 1)


def _checked(state: State, kind: str) -> State:
    if (state.metric, state.version) != (kind, VERSION):
        raise InputError(f"a state of '{state.metric}' version {state.version}; expected '{kind}' version {VERSION}")
    return state


def _merge_moments(a: State, b: State) -> State:
    return moments_state(moments_in(a).merge(moments_in(b)))


def _merge_sketches(a: State, b: State) -> State:
    return sketch_state(sketch_in(a).merge(sketch_in(b)))


def _merge_vectors(a: State, b: State) -> State:
    most = max(int(a.facts["most"]), int(b.facts["most"]))
    vectors = np.concatenate((a.arrays["vectors"], b.arrays["vectors"]))
    hashed = np.concatenate((a.arrays["hashes"], b.arrays["hashes"]))
    kept = np.argsort(hashed, kind="stable")[:most]
    facts = {"most": most, "offered": int(a.facts["offered"]) + int(b.facts["offered"])}
    return State(VECTORS, VERSION, facts, {"vectors": vectors[kept], "hashes": hashed[kept]})


def _merge_verdicts(a: State, b: State) -> State:
    arrays = {name: np.concatenate((a.arrays[name], b.arrays[name])) for name in a.arrays}
    return State(VERDICTS, VERSION, {"offered": int(a.facts["offered"]) + int(b.facts["offered"])}, arrays)


_MERGE: Mapping[str, Callable[[State, State], State]] = {
    MOMENTS: _merge_moments,
    SKETCH: _merge_sketches,
    VECTORS: _merge_vectors,
    VERDICTS: _merge_verdicts,
}
