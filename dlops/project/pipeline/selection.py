"""Which steps of a pipeline are to run: all, or those from one on, up to one, or named ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlops.config.parameters import suggestion
from dlops.errors import UsageError
from dlops.project.pipeline.definition import Pipeline


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the command line asks of the steps."""

    start: str = ""
    """This step and all that need it."""
    end: str = ""
    """This step and all that it needs."""
    only: Sequence[str] = ()
    force: Sequence[str] = ()
    """Steps that run although nothing has changed."""

    def __post_init__(self) -> None:
        if self.only and (self.start or self.end):
            raise UsageError("--only names all steps that are to run: --from and --to say nothing beside it.")

    def names(self, pipeline: Pipeline) -> set[str]:
        """Name the steps that are to run; what they need of the others is taken as it was.

        Raises:
            UsageError: steps that the pipeline does not have; all at once.
        """
        options: Mapping[str, Sequence[str]] = {
            "--from": [self.start] if self.start else [],
            "--to": [self.end] if self.end else [],
            "--only": self.only,
            "--force": self.force,
        }
        problems = [
            f"{option} {name}: there is no such step{suggestion(name, pipeline.steps)}"
            for option, names in options.items()
            for name in names
            if name not in pipeline.steps
        ]
        if problems:
            raise UsageError(
                "The steps are wrong.", problems=problems, hint=f"The pipeline has {', '.join(pipeline.steps)}."
            )
        chosen = set(self.only) if self.only else set(pipeline.steps)
        if self.start:
            chosen &= {self.start, *pipeline.after(self.start)}
        if self.end:
            chosen &= {self.end, *pipeline.before(self.end)}
        idle = [name for name in self.force if name not in chosen]
        if idle:
            raise UsageError(f"--force {idle[0]}: it is not among the steps that are to run.")
        if not chosen:
            raise UsageError(f"No step is both from {self.start} on and up to {self.end}.")
        return chosen
