"""The example of docs/gate.md runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

REAL_CATALOGUE = True
PAGE = Path(__file__).parents[3] / "docs" / "gate.md"


def test_the_worked_example_prints_what_the_page_shows():
    (code, shown), *_ = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), {})
    assert printed.getvalue().split() == shown.split()
