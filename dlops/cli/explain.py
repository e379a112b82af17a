"""`dlops explain`."""

from __future__ import annotations

import os
import sys

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def explain(overrides: Overrides = None, *, common: Common) -> None:
    """Explain what of each text a model's answers rest on. For example: dlops explain model=models:/reviews@champion"""
    if sys.stderr.isatty():  # where the step's output is shown; the step itself writes into a file
        os.environ.setdefault("FORCE_COLOR", "1")
    launch_step("explain", overrides, common)
