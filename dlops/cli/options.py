"""The options that every launching command shares, and how the project's own parameters stand beside them."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from dlops.cli import completion
from dlops.config import overrides

if TYPE_CHECKING:
    from dlops.project.plan import Request

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="The project's own parameters; --key VALUE and --key=VALUE mean the same.",
        autocompletion=completion.parameters,
        show_default=False,
    ),
]
Uri = Annotated[
    str,
    typer.Option(
        "--uri",
        metavar="PROJECT",
        help="The project to launch: a folder, or a Git remote (https://…, ssh://…, git@…, file://…) with #SUBFOLDER.",
        show_default="this folder",
    ),
]
Version = Annotated[
    str,
    typer.Option(
        "--version",
        "-v",
        metavar="REVISION",
        help="Branch, tag or commit of the Git remote.",
        show_default="its default branch",
    ),
]
TrackingUri = Annotated[
    str,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="Where runs are recorded.",
        show_default="MLFLOW_TRACKING_URI, else sqlite:///mlflow.db",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, to stdout.")]
ModelName = Annotated[
    str, typer.Argument(metavar="NAME", help="A registered model.", autocompletion=completion.registered_models)
]
VersionNumber = Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or an alias.")]
By = Annotated[
    str, typer.Option("--by", metavar="WHO", help="Who does it, where the registry does not know.", show_default="you")
]


@dataclass(frozen=True, kw_only=True)
class Common:
    """The shared options of a launch."""

    config: Annotated[
        list[Path],
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="YAML file of parameters, or a run's artifact: runs:/RUN/FILE; a later one wins.",
            show_default=False,
        ),
    ] = ()  # type: ignore[assignment]
    uri: Uri = "."
    version: Version = ""
    entry_point: Annotated[
        str,
        typer.Option(
            "--entry-point",
            "-e",
            metavar="NAME",
            help="The entry point, where it is not named as the step.",
            autocompletion=completion.entry_points,
            show_default=False,
        ),
    ] = ""
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="TARGET",
            help="Where to run.",
            autocompletion=completion.targets,
            show_default="local",
        ),
    ] = ""
    env: Annotated[
        str,
        typer.Option(
            "--env",
            metavar="KIND",
            help="local (this interpreter) or uv (built from conda.yaml or python_env.yaml).",
            autocompletion=completion.environments,
            show_default="local",
        ),
    ] = ""
    experiment: Annotated[
        str, typer.Option("--experiment", metavar="NAME", help="MLflow experiment.", show_default="the project's name")
    ] = ""
    tracking_uri: TrackingUri = ""
    run_name: Annotated[
        str, typer.Option("--run-name", metavar="NAME", help="MLflow run name.", show_default=False)
    ] = ""
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, create nothing.")] = (
        False
    )
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's id once it has started, and return.")] = (
        False
    )
    json: AsJson = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the outcome only, not what the step prints.")] = (
        False
    )


class StepCommand(TyperCommand):
    """A command whose help also lists the parameters of the project it would launch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the command's help, then the project's own parameters."""
        super().format_help(ctx, formatter)
        from dlops.cli import parameter_table

        parameter_table.below_help(self.name or "", *_project_options(sys.argv))


def request(step: str, arguments: Sequence[str] | None, common: Common) -> Request:
    """Turn a command line into what is asked of the launcher.

    Raises:
        UsageError: the parameters cannot be read, or a file of them is an artifact that is not there.
    """
    from dlops.project.plan import Request

    return Request(
        step=step,
        given=overrides.parse(arguments or ()),
        uri=common.uri,
        version=common.version,
        entry_point=common.entry_point,
        config_files=_files(common),
        target=common.on,
        environment=common.env,
        experiment=common.experiment,
        tracking_uri=common.tracking_uri,
        run_name=common.run_name,
    )


def _files(common: Common) -> tuple[Path, ...]:
    if not common.config:
        return ()
    from dlops.project import config_files

    return tuple(config_files.local(file, common.tracking_uri) for file in common.config)


def with_common(function: Callable[..., None], *, without: Collection[str] = ()) -> Callable[..., None]:
    """Give a command the shared options: its parameter `common` becomes one option for each field of `Common`.

    The fields in `without` mean nothing to the command: it has no such options, and sees their defaults.
    """
    taken = [field for field in fields(Common) if field.name not in without]
    hints = get_type_hints(Common, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=list(field.default) if isinstance(field.default, tuple) else field.default,
            annotation=hints[field.name],
        )
        for field in taken
        if field.default is not MISSING
    ]
    own_hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=own_hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "common"
    ]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        common = Common(**{field.name: values.pop(field.name) for field in taken})
        function(**values, common=common)

    command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
    del command.__wrapped__
    return command


def _project_options(words: Sequence[str]) -> tuple[str, str, str]:
    """Find what names the project on a command line that asks for help, which is answered before it is read."""
    found = {"--uri": ".", "--entry-point": "", "--version": ""}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        name = {"-e": "--entry-point", "-v": "--version"}.get(name, name)
        if name in found:
            found[name] = value if equals else following
    return found["--uri"], found["--entry-point"], found["--version"]
