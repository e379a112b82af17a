"""The names of targets: `local` always exists."""

from __future__ import annotations

from dlops.config.parameters import suggestion
from dlops.errors import UsageError
from dlops.targets.interface import Target
from dlops.targets.local import Local

NAMES = ("local",)


def named(name: str) -> Target:
    """Give the target of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in NAMES:
        raise UsageError(
            f"There is no target {name!r}{suggestion(name, NAMES) or '.'}", hint=f"There is: {', '.join(NAMES)}."
        )
    return Local()
