"""`configs/dlops.yaml`: what a project says once for all its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from dlops.config import yaml
from dlops.config.parameters import suggestion
from dlops.errors import ConfigError

FILE = Path("configs/dlops.yaml")


@dataclass(frozen=True)
class ProjectSettings:
    """A project's own choices. Where runs are recorded is the user's, and not among them."""

    experiment: str = ""
    """MLflow experiment; the project's name when empty."""
    environment: str = "local"
    """`local` or `uv`, when `--env` does not say."""
    entry_points: Mapping[str, str] = field(default_factory=dict)
    """Step → the name its entry point has in this project's MLproject."""
    require_clean: bool = False
    """Whether a folder is refused that differs from its commit, or has none."""


def load(project: Path) -> ProjectSettings:
    """Read a project's settings; without the file, the defaults.

    Raises:
        ConfigError: unknown keys or wrong types, all at once.
    """
    if not (project / FILE).is_file():
        return ProjectSettings()
    document = yaml.load(project / FILE)
    known = {item.name: item for item in fields(ProjectSettings)}
    problems = []
    for key, value in document.values.items():
        if key not in known:
            problems.append(f"{document.where(key)}: {key!r} is unknown{suggestion(key, known)}")
        elif key == "entry_points" and not isinstance(value, Mapping):
            problems.append(f"{document.where(key)}: entry_points holds STEP: NAME lines, not {value!r}")
        elif key == "require_clean" and not isinstance(value, bool):
            problems.append(f"{document.where(key)}: require_clean is true or false, not {value!r}")
        elif isinstance(known[key].default, str) and not isinstance(value, str):
            problems.append(f"{document.where(key)}: {key} takes a text, not {value!r}")
    if problems:
        raise ConfigError(f"{document.path} cannot be used.", problems=problems)
    return ProjectSettings(**document.values)
