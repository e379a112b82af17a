"""`dlops tune`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def tune(overrides: Overrides = None, *, common: Common) -> None:
    """Search the parameters of finetune for better ones. For example: dlops tune dataset=reviews trials=20"""
    launch_step("tune", overrides, common)
