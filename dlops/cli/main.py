"""The `dlops` command: every command's place in it, and the one place where errors end."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from dlops.cli import console
from dlops.errors import DlopsError, UsageError

COMMANDS = {
    "Launch a step": {
        "ingest": "Turn raw data into a versioned, checked dataset.",
        "finetune": "Fine-tune a pretrained model on an ingested dataset.",
    },
    "Look after runs": {
        "status": "List the latest runs, or tell all about one.",
        "logs": "Print what a run printed, or follow it.",
        "cancel": "End a run and everything it started.",
        "ui": "Show runs, metrics and models in a browser.",
    },
    "Look before you launch": {
        "params": "List a step's parameters.",
        "config": "Show each value a step would run with, and its layer.",
        "doctor": "Check this machine and this project.",
        "version": "Print the version of dlops.",
    },
}
"""Heading → command → summary: the module `dlops.cli.NAME` holds the function NAME, imported when it is called for."""

_TAKES_PARAMETERS = frozenset({"ingest", "finetune", "config"})


class Commands(TyperGroup):
    """All commands by name; only the one that is called is imported, and the overview needs none of them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the interface's
        """List every command, in the order of the overview."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and build one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        from dlops.cli.options import StepCommand

        function = getattr(importlib.import_module(f"dlops.cli.{cmd_name}"), cmd_name)
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        launches = cmd_name in COMMANDS["Launch a step"]
        settings = {"help_option_names": ["--help", "-h"], "ignore_unknown_options": cmd_name in _TAKES_PARAMETERS}
        app.command(cmd_name, cls=StepCommand if launches else None, context_settings=settings)(function)
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is called, or the one that may have been meant."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            from dlops.config.parameters import suggestion

            near = suggestion(args[0], known) or "."
            raise UsageError(f"There is no command {args[0]!r}{near}", hint="`dlops --help` lists them.")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the interface's
        """Print the overview."""
        to = console.out()
        to.print(f"\n [bold]dlops[/] COMMAND \\[KEY=VALUE]... \\[OPTIONS]\n\n {self.help}\n")
        for heading, commands in COMMANDS.items():
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
            for name, summary in commands.items():
                table.add_row(Text(f"{name:10}", "cyan"), summary)
            to.print(f" [bold]{heading}[/]", table, "", sep="\n")
        to.print(" `dlops COMMAND --help` tells more. `dlops --install-completion` teaches your shell to complete.")


app = typer.Typer(
    name="dlops",
    cls=Commands,
    help="Run the deep learning life cycle as MLflow project entry points, anywhere, truthfully.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def _dlops() -> None:
    pass


def main() -> None:
    """Run the command line; an error we can explain is explained, anything else is a bug and shows its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 must not end a command
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=not as_json)
    except DlopsError as error:
        console.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_code) from None
    except typer.TyperException as error:
        console.show_error(UsageError(error.format_message()), as_json=as_json)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(code)


if __name__ == "__main__":
    main()
