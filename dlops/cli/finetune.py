"""`dlops finetune`."""

from __future__ import annotations

from dlops.cli.launching import launch_step
from dlops.cli.options import Common, Overrides, with_common


@with_common
def finetune(overrides: Overrides = None, *, common: Common) -> None:
    """Fine-tune a pretrained model on an ingested dataset. For example: dlops finetune dataset=reviews epochs=2"""
    launch_step("finetune", overrides, common)
