"""Files of parameters that are named on a command line: those of this machine, and artifacts of runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dlops.config import folders
from dlops.errors import UsageError
from dlops.project import plan
from dlops.project.runs import Runs

_ARTIFACT = re.compile(r"runs:/([^/]+)/(.+)")


def local(name: Path, tracking_uri: str = "") -> Path:
    """Give the file that a name stands for; an artifact, `runs:/RUN/FILE`, is fetched from its tracking store.

    Raises:
        UsageError: there is no such run, or it has no such artifact.
        UnreachableError: the store does not answer.
    """
    named = _ARTIFACT.fullmatch(name.as_posix())
    if not named:
        return name
    runs = Runs(plan.tracking_uri(tracking_uri))
    run = runs.one(named[1])
    text = runs.text(run.run_id, named[2])
    if not text:
        raise UsageError(f"Run {run.run_id} has no artifact {named[2]}.", hint="`dlops ui` shows what it has.")
    file = folders.cache() / "configs" / run.run_id / Path(named[2]).name
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
    return file
