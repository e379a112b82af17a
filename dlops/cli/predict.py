"""`dlops predict`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def predict(overrides: Overrides = None, *, common: Common) -> None:
    """Answer every row of a source. For example: dlops predict model=models:/reviews/1 source=new.csv output=answers"""
    launch_step("predict", overrides, common)
