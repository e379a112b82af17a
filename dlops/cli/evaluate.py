"""`dlops evaluate`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def evaluate(overrides: Overrides = None, *, common: Common) -> None:
    """Judge a model beside others, and hold it to requirements. For example: dlops evaluate model=runs:/RUN/model"""
    launch_step("evaluate", overrides, common)
