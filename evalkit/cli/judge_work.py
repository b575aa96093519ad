"""``evalkit judge list | run | cost``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.judging.ledger import Part, Total

FILE = click.Path(dir_okay=False)


@click.command("list", short_help="The judges that come with evalkit.")
@json_option
def list_judges(as_json: bool) -> None:
    """List the shipped judges: what each tells, its kind, and what it reads."""
    from judges.loading import builtin_names, read_definition

    found = [read_definition(name) for name in builtin_names()]
    if as_json:
        rows = [{"name": d.name, "kind": d.kind, "tells": d.description, "reads": list(d.inputs)} for d in found]
        print_json(rows)
        return
    from rich.table import Table

    table = Table("judge", "kind", "tells", "reads", box=None, header_style="bold")
    for definition in found:
        table.add_row(definition.name, definition.kind, definition.description, ", ".join(definition.inputs))
    console().print(table)


@click.command(short_help="Ask a judge about a file of outputs.")
@click.argument("judge")
@click.argument("outputs", type=FILE)
@click.option("--model", help="The model to ask, such as openai:/MODEL or openai:/MODEL@http://127.0.0.1:8000/v1.")
@click.option("--budget", help='At most, such as "5 USD", "2000 requests" or "1M tokens".')
@click.option("--out", type=FILE, required=True, help="Where the verdicts go, as JSON lines; must not exist.")
@json_option
def run(judge: str, outputs: str, model: str | None, budget: str | None, out: str, as_json: bool) -> None:
    """Ask JUDGE, a file or a shipped name, about every row of OUTPUTS (id, output, prompt, expected, context).

    Replies are bought once: the same command again costs nothing. The file of verdicts is what `evalkit judge
    calibrate` compares with people's labels, and what a suite can replay.

    \b
      evalkit judge run judges/helpful.md outputs.jsonl --model openai:/MODEL --out verdicts.jsonl
      evalkit judge calibrate helpful --verdicts verdicts.jsonl --labels labels.csv
    """
    from rich.progress import Progress

    from evalkit.config import load_settings
    from evalkit.judging.asking import ask_judge
    from judges.recorded import verdict_to_json
    from judges.sample_files import read_samples

    if Path(out).exists():
        raise InputError(f"{out} exists already; name another file, so that no verdicts are lost")
    samples = read_samples(outputs)
    given = {sample.id: sample.output for sample in samples}
    with Progress(console=console(), transient=True, disable=as_json or not console().is_terminal) as bars:
        bar = bars.add_task(f"judging {outputs}", total=len(samples))
        asked = ask_judge(
            judge, samples, model=model, budget=budget, settings=load_settings(),
            tell=lambda done: bars.update(bar, completed=done),
        )  # fmt: skip
    with Path(out).open("x", encoding="utf-8") as stream:
        for verdict in asked.verdicts:
            row = verdict_to_json(verdict) | {
                "id": verdict.sample_id, "output": given[verdict.sample_id],
                "judge": asked.judge, "judge_version": asked.version,
            }  # fmt: skip
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    scored = [verdict.value for verdict in asked.verdicts if verdict.value is not None]
    told = {
        "judge": asked.judge,
        "version": asked.version,
        "samples": len(samples),
        "scored": len(scored),
        "mean": sum(scored) / len(scored) if scored else None,
        "requests": asked.usage.requests,
        "cost": asked.usage.cost,
    }
    if as_json:
        print_json(told)
        return
    mean = "none" if told["mean"] is None else f"{told['mean']:.4g}"
    console().print(f"{asked.judge}: {len(scored)} of {len(samples)} samples scored, mean {mean}")
    cost = "" if asked.usage.cost is None else f", {asked.usage.cost:.4g} USD"
    note(f"{asked.usage.requests} requests bought{cost}; verdicts in {out}")


@click.command(short_help="What judges have cost.")
@click.option(
    "--by", default="judge,model,day", show_default=True, help="Groups: judge, judge_version, model, step, day."
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First UTC day.")
@json_option
def cost(by: str, since: object, as_json: bool) -> None:
    """Sum what the replies in the ledger cost: requests, tokens, US dollars, and the time that servers took."""
    from datetime import UTC, datetime

    from evalkit.judging.ledger import parse_parts

    start = 0
    if isinstance(since, datetime):
        start = int(since.replace(tzinfo=UTC).timestamp() * 1000)
    parts = parse_parts(by)
    totals = _totals(parts, start)
    if as_json:
        from evalkit.reports.serialise import to_json

        print_json(to_json(totals))
        return
    from rich.table import Table

    numbers = ("replies", "prompt tokens", "reply tokens", "USD", "without a price", "server seconds")
    table = Table(*parts, *numbers, box=None, header_style="bold")
    for total in totals:
        dollars = "unknown" if total.cost is None else f"{total.cost:.4f}"
        table.add_row(
            *(total.group[part] for part in parts), f"{total.replies:,}", f"{total.prompt_tokens:,}",
            f"{total.output_tokens:,}", dollars, f"{total.unpriced:,}", f"{total.seconds:,.0f}",
        )  # fmt: skip
    console().print(table if totals else "nothing was bought yet")


def _totals(parts: tuple[Part, ...], since: int) -> list[Total]:
    if server_url() is not None:
        from evalkit.remote.judges import costs

        return costs(parts, since)
    from evalkit.config import load_settings
    from evalkit.judging.ledger import open_ledger

    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    try:
        return ledger.totals(parts, since=since)
    finally:
        ledger.close()
