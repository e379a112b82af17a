"""What a worker is asked to do: one plain value that travels as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """One entry point to run and to record. All texts are final: the worker decides nothing."""

    step: str
    entry_point: str
    target: str
    command: str
    """Shell text; a key of `inputs` or `outputs` in it stands for that path, of `downloads` for a copy of that URI."""
    folder: str
    """Absolute path of the project's files, where the command runs; empty where they come as an `archive`."""
    ahead: tuple[str, ...] = ()
    """Modules that the command, a Python module itself, may find imported: that is done while its run is being made."""
    archive: str = ""
    """A tar archive of the project's files, unpacked for this job."""
    probe: bool = False
    """Whether nothing is to be run, and only told what a job would find."""
    client: str = ""
    """What is installed for the worker where its Python has no MLflow: `mlflow-skinny==VERSION`."""
    run_id: str = ""
    """The run to go on with, which whoever launched this has made; none where the worker makes it."""
    tree: str = ""
    """The cached work tree that the folder is in, held until the job has ended; none where it is the user's own."""
    tracking_uri: str
    experiment: str
    run_name: str = ""
    params: dict[str, str] = field(default_factory=dict)
    """As they are logged: canonical, unquoted, secrets masked."""
    changed: tuple[str, ...] = ()
    """Names of those parameters that have another value than their default."""
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    """Name → text, logged when the run starts."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Placeholder in `command` → file or folder of the machine that it was launched from."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Placeholder in `command` → place on that machine which the command writes."""
    downloads: dict[str, str] = field(default_factory=dict)
    """Placeholder in `command` → URI that is fetched before the command starts."""
    uploaded: dict[str, str] = field(default_factory=dict)
    """Placeholder of `downloads` → where it lies on the machine that it was launched from."""
    given: str = ""
    """What the command reads from its standard input; it may be secret."""
    path: tuple[str, ...] = ()
    """Folders put before PATH: the environment the command runs in."""
    packages: tuple[str, ...] = ()
    """What the target installs for the command, one `NAME==VERSION` each; none where its own Python is taken."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables of the worker and the command; they may be secret."""
    unset: tuple[str, ...] = ()
    """Environment variables the command must not inherit."""
    secrets: tuple[str, ...] = ()
    """Texts that are masked in whatever the command prints."""
    lock_folder: str = ""
    """Where the lock lies under which a local store is initialised; the temp folder when empty."""
    grace: float = 10.0
    """Seconds between asking the command to end and killing it."""

    @contextlib.contextmanager
    def input(self) -> Iterator[IO[bytes]]:
        """Open what the command reads: a file without a name, of which nothing is left however all ends."""
        with tempfile.TemporaryFile() if self.given else Path("/dev/null").open("rb") as file:
            if self.given:
                file.write(self.given.encode())
                file.seek(0)
            yield file

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
