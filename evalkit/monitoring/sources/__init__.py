"""Where generations come from: MLflow traces, SQL tables and queries, files."""

from __future__ import annotations

from evalkit.config import Settings
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.sources.base import Source
from metrics.errors import InputError


def open_source(definition: Definition, settings: Settings) -> Source:
    """The source that a monitor names; nothing is read yet."""
    source = definition.spec.source
    if source.traces is not None:
        from evalkit.monitoring.sources.traces import TraceReader

        return TraceReader(settings.tracking_uri, source.traces, source.columns, overlap=definition.spec.lateness)
    if source.sql is not None:
        from evalkit.monitoring.sources.sql import SqlReader

        return SqlReader(source.sql, source.columns)
    if source.files is not None:
        from evalkit.monitoring.sources.files import FileReader

        return FileReader(definition.folder, source.files, source.columns)
    raise InputError("the monitor names no source")
