"""``evalkit import``."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli.output import json_option, note, print_json


@click.command(name="import", short_help="Take in an exported version, or another tool's results.")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--as", "target", type=click.Path(path_type=Path), help="Of another tool: the file to write, such as outputs.jsonl."
)
@click.option("--tool", help="inspect, lm_eval, promptfoo, deepeval or langfuse; recognised by content if not given.")
@click.option("--only", multiple=True, metavar="KEY=VALUE", help="Keep one model, prompt, provider, task or filter.")
@click.option("--name", help="Of an export: the model's name here; the archive's own by default.")
@json_option
def import_results(
    results: tuple[Path, ...],
    target: Path | None,
    tool: str | None,
    only: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Take in RESULTS: what `evalkit export` wrote, or with --as the results of another tool.

    \b
      evalkit import bot-7.zip                      a version's record with everything that was measured of it
      evalkit import log.eval --as outputs.jsonl    of Inspect, lm-evaluation-harness, promptfoo, DeepEval, Langfuse

    An exported version is checked to the last byte, stored at once, and counts for no alias. The file that --as names
    is a task's `outputs`; its score columns count with `{replay: [FILE], column: NAME}`.
    """
    if target is None:
        if len(results) != 1 or tool or only:
            raise click.UsageError("results of another tool need --as FILE; what evalkit exported is imported alone")
        _restore(results[0], name, as_json)
        return
    if name is not None:
        raise click.UsageError("--name goes with an exported version; the results of another tool have no model here")
    from evalkit.imports import import_results as read
    from evalkit.imports.write import write_rows

    wanted = {}
    for given in only:
        key, equals, value = given.partition("=")
        if not equals:
            raise click.BadParameter(f"expected KEY=VALUE, got '{given}'", param_hint="--only")
        wanted[key] = value
    imported = read(results, tool=tool, only=wanted)
    write_rows(imported.rows, target)
    if as_json:
        print_json(
            {
                "tool": imported.tool,
                "file": str(target),
                "rows": len(imported.rows),
                "scores": dict(imported.scores),
                "notes": list(imported.notes),
            }
        )
        return
    click.echo(f"{target}: {len(imported.rows)} rows from {imported.tool}")
    for column, numbers in imported.scores.items():
        name = imported.named[column]
        said = "" if name == column else f" ({name})"
        click.echo(f"  {{replay: [{target.name}], column: {column}}}{said}: {numbers} of {len(imported.rows)} scored")
    for remark in imported.notes:
        note(f"note: {remark}")


def _restore(archive: Path, name: str | None, as_json: bool) -> None:
    from evalkit.remote import server_url
    from evalkit.reports.serialise import to_json

    kept = server_url()
    if kept is not None:
        from evalkit.remote import catalogues

        found = catalogues.restore(archive, name=name)
    else:
        from evalkit.portable.restore import restore
        from evalkit.session import open_session

        with open_session() as session:
            found = restore(session, archive, name=name)
            kept = session.settings.database_url
    if as_json:
        print_json(to_json(found))
        return
    if not found.evaluations and not found.decisions:
        click.echo(f"{found.version.reference}: everything in {archive.name} is here already; nothing was changed")
        return
    what = "a record without the model's files" if found.made else "attached to the version that is here"
    click.echo(f"{found.version.reference} from {found.origin}: {what}")
    counts = f"{len(found.evaluations)} evaluations ({found.recomputed} computed anew from their scores)"
    click.echo(f"  {counts}, {found.decisions} decisions; all imported, none counts for an alias")
    note(f"stored in {kept}; archive {found.digest}")
    if found.withheld:
        note(f"{found.withheld} entries of the audit excerpt are withheld: the chain is shown up to them, not through")
