"""The command group, and how errors become one line and an exit code.

Exit codes: 0 pass or done, 1 fail or refused, 2 usage error, 3 inconclusive.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from evalkit.cli.failures import explain
from evalkit.cli.output import fail_line
from evalkit.generators.redaction import redact_logs
from metrics.errors import InputError, did_you_mean

EXIT_OK, EXIT_FAIL, EXIT_USAGE, EXIT_INCONCLUSIVE = 0, 1, 2, 3

_RETRIES = "2"
"""MLflow's own seven keep somebody who mistyped a server's address waiting for four minutes."""

_COMMANDS = {
    "alerts": "evalkit.cli.alerts:alerts",
    "approve": "evalkit.cli.approval:approve",
    "audit": "evalkit.cli.audit:audit",
    "check": "evalkit.cli.evaluation:check",
    "compare": "evalkit.cli.evaluation:compare",
    "dataset": "evalkit.cli.datasets:dataset",
    "demote": "evalkit.cli.approval:demote",
    "db": "evalkit.cli.db:db",
    "doctor": "evalkit.cli.doctor:doctor",
    "evaluate": "evalkit.cli.evaluation:evaluate",
    "export": "evalkit.cli.portable:export",
    "forget": "evalkit.cli.forget:forget",
    "gate": "evalkit.cli.evaluation:gate",
    "import": "evalkit.cli.imports:import_results",
    "judge": "evalkit.cli.judge:judge",
    "list": "evalkit.cli.models:list_models",
    "metrics": "evalkit.cli.catalogue:metrics",
    "monitor": "evalkit.cli.monitor:monitor",
    "pages": "evalkit.cli.pages:pages",
    "policy": "evalkit.cli.policy:policy",
    "promote": "evalkit.cli.models:promote",
    "register": "evalkit.cli.models:register",
    "results": "evalkit.cli.portable:results",
    "run-due": "evalkit.cli.run_due:run_due",
    "server": "evalkit.cli.server:server",
    "show": "evalkit.cli.evaluation:show",
    "suite": "evalkit.cli.suites:suite",
    "token": "evalkit.cli.users:token",
    "user": "evalkit.cli.users:user",
    "webhook": "evalkit.cli.webhooks:webhook",
    "worker": "evalkit.cli.worker:worker",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add a suggestion to the error about an unknown command."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise InputError(f"no command '{args[0]}'{did_you_mean(args[0], _COMMANDS)} (see `evalkit --help`)")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="evalkit", message="evalkit %(version)s")
def app() -> None:
    """Decide whether a generative model may ship.

    Register model versions together with the suites that judge them, evaluate, and let a gate decide:
    pass (exit 0), fail (1) or inconclusive (3), with an interval on every number.

    \b
      evalkit check outputs.jsonl --baseline old.jsonl     compare two files of outputs, no suite needed
      evalkit register my-model --model PATH --suite suite.yaml
      evalkit check models:/my-model/1                     evaluate, then gate
      evalkit promote models:/my-model/1 --to champion
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code; bad input, and what the surroundings do wrong, is one line."""
    as_json = "--json" in arguments
    redact_logs()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    try:
        result = app.main(args=list(arguments), prog_name="evalkit", standalone_mode=False)
    except click.ClickException as error:
        fail_line(error.format_message(), as_json=as_json)
        return EXIT_USAGE
    except InputError as error:
        fail_line(str(error), as_json=as_json)
        return getattr(error, "exit_code", EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        fail_line("interrupted; the same command continues where this one stopped", as_json=as_json)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        fail_line(line, as_json=as_json)
        return EXIT_USAGE
    return result if isinstance(result, int) else EXIT_OK


__all__ = ["EXIT_FAIL", "EXIT_INCONCLUSIVE", "EXIT_OK", "EXIT_USAGE", "app", "run"]
