"""A project as the pages and the REST API have it: settings, registry and database, opened once in each process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from evalkit.config import Settings
from evalkit.session import Session
from registry.store import Registry
from registry.suite import Suite

if TYPE_CHECKING:
    from registry.entities import ModelVersion


@dataclass(frozen=True, slots=True)
class Project:
    """The server's settings, registry and database."""

    session: Session
    engine: Engine

    @property
    def registry(self) -> Registry:
        """The registry."""
        return self.session.registry

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.session.settings

    def suite_in(self, version: ModelVersion, folder: Path) -> Suite:
        """The version's suite, with its judges' files looked up in `folder`."""
        return self.registry.suite(version, folder)
