from __future__ import annotations

import pytest
import torch

from dlops.ml import backbones, networks, targets, text_classifier
from dlops.ml.networks import trainable

HEADS = ("standard", "mean", "all_layers")


@pytest.fixture(params=HEADS)
def network(request, tiny_model):
    torch.manual_seed(0)
    target = targets.of("classes", ("a", "b", "c"), ["a", "b", "c"])
    return backbones.load(backbones.locate(str(tiny_model)), target, head=request.param)[0].eval()


@pytest.fixture
def part():
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.tensor([0, 1])}


def test_features_give_the_answers_that_tokens_give(network, part):
    with torch.no_grad():
        direct = network(part)
        features = network.features(part)
        assert direct.shape == (2, 3)
        assert features.dtype == torch.float32
        torch.testing.assert_close(network({"features": features, "labels": part["labels"]}), direct)
        torch.testing.assert_close(network(part), direct, msg="the backbone is where it was")


def test_padding_changes_nothing(network, part):
    alone = {name: tensor[1:, :3] if tensor.ndim == 2 else tensor[1:] for name, tensor in part.items()}
    with torch.no_grad():
        torch.testing.assert_close(network(alone), network(part)[1:], atol=1e-5, rtol=0)


def test_what_is_saved_gives_the_same_answers(network, part, tmp_path):
    if isinstance(network, networks.Averaging):
        network.standardise(network.features(part).detach() * torch.tensor([[[1.0]], [[3.0]]]))
    network.save(tmp_path)
    loaded = text_classifier.load(tmp_path)
    with torch.no_grad():
        answer = loaded(**networks.inputs(part))
        torch.testing.assert_close(getattr(answer, "logits", answer), network(part))
    assert not [file for file in tmp_path.iterdir() if file.suffix in (".bin", ".pkl", ".pt")]


def test_the_head_is_what_was_not_pretrained(network):
    heads = {name for name, _ in network.named_parameters() if network.is_head(name)}
    assert network.last.out_features == 3
    assert {id(parameter) for parameter in network.last.parameters()} <= {
        id(parameter) for name, parameter in network.named_parameters() if name in heads
    }
    assert 0 < len(heads) <= 4
    assert len(network.blocks()) == 2


def test_a_pooler_that_nothing_reads_is_not_trained(network):
    pooler = [name for name, _ in trainable(network) if ".pooler." in name]
    assert bool(pooler) == isinstance(network, networks.Standard)


def test_features_that_do_not_change_are_brought_to_one_scale(tiny_model):
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    network = backbones.load(backbones.locate(str(tiny_model)), target, head="all_layers")[0]
    features = torch.randn(50, 3, 32) * 7 + 3
    network.standardise(features)
    head = network.inner.head
    scaled = (features.flatten(1) - head.centre) / head.scale
    assert scaled.mean(0).abs().max() < 1e-5
    assert (scaled.std(0, correction=0) - 1).abs().max() < 1e-4
