"""Tables of monitors: what they are, the windows they looked at, one estimate each in time, and alerts.

Event time (`start`, `end`) is when something was said; `created_at` is when we wrote it down.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from registry.tables import Base, _Row

_Json = dict[str, Any]


class MonitorRow(_Row, Base):
    """A monitor by name; `watermark` is how far its source was read, `reads` how often."""

    __tablename__ = "evalkit_monitors"
    __table_args__ = (UniqueConstraint("workspace", "name"),)

    name: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20))
    model: Mapped[str | None] = mapped_column(String(500))
    digest: Mapped[str] = mapped_column(String(80))
    source_digest: Mapped[str] = mapped_column(String(80))
    watermark: Mapped[_Json] = mapped_column(JSON)
    reads: Mapped[int] = mapped_column(BigInteger)
    first_event: Mapped[int | None] = mapped_column(BigInteger)
    last_event: Mapped[int | None] = mapped_column(BigInteger)
    refused: Mapped[_Json] = mapped_column(JSON)


class MonitorVersionRow(_Row, Base):
    """A monitor's text, once per digest."""

    __tablename__ = "evalkit_monitor_versions"
    __table_args__ = (UniqueConstraint("monitor_id", "digest"),)

    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(80))
    text: Mapped[str] = mapped_column(Text)
    folder: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255))


class WindowRow(_Row, Base):
    """One revision of one window; `late` counts rows that came after it, `newest` marks the revision that counts."""

    __tablename__ = "evalkit_windows"
    __table_args__ = (
        UniqueConstraint("monitor_id", "cadence", "start", "revision"),
        Index("ix_evalkit_windows_newest", "monitor_id", "cadence", "newest", "start"),
        Index("ix_evalkit_windows_latest", "monitor_id", "newest", "start"),
    )

    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"))
    version_digest: Mapped[str] = mapped_column(String(80))
    cadence: Mapped[str] = mapped_column(String(100))
    start: Mapped[int] = mapped_column(BigInteger)
    end: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(Integer)
    newest: Mapped[bool] = mapped_column(Boolean)
    status: Mapped[str] = mapped_column(String(20))
    rows: Mapped[int] = mapped_column(BigInteger)
    late: Mapped[int] = mapped_column(BigInteger)
    watermark: Mapped[_Json] = mapped_column(JSON)
    contract: Mapped[_Json | None] = mapped_column(JSON)
    notes: Mapped[list[Any]] = mapped_column(JSON)
    usage: Mapped[_Json] = mapped_column(JSON)
    finished_at: Mapped[int] = mapped_column(BigInteger)


class WindowStateRow(_Row, Base):
    """The mergeable states of one check in one window: here while small, else in a file at `location`."""

    __tablename__ = "evalkit_window_states"
    __table_args__ = (UniqueConstraint("window_id", "check"),)

    window_id: Mapped[str] = mapped_column(ForeignKey("evalkit_windows.id", ondelete="CASCADE"))
    check: Mapped[str] = mapped_column(String(60))
    identity: Mapped[str] = mapped_column(String(80))
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    location: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(80))


class SignalRow(_Row, Base):
    """One estimate in time; `record` is the whole `Estimate`, `samples` the rows that show it best."""

    __tablename__ = "evalkit_signals"
    __table_args__ = (
        UniqueConstraint("window_id", "check", "key", "slice"),
        Index("ix_evalkit_signals_trend", "monitor_id", "check", "key", "slice", "start"),
    )

    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"))
    window_id: Mapped[str] = mapped_column(ForeignKey("evalkit_windows.id", ondelete="CASCADE"))
    start: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(Integer)
    check: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(200))
    slice: Mapped[str] = mapped_column(String(500))
    value: Mapped[float | None] = mapped_column(Float)
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    n: Mapped[int] = mapped_column(BigInteger)
    coverage: Mapped[float] = mapped_column(Float)
    verdict: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    p_value: Mapped[float | None] = mapped_column(Float)
    record: Mapped[_Json] = mapped_column(JSON)
    samples: Mapped[list[Any]] = mapped_column(JSON)


class LevelRow(Base):
    """The signals of one number over a day, a week or a month (UTC), so that a page over years reads few rows.

    `windows` newest revisions with a value began in ``[start, end)``; `total` is the sum of their values by their
    `weight`, the larger of 1 and n. `lowest` and `highest` are values of single windows: a spread, not an interval.
    """

    __tablename__ = "evalkit_signal_levels"

    workspace: Mapped[str] = mapped_column(String(63))
    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"), primary_key=True)
    cadence: Mapped[str] = mapped_column(String(100), primary_key=True)
    level: Mapped[str] = mapped_column(String(10), primary_key=True)
    check: Mapped[str] = mapped_column(String(60), primary_key=True)
    slice: Mapped[str] = mapped_column(String(500), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    end: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(Integer)
    windows: Mapped[int] = mapped_column(BigInteger)
    n: Mapped[int] = mapped_column(BigInteger)
    weight: Mapped[float] = mapped_column(Float)
    total: Mapped[float] = mapped_column(Float)
    covered: Mapped[float] = mapped_column(Float)
    lowest: Mapped[float] = mapped_column(Float)
    highest: Mapped[float] = mapped_column(Float)


class AlertRow(_Row, Base):
    """One episode of one rule: `opened_at` and `closed_at` are the starts of the windows that opened and ended it.

    `announced_at` is when people were told, None while nobody was; `action` says what an alert that demotes did.
    """

    __tablename__ = "evalkit_alerts"
    __table_args__ = (
        UniqueConstraint(
            "monitor_id", "cadence", "check", "key", "slice", "rule", "opened_at", name="uq_evalkit_alerts_episode"
        ),
        Index("ix_evalkit_alerts_closed", "workspace", "closed_at"),
    )

    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"))
    window_id: Mapped[str | None] = mapped_column(ForeignKey("evalkit_windows.id", ondelete="SET NULL"), index=True)
    cadence: Mapped[str] = mapped_column(String(100))
    check: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(200))
    slice: Mapped[str] = mapped_column(String(500))
    rule: Mapped[str] = mapped_column(String(20))
    opened_at: Mapped[int] = mapped_column(BigInteger)
    opened_until: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    statistic: Mapped[float | None] = mapped_column(Float)
    threshold: Mapped[float | None] = mapped_column(Float)
    value: Mapped[float | None] = mapped_column(Float)
    reason: Mapped[str] = mapped_column(Text)
    samples: Mapped[list[Any]] = mapped_column(JSON)
    announced_at: Mapped[int | None] = mapped_column(BigInteger)
    acknowledged_at: Mapped[int | None] = mapped_column(BigInteger)
    acknowledged_by: Mapped[str | None] = mapped_column(String(255))
    silenced_until: Mapped[int | None] = mapped_column(BigInteger)
    comment: Mapped[str] = mapped_column(Text, default="")
    action: Mapped[str] = mapped_column(Text, default="")


class DetectorRow(_Row, Base):
    """What the detector of one rule remembers after the window that starts at `through`.

    `windows` is a digest of the revisions that it has seen: one that was restated makes it start again. `identity`
    is one of the rule and its share of the false-alarm budget.
    """

    __tablename__ = "evalkit_detectors"
    __table_args__ = (
        UniqueConstraint("monitor_id", "check", "key", "slice", "rule", name="uq_evalkit_detectors_signal"),
    )

    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"))
    check: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(200))
    slice: Mapped[str] = mapped_column(String(500))
    rule: Mapped[str] = mapped_column(String(20))
    identity: Mapped[str] = mapped_column(String(80))
    through: Mapped[int] = mapped_column(BigInteger)
    windows: Mapped[str] = mapped_column(String(80))
    state: Mapped[_Json] = mapped_column(JSON)


class ReadingRow(_Row, Base):
    """What one rule said after one window: exactly what charts show."""

    __tablename__ = "evalkit_readings"
    __table_args__ = (
        UniqueConstraint("monitor_id", "check", "key", "slice", "rule", "start", name="uq_evalkit_readings_window"),
    )

    monitor_id: Mapped[str] = mapped_column(ForeignKey("evalkit_monitors.id", ondelete="CASCADE"))
    window_id: Mapped[str] = mapped_column(ForeignKey("evalkit_windows.id", ondelete="CASCADE"), index=True)
    start: Mapped[int] = mapped_column(BigInteger)
    check: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(200))
    slice: Mapped[str] = mapped_column(String(500))
    rule: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    alerting: Mapped[bool] = mapped_column(Boolean)
    statistic: Mapped[float | None] = mapped_column(Float)
    threshold: Mapped[float | None] = mapped_column(Float)
    warning: Mapped[float | None] = mapped_column(Float)
    level: Mapped[float | None] = mapped_column(Float)
    value: Mapped[float | None] = mapped_column(Float)
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    n: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
