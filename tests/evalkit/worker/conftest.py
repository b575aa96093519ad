"""A project on one machine whose model registry is gated, and a stock client's way to register a version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evalkit.config import Settings
from evalkit.session import Session, open_session
from evalkit.worker.reaction import Allowances, Reaction, react
from registry.database import connect
from registry.homes import remember_suite
from registry.mlflow_store import make_known
from registry.outbox import CREATED, Item, Outbox
from registry.policy import Policy, set_policy
from registry.suite import Suite

SUITE = """\
suite: answers
tasks:
  golden:
    data: golden.jsonl
    columns: {id: id, prompt: question, expected: answers}
    score: [exact_match]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.8}
"""
ROWS = 60


def golden(count: int = ROWS) -> str:
    rows = [{"id": f"q{place}", "question": f"{place} + 1?", "answers": [str(place + 1)]} for place in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def outputs(right: int = ROWS, count: int = ROWS) -> str:
    rows = [{"id": f"q{place}", "output": str(place + 1) if place < right else "no idea"} for place in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@dataclass
class Project:
    """A gated registry without a server, and what a worker needs."""

    settings: Settings
    engine: Any
    folder: Path
    session: Session
    said: list[str] = field(default_factory=list)

    golden = staticmethod(golden)
    outputs = staticmethod(outputs)
    suite_text = SUITE

    @property
    def client(self) -> Any:
        return self.session.registry.mlflow.client

    @property
    def suite(self) -> Suite:
        return Suite.load(self.folder / "suites" / "suite.yaml")

    def policy(self, pattern: str = "*", *, named: bool = True, **changes: Any) -> Policy:
        """A policy that promotes by itself; `named`: it names the suite, as `evalkit policy set --suite` does."""
        if named:
            remember_suite(self.engine, self.suite)
            changes["suites"] = (self.suite.digest,)
        wanted = Policy(pattern, **{"auto": "evaluate+promote", **changes})
        return set_policy(self.engine, wanted, actor="admin")[0]

    def register(self, name: str, files: dict[str, str | bytes], **more: Any) -> int:
        """Create a version as a client without evalkit does; return its number."""
        place = self.folder / "models" / f"{name}-{len(list((self.folder / 'models').glob('*')))}"
        for path, content in files.items():
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        if not any(model.name == name for model in self.client.search_registered_models()):
            self.client.create_registered_model(name)
        return int(self.client.create_model_version(name, str(place), **more).version)

    def claim(self) -> Item:
        item = Outbox(self.engine).claim(CREATED)
        assert item is not None, "nothing in the outbox"
        return item

    def react(
        self, item: Item | None = None, may: Allowances | None = None, still_ours: Callable[[], None] | None = None
    ) -> Reaction:
        """React in this process, as the worker's process does."""
        item = item or self.claim()
        scratch = self.folder / "scratch" / item.token  # type: ignore[operator]  # claimed
        scratch.mkdir(parents=True)
        check = still_ours or (lambda: Outbox(self.engine).check(item))
        done = react(self.session, item, scratch, may or Allowances(), still_ours=check)
        Outbox(self.engine).finish(item, done.outcome, done.detail)
        return done

    def page(self, name: str, number: int) -> Any:
        return self.client.get_model_version(name, str(number))

    def holder(self, name: str, alias: str = "champion") -> int | None:
        return self.session.registry.mlflow.holder(name, alias)


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    make_known()
    for folder in ("suites", "models", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "suites" / "suite.yaml").write_text(SUITE)
    (tmp_path / "suites" / "golden.jsonl").write_text(golden())
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    url = f"sqlite:///{tmp_path / 'mlflow.db'}"
    settings = Settings(tmp_path / ".evalkit", url, url, url, advisory=False)
    engine = connect(url)
    with open_session(settings) as session:
        yield Project(settings, engine, tmp_path, session)
    engine.dispose()
