"""What a worker is asked to do: one plain value that travels as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """One entry point to run and to record. All texts are final: the worker decides nothing."""

    step: str
    entry_point: str
    target: str
    command: str
    """Shell text; each key of `downloads` in it stands for the local copy of that URI."""
    folder: str
    """Absolute path of the project's files, where the command runs."""
    tree: str = ""
    """The cached work tree that the folder is in, held until the job has ended; none where it is the user's own."""
    tracking_uri: str
    experiment: str
    run_name: str = ""
    params: dict[str, str] = field(default_factory=dict)
    """As they are logged: canonical, unquoted, secrets masked."""
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    """Name → text, logged when the run starts."""
    downloads: dict[str, str] = field(default_factory=dict)
    """Placeholder in `command` → URI that is fetched before the command starts."""
    path: tuple[str, ...] = ()
    """Folders put before PATH: the environment the command runs in."""
    unset: tuple[str, ...] = ()
    """Environment variables the command must not inherit."""
    secrets: tuple[str, ...] = ()
    """Texts that are masked in whatever the command prints."""
    lock_folder: str = ""
    """Where the lock lies under which a local store is initialised; the temp folder when empty."""
    grace: float = 10.0
    """Seconds between asking the command to end and killing it."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read a job back.

        Raises:
            TypeError: the text was written by another version, with other fields.
        """
        values: dict[str, Any] = json.loads(text)
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})
