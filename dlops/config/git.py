"""Git, run without what a hook of another repository has set."""

from __future__ import annotations

import os

_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Variables that a Git hook sets, and that would lead away from the folder that Git is run in."""


def environment() -> dict[str, str]:
    """Give this process's environment, as Git needs it to look at the folder that it is run in."""
    return {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
