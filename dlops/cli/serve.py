"""`dlops serve`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def serve(overrides: Overrides = None, *, common: Common) -> None:
    """Answer over HTTP until it is ended. For example: dlops serve model=models:/reviews@champion port=8000"""
    launch_step("serve", overrides, common)
