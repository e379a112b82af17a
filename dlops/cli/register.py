"""`dlops register`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def register(overrides: Overrides = None, *, common: Common) -> None:
    """Register a model that has earned it. For example: dlops register model=runs:/RUN/model name=reviews"""
    launch_step("register", overrides, common)
