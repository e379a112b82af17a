"""Weights that a run has kept, those of a head or of all; others are refused."""

from __future__ import annotations

import mlflow
import pytest
import torch

from dlops.errors import StepFailed
from dlops.ml import backbones, kept_weights, targets

NAMES = ("negative", "positive")


@pytest.mark.parametrize("head", [True, False])
def test_what_was_kept_is_loaded(run, loaded, tiny_model, head):
    network, _ = loaded
    with torch.no_grad():
        network.last.weight.fill_(0.25)
    kept_weights.keep(network, NAMES, head=head)
    other, _ = backbones.load(backbones.locate(str(tiny_model)), targets.of("classes", NAMES, []))
    kept_weights.load(other, NAMES, run.info.run_id, head=head)
    for name, tensor in network.state_dict().items():
        if not head or network.is_head(name):
            assert torch.equal(other.state_dict()[name], tensor), name


def test_what_fits_not_is_refused(run, loaded, tiny_model):
    kept_weights.keep(loaded[0], NAMES, head=False)
    with pytest.raises(StepFailed, match="they are not of a head alone"):
        kept_weights.load(loaded[0], NAMES, run.info.run_id, head=True)
    averaging, _ = backbones.load(backbones.locate(str(tiny_model)), targets.of("classes", NAMES, []), head="mean")
    with pytest.raises(StepFailed, match="they are of another network"):
        kept_weights.load(averaging, NAMES, run.info.run_id, head=False)
    with pytest.raises(StepFailed, match="for the labels negative, positive, and not positive, negative"):
        kept_weights.load(loaded[0], NAMES[::-1], run.info.run_id, head=False)
    with mlflow.start_run(nested=True) as empty, pytest.raises(StepFailed, match=empty.info.run_id):
        kept_weights.load(loaded[0], NAMES, empty.info.run_id, head=False)
