"""Every error a user can meet, drawn once, each with its exit code.

DlopsError                1  a bug in dlops, unless a subclass says otherwise
├── UsageError            2  the command line is wrong
├── ConfigError           2  a file is wrong: a config, an MLproject, an environment
├── GateFailed            3  a quality gate said no
├── StepFailed            4  the step itself failed
│   └── DataError         4  the data a step was given cannot be used
├── UnreachableError      5  a tracking server, a target or the network did not answer
└── Interrupted         130  the user (or a signal) ended it
"""

from __future__ import annotations

from collections.abc import Sequence


class DlopsError(Exception):
    """A failure that is explained to the user: what happened, and what to do next.

    Several problems found together are listed one under another in `problems`.
    """

    exit_code = 1
    kind = "bug"

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {problem}" for problem in self.problems)])


class UsageError(DlopsError):
    """The command line is wrong."""

    exit_code = 2
    kind = "usage"


class ConfigError(DlopsError):
    """A file that configures the run is wrong."""

    exit_code = 2
    kind = "config"


class GateFailed(DlopsError):
    """A quality gate said no; the step ran, and its answer is no."""

    exit_code = 3
    kind = "gate"


class StepFailed(DlopsError):
    """The step started and did not succeed."""

    exit_code = 4
    kind = "step"

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[str] = (), printed: str = "") -> None:
        super().__init__(message, hint=hint, problems=problems)
        self.printed = printed
        """The step's own last error, which whoever followed it has seen."""

    def __str__(self) -> str:
        return "\n".join(filter(None, [super().__str__(), self.printed]))


class DataError(StepFailed):
    """The data a step was given cannot be read or used."""

    kind = "data"


class UnreachableError(DlopsError):
    """A tracking server, a target or the network did not answer."""

    exit_code = 5
    kind = "unreachable"


class Interrupted(DlopsError):
    """The user, or a signal, ended the work."""

    exit_code = 130
    kind = "interrupted"
