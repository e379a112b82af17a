from __future__ import annotations

import mlflow
import pytest
import torch

from dlops.errors import StepFailed
from dlops.ml import backbones, batches, features, packing_trial, targets
from dlops.ml.batches import Collator
from dlops.ml.features import Rows
from dlops.ml.hardware import Arithmetic
from tests.ml.test_batches import rows

CPU = Arithmetic("cpu", bf16=False)
LENGTHS = [9, 3, 5, 8, 4, 4, 6, 3, 7, 5, 11]


@pytest.fixture(params=["standard", "all_layers"])
def network(request, tiny_model):
    torch.manual_seed(0)
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    return backbones.load(backbones.locate(str(tiny_model)), target, head=request.param)[0]


@pytest.fixture
def splits():
    return Rows(rows(LENGTHS), rows(LENGTHS[:3]), rows(LENGTHS[3:7]), Collator(0, 32))


def read(network, splits):
    return features.of(network, features.fingerprint(network), splits, CPU)


def test_every_row_has_its_own_features(run, network, splits):
    found = read(network, splits)
    assert (len(found.train), len(found.val), len(found.test)) == (11, 3, 4)
    assert found.collate is batches.whole
    for place in range(11):
        (alone,) = Collator(0, None)([splits.train[place]])
        with torch.no_grad():
            expected = network.eval().features(alone)[0]
        torch.testing.assert_close(found.train[place][0], expected, atol=1e-5, rtol=0)
        assert found.train[place][1] == splits.train[place].label


def test_what_was_computed_is_read_the_next_time(run, network, splits, monkeypatch, capsys):
    first = read(network, splits)
    assert "have read 18 rows, once" in capsys.readouterr().out
    monkeypatch.setattr(network, "features", None)
    again = read(network, splits)
    assert torch.equal(first.train.features, again.train.features)
    metrics = mlflow.get_run(run.info.run_id).data.metrics
    assert metrics["feature_rows"] == 0
    assert min(metrics["feature_seconds"], metrics["test_feature_seconds"]) > 0
    assert "read these rows before" in capsys.readouterr().out


def test_the_head_has_no_part_in_it_and_the_backbone_has(run, network, splits, monkeypatch):
    read(network, splits)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if network.is_head(name) or network.is_unread(name):
                parameter.add_(1)
    monkeypatch.setattr(network, "features", None)
    read(network, splits)
    with torch.no_grad():
        network.backbone.embeddings.word_embeddings.weight[7, 0] += 1e-3
    with pytest.raises(TypeError):
        read(network, splits)


def test_a_head_that_reads_more_is_refused(run, tiny_model, splits):
    """As XLNet's, and those of decoders, which read the last token."""
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    network = backbones.load(backbones.locate(str(tiny_model)), target)[0]
    pooler = network.backbone.pooler
    pooler.forward = lambda states: pooler.activation(pooler.dense(states.mean(dim=1)))
    network.packing = packing_trial.fitting(network)
    assert network.packing is None, "its rows cannot lie one behind the other"
    with pytest.raises(StepFailed, match="more than each row's first token") as caught:
        read(network, splits)
    assert "all_layers" in caught.value.hint


def test_without_val_rows(run, network, splits):
    found = read(network, Rows(splits.train, None, splits.test, splits.collate))
    assert found.val is None
    assert len(found.test) == 4
