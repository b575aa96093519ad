"""``evalkit doctor``: is this installation sound, and where does state live?"""

from __future__ import annotations

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url


@click.command(short_help="Is this installation sound? Where is state?")
@json_option
def doctor(as_json: bool) -> int:
    """Check the installation, the stores and what is optional; exit 1 where something is broken.

    With EVALKIT_SERVER it is the server's, for an admin.
    """
    if server_url() is not None:
        from evalkit.remote.machine import diagnose as there

        findings = there()
        note(f"this is {server_url()}; unset EVALKIT_SERVER to look at this machine")
    else:
        from evalkit.diagnosis import diagnose

        findings = diagnose()
    if as_json:
        print_json([{"check": f.check, "status": f.status, "detail": f.detail} for f in findings])
    else:
        from rich.table import Table

        table = Table("", "check", "detail", box=None, show_header=False)
        for finding in findings:
            table.add_row(finding.status, finding.check, finding.detail)
        console().print(table)
    return 1 if any(finding.status == "broken" for finding in findings) else 0
