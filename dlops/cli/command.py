"""What every command adds to Typer's own: a quieter help, and the project's parameters among its options."""

from __future__ import annotations

import difflib
from typing import Any

from typer.core import TyperCommand

from dlops.cli import completion, console
from dlops.cli.options import StepCommand
from dlops.errors import UsageError


class Command(TyperCommand):
    """A command whose help names no type beside a flag, and has no padding off a terminal."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Give arguments and options, `--help` among them."""
        known = super().get_params(ctx)
        for parameter in known:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return known

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        with console.unpadded():
            super().format_help(ctx, formatter)


class ParameterCommand(Command):
    """A command that takes the project's own parameters: an option it does not know may be one of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line.

        Raises:
            UsageError: options that are misspelt; all at once.
        """
        rest = super().parse_args(ctx, args)
        words = ctx.params.get("overrides") or []
        if not ctx.resilient_parsing and (problems := self._misspelt(ctx, words)):
            hint = f"`dlops {ctx.info_name} --help` lists them."
            raise UsageError("The command line could not be read.", problems=problems, hint=hint)
        return rest

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Offer options, the project's parameters among them."""
        own = super().shell_complete(ctx, incomplete)
        overrides = next(parameter for parameter in self.get_params(ctx) if parameter.name == "overrides")
        names = {item.value for item in own}
        return [*own, *(item for item in overrides.shell_complete(ctx, incomplete) if item.value not in names)]

    def _misspelt(self, ctx: Any, words: list[str]) -> list[str]:
        """Find options that stand alone, or are nearest to one of ours; the rest is told with the parameters."""
        if not any(word.startswith("--") for word in words) or (found := completion.entry_point(ctx)) is None:
            return []
        options = [name[2:] for known in self.get_params(ctx) for name in known.opts if name.startswith("--")]
        parameters = [parameter.name.replace("_", "-") for parameter in found.parameters]
        problems = []
        for word, following in zip(words, [*words[1:], "--"], strict=True):
            option, equals, _ = word.partition("=")
            name = option[2:].replace("_", "-")
            if not option.startswith("--") or name in parameters:
                continue
            near = difflib.get_close_matches(name, [*parameters, *options], n=1)
            alone = not equals and following.startswith("--")
            if alone or set(near) & set(options):
                problems.append(f"no such option {option}{f'; did you mean --{near[0]}?' if near else ''}")
        return problems


class LaunchCommand(ParameterCommand, StepCommand):
    """A command that launches the step it is named after."""
