"""The tables of durable steps, made without running any."""

from __future__ import annotations

import contextlib
import io
import logging

from dbos import DBOS

from evalkit.own_database import SCHEMAS
from registry.database import parse_url


def make_tables(url: str) -> None:
    """Make or upgrade DBOS's tables in their schema of a PostgreSQL database."""
    plain = parse_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        DBOS.migrate(plain, schema=SCHEMAS["jobs"])
