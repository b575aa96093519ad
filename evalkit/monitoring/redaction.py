"""Personal data removed from rows before anything is stored; a text that cannot be redacted is dropped."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.monitoring.fields import CATEGORY, SLICE, TEXTS
from metrics.text.personal_data import personal_data

if TYPE_CHECKING:
    import pyarrow as pa

# A text without these cannot hold what is looked for: most texts are then never touched by Python
_MARKS = {"email": "@", "phone": r"\d(?:\D{0,2}\d){6}"}


class Redaction:
    """What a monitor removes from texts, slices and names of users.

    Args:
        rules: ``email``, ``phone``, or ``module:function`` from text to text.
        folder: where such modules are looked up.
    """

    def __init__(self, rules: Sequence[str], folder: Path) -> None:
        self._kinds = [rule for rule in rules if rule in _MARKS]
        self._functions = [_function(rule, folder) for rule in rules if rule not in _MARKS]

    def __call__(self, table: pa.Table, refused: Counter[str]) -> pa.Table:
        """Return the table without what the rules remove; `refused` counts texts that had to be dropped."""
        if not self._kinds and not self._functions:
            return table
        for name in table.column_names:
            if name in (*TEXTS, "user", "cluster", "error") or name.startswith((SLICE, CATEGORY)):
                cleaned = self._clean(table[name].combine_chunks(), refused)
                table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), cleaned)
        return self._clean_context(table, refused)

    def _clean_context(self, table: pa.Table, refused: Counter[str]) -> pa.Table:
        import pyarrow as pa

        lists = table["context"].combine_chunks()
        flat = self._clean(lists.flatten(), refused)
        lengths = [0 if value is None else value for value in lists.value_lengths().to_pylist()]
        offsets = [0]
        for length in lengths:
            offsets.append(offsets[-1] + length)
        mask = lists.is_null()
        made = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, mask=mask if lists.null_count else None)
        return table.set_column(table.schema.get_field_index("context"), table.schema.field("context"), made)

    def _clean(self, texts: pa.Array, refused: Counter[str]) -> pa.Array:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._functions:
            found = np.arange(len(texts))
        else:
            pattern = "|".join(_MARKS[kind] for kind in self._kinds)
            hit = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
            found = np.flatnonzero(hit.to_numpy(zero_copy_only=False))
        if not len(found):
            return texts
        cleaned = pa.array([self._one(value, refused) for value in texts.take(found).to_pylist()], type=texts.type)
        changed = np.zeros(len(texts), dtype=bool)
        changed[found] = True
        return pc.replace_with_mask(texts, pa.array(changed), cleaned)

    def _one(self, text: str | None, refused: Counter[str]) -> str | None:
        if text is None:
            return None
        found = personal_data(text, kinds=self._kinds) if self._kinds else []
        for finding in reversed(found):
            text = f"{text[: finding.start]}[{finding.kind}]{text[finding.start + len(finding.text) :]}"
        for function in self._functions:
            try:
                text = function(text)
            except Exception:
                refused["redaction failed"] += 1  # what it would have removed must not be stored
                return None
            if not isinstance(text, str):
                refused["redaction failed"] += 1
                return None
        return text


def _function(rule: str, folder: Path) -> Callable[[str], Any]:
    from evalkit.generators.python_callable import resolve

    if str(folder) not in sys.path:  # modules beside the monitor's file
        sys.path.insert(0, str(folder))
    found: Callable[[str], Any] = resolve(rule)
    return found
