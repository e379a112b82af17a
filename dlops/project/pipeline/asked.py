"""A pipeline as it was asked for: one value, which travels to the process that runs it, and is kept with its run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlops.project.pipeline import definition
from dlops.project.pipeline.definition import Pipeline, Step
from dlops.project.pipeline.selection import Selection

ARTIFACT = "pipeline.json"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to run."""

    steps: Mapping[str, Any]
    """As the file holds them."""
    file: str
    """Where they were read from."""
    base: str
    """The folder that relative paths in it begin at; one of the project's is relative to the project's folder."""
    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Step → its parameters of the command line."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """Step → its target of the command line; the empty name stands for all that do not say."""
    parallel: int = 0
    start: str = ""
    end: str = ""
    only: Sequence[str] = ()
    taken: Mapping[str, str] = field(default_factory=dict)
    """Step that is not to run → the run that it is taken from, where that is not the latest."""
    force: Sequence[str] = ()
    uri: str = "."
    version: str = ""
    diff: str = ""
    environment: str = ""
    lock: str = ""
    experiment: str = ""
    tracking_uri: str = ""
    run_name: str = ""
    resumed_from: str = ""
    """The pipeline's run that this one goes on from."""

    @property
    def selection(self) -> Selection:
        return Selection(start=self.start, end=self.end, only=self.only, force=self.force)

    def pipeline(self, folder: Path) -> Pipeline:
        """Read the steps, of the project in a folder.

        Raises:
            ConfigError: they cannot be used.
        """
        return definition.parse({"steps": self.steps}, file=self.file, base=folder / self.base)

    def values(self, step: Step) -> dict[str, Any]:
        """Give what is said of a step's parameters; the command line wins."""
        return {**step.parameters, **self.given.get(step.name, {})}

    def target_of(self, step: Step) -> str:
        """Name where a step runs."""
        return self.targets.get(step.name) or step.target or self.targets.get("") or "local"

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Asked:
        """Read it back.

        Raises:
            TypeError, ValueError: the text is something else, or of another version of dlops.
        """
        values: dict[str, Any] = json.loads(text)
        lists: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})
