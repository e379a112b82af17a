"""`dlops run`: several steps in order, as `configs/run.yaml` says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dlops.cli import completion
from dlops.cli.launching import launch_pipeline
from dlops.cli.options import Common, with_common
from dlops.config import overrides as words
from dlops.errors import UsageError

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STEP.KEY=VALUE",
        help="Parameters of steps; --step.key VALUE and --step.key=VALUE mean the same.",
        autocompletion=completion.pipeline_parameters,
        show_default=False,
    ),
]
File = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The pipeline.", show_default="the project's configs/run.yaml"),
]
On = Annotated[
    list[str],
    typer.Option(
        "--on",
        metavar="[STEP=]TARGET",
        help="Where a step runs, or all that do not say.",
        autocompletion=completion.targets,
        show_default=False,
    ),
]


def _steps(option: str, help: str) -> object:  # noqa: A002 - Typer's word
    return typer.Option(option, metavar="STEP", help=help, autocompletion=completion.pipeline_steps, show_default=False)


@partial(with_common, without=("config", "entry_point", "on"))
def run(
    overrides: Overrides = None,
    config: File = None,
    on: On = [],  # noqa: B006 - Typer copies it
    start: Annotated[str, _steps("--from", "Begin with this step; those before it are taken as they were.")] = "",
    end: Annotated[str, _steps("--to", "End with this step.")] = "",
    only: Annotated[list[str], _steps("--only", "Run this step, and no other that is not named too.")] = [],  # noqa: B006
    force: Annotated[list[str], _steps("--force", "Run this step though nothing has changed.")] = [],  # noqa: B006
    parallel: Annotated[int, typer.Option("--parallel", min=0, help="Steps side by side at most; 0 for all.")] = 0,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write how it ended as JUnit XML.", show_default=False),
    ] = None,
    *,
    common: Common,
) -> None:
    """Run the steps of a pipeline in order; what has not changed since it last ran is taken as it was."""
    from dlops.project.pipeline import launching
    from dlops.project.pipeline.asked import Asked

    def asked() -> Asked:
        given = words.parse(overrides or ())
        stated = Asked(
            steps={},
            file="",
            base="",
            targets=_targets(on),
            parallel=parallel,
            start=start,
            end=end,
            only=tuple(only),
            force=tuple(force),
            uri=common.uri,
            version=common.version,
            environment=common.env,
            experiment=common.experiment,
            tracking_uri=common.tracking_uri,
            run_name=common.run_name,
        )
        return launching.with_overrides(launching.read(stated, config), given)

    launch_pipeline(asked, common, junit=junit)


def _targets(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        step, equals, target = word.partition("=")
        step, target = (step, target) if equals else ("", step)
        if step in found:
            raise UsageError(f"--on says twice where {step or 'all steps'} run: {found[step]} and {target}.")
        found[step] = target
    return found
