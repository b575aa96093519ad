"""What the command line prints: scorecards, decisions, comparisons and lists, from 60 columns up.

Meaning never rests on colour alone: every outcome is also a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit.reports.numbers import interval, number, percent
from evalkit.reports.scorecard import Line, Scorecard, Section, explanation, utc
from metrics.base import Direction, Estimate
from registry.entities import DatasetRecord, Decision, ModelVersion, RuleOutcome

if TYPE_CHECKING:
    from registry.gate.power import RulePower

NARROW = 84
_STYLE = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
_WORD = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}
_ARROW = {"higher": "↑", "lower": "↓", "none": " "}
Standing = Literal["better", "worse", "undecided", "no direction"]


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One metric of two versions.

    Attributes:
        name, slice: what is compared.
        direction: whether lower or higher is better.
        left, right: the two estimates; None where one has no result.
        difference: left minus right; None where it cannot be computed.
        paired: whether the difference is paired by sample.
        units: of all three numbers.
    """

    name: str
    slice: str
    direction: Direction
    left: Estimate | None
    right: Estimate | None
    difference: Estimate | None
    paired: bool = False
    units: str = ""

    @property
    def standing(self) -> Standing:
        """How the left one stands: decided only where the difference's interval excludes zero."""
        difference = self.difference
        if difference is None or difference.low is None or difference.high is None:
            return "undecided"
        if difference.low <= 0 <= difference.high:
            return "undecided"
        if self.direction == "none":
            return "no direction"
        return "better" if (difference.low > 0) == (self.direction == "higher") else "worse"


def show(card: Scorecard, console: Console) -> None:
    """Print a scorecard: the verdict first, then the four quadrants."""
    verdict(console, card.title, card.verdict, card.headline)
    console.print(_literal(f"suite {card.suite} · {card.kind}" + _aliases(card.aliases), "dim"))
    gated = {id(rule) for section in card.sections for line in section.lines for rule in line.rules}
    for section in card.sections:
        console.print()
        _section(section, card.champion, console)
    if card.levels:
        console.print()
        console.print(_literal(f"intervals: {card.levels}", "dim"))
    loose = [rule for rule in card.rules if id(rule) not in gated]
    if loose:
        console.print()
        rules(loose, console)
    warnings(card.warnings, console)


def decision(made: Decision, console: Console) -> None:
    """Print a decision: the verdict first, each rule one line, then what was noted."""
    count = len(made.rules)
    held = sum(rule.outcome == "pass" for rule in made.rules)
    verdict(console, f"{made.model} version {made.version}", made.outcome, f"{held} of {count} rules hold.")
    rules(made.rules, console)
    look = f" · look {made.look} of {made.looks}" if made.looks > 1 else ""
    champion = f" · champion: version {made.champion}" if made.champion is not None else " · no champion"
    console.print(_literal(f"decided on {made.method}, one-sided alpha {made.alpha:g}{look}{champion}", "dim"))
    for text in made.notes:
        console.print(_literal(f"note: {text}"))


def verdict(console: Console, subject: str, outcome: str | None, sentence: str) -> None:
    """Print the one line that matters."""
    line = Text()
    line.append(_WORD.get(outcome or "", "NOT DECIDED"), style=_STYLE.get(outcome or "", "bold"))
    line.append_text(_literal(f"  {subject}", "bold"))
    line.append_text(_literal(f"  {sentence}"))
    console.print(line)


def rules(outcomes: Sequence[RuleOutcome], console: Console) -> None:
    """Print each rule on one line; what did not pass also says why."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for rule in outcomes:
        text = _literal(rule.rule)
        if rule.slice and rule.slice not in rule.rule:
            text.append_text(_literal(f" [{rule.slice}]"))
        if rule.bound is not None and math.isfinite(rule.bound):
            text.append(f"  bound {number(rule.bound)}", style="dim")
        if rule.outcome != "pass":
            text.append_text(_literal(f"\n{explanation(rule)}"))
        grid.add_row(Text(f"  {rule.outcome}", style=_STYLE[rule.outcome]), text)
    console.print(grid)


def compare(left: str, right: str, rows: Sequence[ComparisonRow], console: Console) -> None:
    """Print differences (left minus right) with intervals, and whether they decide anything."""
    console.print(_literal(f"{left}  compared with  {right}", "bold"))
    if not rows:
        console.print("Nothing to compare: the two share no finished results.")
        return
    wide = console.width >= NARROW
    table = _table(
        "metric", *(["left", "right"] if wide else []), "difference", "left is", numbers=(1, 2) if wide else ()
    )
    for row in rows:
        name = f"{_ARROW[row.direction]} {row.name}" + (f" [{row.slice}]" if row.slice else "")
        both = [number(side.value if side else None, row.units) for side in (row.left, row.right)]
        difference = "not comparable" if row.difference is None else interval(row.difference, row.units, signed=True)
        style = {"better": "green", "worse": "red"}.get(row.standing, "")
        cells = [name, *(both if wide else []), difference + (" *" if row.paired else "")]
        table.add_row(*map(_literal, cells), _literal(row.standing, style))
    console.print(table)
    if any(row.paired for row in rows):
        console.print(_literal("* paired by sample", "dim"))


def versions(found: Sequence[ModelVersion], verdicts: Mapping[str, str], console: Console) -> None:
    """Print registered versions; `verdicts` maps a version's id to its latest outcome."""
    if not found:
        console.print("No model is registered yet; `evalkit register` adds one.")
        return
    wide = console.width >= NARROW
    table = _table("version", "kind", "verdict", "aliases", *(["registered"] if wide else []))
    for version in found:
        outcome = verdicts.get(version.id, "not decided")
        cells = [_literal(version.reference), _literal(version.kind), _literal(outcome, _STYLE.get(outcome, "dim"))]
        cells.append(_literal(", ".join(version.aliases)))
        table.add_row(*cells, *([_literal(utc(version.created_at))] if wide else []))
    console.print(table)


def datasets(found: Sequence[DatasetRecord], console: Console) -> None:
    """Print registered data sets."""
    if not found:
        console.print("No data set is registered yet.")
        return
    table = _table("data set", "rows", "licence", "digest", numbers=(1,))
    for record in found:
        digest = record.digest.removeprefix("sha256:")[:12]
        table.add_row(*map(_literal, [f"{record.name}@{record.split}", f"{record.rows:,}", record.licence, digest]))
    console.print(table)


def power(rows: Sequence[RulePower], console: Console, *, overall: float | None = None) -> None:
    """Print what the gate can decide at the suite's sample sizes."""
    wide = console.width >= NARROW
    table = _table("rule", "n", *(["if the truth is"] if wide else []), "passes", "for 80 %", numbers=(1, 2, 3, 4))
    for row in rows:
        cells = [_rule_name(row), f"{row.n:,}"]
        cells += [number(row.truth)] if wide else []
        cells += ["unknown" if row.power is None else "undecidable" if row.truth is None else percent(row.power)]
        cells += ["" if row.needed is None else f"{row.needed:,}"]
        table.add_row(*map(_literal, cells))
    console.print(table)
    for row in rows:
        console.print(_literal(f"  {_rule_name(row)}: {row.basis}", "dim"))
    if overall is not None:
        console.print(_literal(f"All rules together pass {percent(overall)} of the time.", "bold"))


def warnings(texts: Iterable[str], console: Console) -> None:
    """Print warnings, each on its own line and marked by a word."""
    for text in texts:
        line = Text("warning: ", style="yellow")
        line.append_text(_literal(text))
        console.print(line)


def _section(section: Section, champion: int | None, console: Console) -> None:
    """Print a quadrant; the number of samples stands in its heading where all lines share it."""
    heading = _literal(section.quadrant.capitalize(), "bold")
    if not section.measured:
        console.print(heading)
        console.print(_literal("  not measured", "dim"))
        return
    samples = {_n(line) for line in section.lines}
    if len(samples) == 1:
        heading.append_text(_literal(f"  n={min(samples)}", "dim"))
    console.print(heading)
    wide, apart = console.width >= NARROW, len(samples) > 1
    beside = [f"champion v{champion}"] if champion is not None and wide else []
    headers = ["metric", "value [interval]", *beside, *(["n"] if apart else []), "gate"]
    table = _table(*headers, numbers=(len(headers) - 2,) if apart else ())
    for line in section.lines:
        cells = [f"{_ARROW[line.direction]} {line.label}", interval(line.estimate, line.units)]
        cells += [interval(line.champion, line.units) if line.champion else "none"] if beside else []
        cells += [_n(line)] if apart else []
        table.add_row(*map(_literal, cells), _outcome(line.outcome))
    console.print(table)


def _rule_name(row: RulePower) -> str:
    return row.rule + (f" [{row.slice}]" if row.slice else "")


def _n(line: Line) -> str:
    covered = line.estimate.coverage
    return f"{line.estimate.n:,}" + (f" ({percent(covered)})" if covered < 1 else "")


def _outcome(outcome: str | None) -> Text:
    return Text(outcome or "", style=_STYLE.get(outcome or "", ""))


def _table(*headers: str, numbers: Sequence[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for position, header in enumerate(headers):
        table.add_column(Text(header), justify="right" if position in numbers else "left", overflow="fold")
    return table


def _aliases(aliases: Sequence[str]) -> str:
    return f" · {', '.join('@' + alias for alias in aliases)}" if aliases else ""


def _literal(text: str, style: str = "") -> Text:
    """Text without rich's markup, and without control characters that could drive the terminal."""
    return Text("".join(c if c.isprintable() or c == "\n" else "�" for c in text), style=style)
