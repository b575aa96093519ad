"""The drift report that people know: Evidently's, as one HTML file beside a window's own verdicts.

It is there to look at: its verdicts ignore sampling noise, so nothing here decides by them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000
"""Rows of each side that the report is made of; more only make the file larger."""
_MOST_VALUES = 50
_FEWEST_ROWS = 20


def write_evidently_report(reference: pd.DataFrame, current: pd.DataFrame, path: Path, *, seed: int = 0) -> list[str]:
    """Write Evidently's data drift report; returns the columns that are in it.

    Args:
        reference, current: rows with equal columns; numbers and values of few kinds are compared, free texts left out,
            since Evidently's descriptors for texts load dictionaries from the network.
        path: the HTML file to write; it holds values of the rows and scripts of Evidently's: show it in a sandbox.
        seed: of the sample, where there are more than `MOST_ROWS` rows.

    Raises:
        InputError: no column can be compared, fewer than 20 rows, or Evidently is not installed.
    """
    columns = [str(name) for name in reference.columns if name in current.columns and _compares(reference[name])]
    if not columns or min(len(reference), len(current)) < _FEWEST_ROWS:
        raise InputError(
            f"{len(columns)} columns of {len(reference)} and {len(current)} rows; a drift report needs a column of "
            f"numbers or of few values, and {_FEWEST_ROWS} rows on each side"
        )
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        from evidently import Report
        from evidently.presets import DataDriftPreset
    except ImportError:
        raise InputError("drift reports need Evidently; install evalkit[monitoring]") from None
    sides = [
        side[columns].sample(MOST_ROWS, random_state=seed) if len(side) > MOST_ROWS else side[columns]
        for side in (current, reference)
    ]
    found = Report([DataDriftPreset()]).run(current_data=sides[0], reference_data=sides[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_html(str(path))
    return columns


def _compares(values: pd.Series) -> bool:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    if not pd.api.types.is_string_dtype(values):
        return False
    return int(values.nunique()) <= _MOST_VALUES
