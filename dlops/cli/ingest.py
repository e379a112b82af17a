"""`dlops ingest`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def ingest(overrides: Overrides = None, *, common: Common) -> None:
    """Turn raw data into a versioned, checked dataset. For example: dlops ingest source=reviews.csv"""
    launch_step("ingest", overrides, common)
