"""The demo from end to end: data, training, registration, evaluation, gate, promotion; then where to look."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit import api
from evalkit.config import Settings, load_settings
from evalkit.demo import models, monitoring, traffic
from evalkit.demo.contestants import CONTESTANTS, Contestant
from evalkit.demo.models import Training, train_all
from evalkit.demo.prepare import prepare, register_datasets
from evalkit.reports import terminal
from evalkit.reports.progress_bars import follow, progress_bars
from evalkit.session import open_session
from registry.entities import Decision, ModelVersion
from registry.promotion import PromotionRefusedError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a contestant; `refusal` is what promotion answered where it was refused."""

    contestant: Contestant
    version: ModelVersion
    decision: Decision
    refusal: str | None

    @property
    def broken(self) -> tuple[str, ...]:
        """Metrics whose rules are broken."""
        return tuple(rule.metric.partition("/")[2] for rule in self.decision.rules if rule.outcome == "fail")

    @property
    def as_expected(self) -> bool:
        """Whether the outcome is the expected one, for the expected reason."""
        reasons = {name.partition(".")[0] for name in self.broken}
        allowed = self.contestant.broken_by
        return self.decision.outcome == self.contestant.expected and (not allowed or reasons <= allowed)


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo found: a verdict for each contestant, and what was not as expected in production, a line each."""

    verdicts: Sequence[Verdict]
    surprises: Sequence[str]

    @property
    def as_expected(self) -> bool:
        """Whether everything came out as expected."""
        return not self.surprises and all(verdict.as_expected for verdict in self.verdicts)


def run(out: Path, seed: int, console: Console) -> Result:
    """Run the demo in ``out/seed-<seed>``; what is there already is used again."""
    began = time.monotonic()
    folder = (out / f"seed-{seed}").resolve()
    with _timed(console, "data, suites"):
        suites = prepare(folder, seed)
    settings = load_settings(folder)
    trainings = _train(folder, seed, console)
    with _timed(console, "training runs in MLflow"):
        register_datasets(folder, settings)
        sources = _log_trainings(settings, trainings, folder)
    verdicts = []
    for contestant in CONTESTANTS:
        source = contestant.call or sources[contestant.training or ""]
        verdicts.append(_judge(contestant, source, suites[contestant.suite], settings, console))
    surprises = _watch(folder, seed, settings, console)
    _summary(verdicts, folder, console, time.monotonic() - began)
    return Result(verdicts, surprises)


def _train(folder: Path, seed: int, console: Console) -> dict[str, Training]:
    began, done = time.monotonic(), {}
    trained = 0
    with progress_bars(console) as bars:
        row = bars.add_task("training", total=len(models.RECIPES))
        for training, new in train_all(folder, seed):
            done[training.name] = training
            trained += new
            bars.advance(row)
            if new:
                facts = "".join(f", {name} {value:.4g}" for name, value in training.results.items())
                bars.console.print(f"  {training.name}: {training.seconds:.0f} s of processor time{facts}")
    console.print(f"trained {trained} of {len(done)} models, {time.monotonic() - began:.1f} s")
    return done


def _log_trainings(settings: Settings, trainings: Mapping[str, Training], folder: Path) -> dict[str, str]:
    from evalkit.demo.tracking import log_training

    sources = {}
    for contestant in CONTESTANTS:
        if contestant.training is not None:
            data = "digits@train" if contestant.suite == "digits" else "docstrings of the training modules"
            training = trainings[contestant.training]
            sources[training.name] = log_training(settings, training, folder, kind=contestant.kind, data=data)
    return sources


def _judge(contestant: Contestant, source: str, suite: Path, settings: Settings, console: Console) -> Verdict:
    version = api.register(
        contestant.model,
        model=source,
        suite=suite,
        kind=contestant.kind,
        trained_on=("digits@train",) if contestant.suite == "digits" else (),
        description=f"Demo: {contestant.label}.",
        settings=settings,
    )
    console.rule(f"[bold]{version.reference}[/bold]  {contestant.label}", align="left")
    # A champion that came later must not be held against a decision that is made
    with open_session(settings) as session:
        stored = session.registry.current_decision(version)
    decision: Decision
    if stored is None:
        with progress_bars(console) as bars:
            decision = api.check(version, progress=follow(bars), settings=settings)
    else:
        decision = stored
    # On a second run the version has had its turn: promoting it again would take the alias from its successor
    had_its_turn = stored is not None and stored.passed
    refusal = None if had_its_turn else _promote(version, settings)
    terminal.show(api.show(version, settings=settings), console)
    if refusal is None:
        console.print(Text("promoted to champion before" if had_its_turn else "promoted to champion", style="green"))
    else:
        console.print(Text(f"refused: {refusal}", style="red"))
    return Verdict(contestant, version, decision, refusal)


def _promote(version: ModelVersion, settings: Settings) -> str | None:
    try:
        api.promote(version, settings=settings)
    except PromotionRefusedError as refused:
        return str(refused)
    return None


def _watch(folder: Path, seed: int, settings: Settings, console: Console) -> list[str]:
    """Replay the bot's days in production and show what alerted; return what was not expected."""
    console.rule(f"[bold]{monitoring.MONITOR}[/bold]  {traffic.DAYS} days of the docs bot in production", align="left")
    began = time.monotonic()
    with progress_bars(console) as bars:
        row = bars.add_task("days", total=traffic.DAYS)
        for number in monitoring.replay(folder, seed, settings):
            bars.update(row, completed=number)
    found = monitoring.alerted(settings)
    surprises = monitoring.surprises(found)
    console.print(f"{traffic.DAYS} days under a monitor, {time.monotonic() - began:.1f} s")
    table = Table(box=None, header_style="bold")
    for heading in ("day", "alert", "until", "because", "what the monitor says"):
        table.add_column(heading)
    for episode, why in monitoring.reasons(found):
        until = "" if episode.closed is None else str(episode.closed)
        table.add_row(str(episode.opened), episode.signal, until, why or "NO CAUSE", Text(episode.reason))
    console.print(table)
    for surprise in surprises:
        console.print(Text(f"not as expected: {surprise}", style="red"))
    return surprises


def _summary(verdicts: list[Verdict], folder: Path, console: Console, seconds: float) -> None:
    console.rule("[bold]verdicts", align="left")
    table = Table(box=None, header_style="bold")
    table.add_column("version", no_wrap=True)
    for heading in ("what", "gate", "broken rules", "as expected"):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row(
            verdict.version.reference.removeprefix("models:/"),
            verdict.contestant.label,
            verdict.decision.outcome,
            ", ".join(verdict.broken),
            "yes" if verdict.as_expected else "NO",
        )
    console.print(table)
    console.print(f"\n{seconds:.0f} s. Everything is in {folder}. Look at it:", soft_wrap=True, highlight=False)
    console.print(f"  cd {folder} && evalkit list", soft_wrap=True, highlight=False)
    console.print(f"  cd {folder} && evalkit show models:/digits-gan/2", soft_wrap=True, highlight=False)
    console.print(
        f"  cd {folder} && evalkit alerts list --all",
        soft_wrap=True,
        highlight=False,
    )
    console.print(f"  cd {folder} && evalkit server", soft_wrap=True, highlight=False)
    console.print("  and open http://127.0.0.1:5000/evalkit", soft_wrap=True, highlight=False)


@contextmanager
def _timed(console: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    console.print(f"{what}, {time.monotonic() - began:.1f} s")
