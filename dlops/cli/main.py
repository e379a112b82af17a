"""The `dlops` command: every command's place in it, and the one place where errors end."""

from __future__ import annotations

import importlib
import io
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from dlops import __version__
from dlops.cli import console
from dlops.errors import DlopsError, Interrupted, UsageError
from dlops.worker import masking

COMMANDS = {
    "Launch a step": {
        "ingest": "Turn raw data into a versioned, checked dataset.",
        "finetune": "Fine-tune a pretrained model on an ingested dataset.",
        "tune": "Search the parameters of finetune for better ones.",
        "evaluate": "Judge a model beside others, and hold it to requirements.",
        "explain": "Explain what of each text a model's answers rest on.",
        "register": "Register a model that has earned it.",
        "serve": "Answer over HTTP, from the version an alias names.",
        "predict": "Answer every row of a source, each once.",
    },
    "Run several": {
        "run": "Run a pipeline, but for what has not changed.",
    },
    "Look after runs": {
        "status": "List the latest runs, or tell all about one.",
        "logs": "Print what a run printed, or follow it.",
        "cancel": "End a run and everything it started.",
        "resume": "Go on where a run was interrupted.",
        "rerun": "Do once more what a run did.",
        "reproduce": "Do it once more, and compare each metric.",
        "ui": "Show runs, metrics and models in a browser.",
    },
    "Look after models": {
        "models": "List registered models, their versions and champions.",
        "promote": "Make a version the champion.",
        "rollback": "Make champion again who was it before.",
        "approve": "Let a version that waits become the champion.",
        "lineage": "Show where a model comes from, and what came of it.",
    },
    "Look after data": {
        "data": "List datasets, show or compare them, remove old versions.",
    },
    "Look before you launch": {
        "init": "Write a small project of your own.",
        "params": "List a step's parameters.",
        "config": "Show each value a step would run with, and its layer.",
        "doctor": "Check this machine, this project and a target.",
        "version": "Print the version of dlops.",
    },
}
"""Heading → command → summary: the module `dlops.cli.NAME` holds the function NAME, imported when it is called for."""

_GROUPS = frozenset({"data"})
"""Commands that have commands of their own: the module holds their Typer app."""
_TAKES_PARAMETERS = frozenset(
    {
        *("ingest", "finetune", "tune", "evaluate", "explain", "register", "serve", "predict"),
        *("run", "config", "resume", "rerun", "reproduce"),
    }
)


class Commands(TyperGroup):
    """All commands by name; only the one that is called is imported, and the overview needs none of them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the interface's
        """List every command, in the order of the overview."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and build one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        from dlops.cli.command import Command, LaunchCommand, ParameterCommand

        module = importlib.import_module(f"dlops.cli.{cmd_name}")
        if cmd_name in _GROUPS:
            return typer.main.get_command(module.app)
        function = getattr(module, cmd_name)
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        takes_parameters = cmd_name in _TAKES_PARAMETERS
        kind = ParameterCommand if takes_parameters else Command
        settings = {"help_option_names": ["--help", "-h"], "ignore_unknown_options": takes_parameters}
        app.command(
            cmd_name, cls=LaunchCommand if cmd_name in COMMANDS["Launch a step"] else kind, context_settings=settings
        )(function)
        return typer.main.get_command(app)

    def invoke(self, ctx: Any) -> Any:
        """Call the command.

        Raises:
            Interrupted: Ctrl-C was pressed; who follows a run ends that run instead.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("Ended by Ctrl-C or a signal.") from None

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


def _print_version(asked: bool) -> None:
    if asked:
        console.out().print(__version__)
        raise typer.Exit


@app.callback()
def _dlops(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version)] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error we can explain is explained, anything else is a bug and shows its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 must not end a command
    as_json = "--json" in sys.argv
    try:
        _refuse_a_deleted_folder()
        code = app(standalone_mode=False)
    except DlopsError as error:
        console.show_error(error, as_json=as_json)
        code = error.exit_code
    except typer.TyperException as error:
        if sys.argv[1:]:  # alone, the overview has been shown
            console.show_error(_usage_error(error), as_json=as_json)
        code = error.exit_code
    except Exception as error:
        if not as_json:
            raise
        traceback.print_exc()
        said = DlopsError(masking.url(f"{type(error).__name__}: {error}"), hint="Its traceback is on stderr.")
        console.show_error(said, as_json=True)
        code = said.exit_code
    raise SystemExit(code)


def _refuse_a_deleted_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("The current folder was deleted.", hint="Change to another one: `cd`.") from None


def _usage_error(error: typer.TyperException) -> UsageError:
    """Say what Typer found wrong as we say it: without its colon, and with what to type next."""
    message, ctx = error.format_message(), getattr(error, "ctx", None)
    if near := getattr(error, "possibilities", None):
        message = f"{error.message}; did you mean {near[0]}?"
    command = ctx.command_path.removeprefix(ctx.find_root().command_path) if ctx else ""
    hint = f"`dlops{command} --help` tells more."
    return UsageError(message.replace("No such option: ", "No such option "), hint=hint)


if __name__ == "__main__":
    main()
