from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from dlops.ml import backbones, networks, targets, text_classifier
from dlops.ml.masked_tokens import IGNORED
from dlops.ml.networks import MaskedLanguageModel, trainable

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


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 40}
ARCHITECTURES = {
    "bert": SMALL,
    "roberta": SMALL,
    "electra": {**SMALL, "embedding_size": 16},
    "albert": {**SMALL, "embedding_size": 16},
    "mpnet": SMALL,
    "deberta-v2": {**SMALL, "legacy": False},
    "modernbert": {**SMALL, "pad_token_id": 0, "reference_compile": False},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 40},
}


@pytest.fixture(params=ARCHITECTURES)
def guessing(request):
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **ARCHITECTURES[request.param])
    return MaskedLanguageModel(AutoModelForMaskedLM.from_config(config)).eval()


@pytest.fixture
def masked(part):
    labels = torch.full((2, 5), IGNORED)
    labels[0, 1], labels[0, 3], labels[1, 1] = 5, 9, 8
    return {**part, "labels": labels}


def test_logits_of_hidden_tokens_are_those_that_the_whole_model_gives(guessing, masked):
    with torch.no_grad():
        found = guessing(masked)
        whole = guessing.inner(**networks.inputs(masked)).logits
    assert (found.shape, found.dtype) == ((3, 40), torch.float32)
    torch.testing.assert_close(found, whole[masked["labels"] != IGNORED])


def test_where_nothing_is_hidden_there_is_nothing_to_learn(guessing, masked):
    found = guessing({**masked, "labels": torch.full((2, 5), IGNORED)})
    assert found.shape == (0, 40)
    found.sum().backward()


def test_a_model_that_guesses_is_saved_as_any_of_transformers(guessing, masked, tmp_path):
    guessing.save(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path, use_safetensors=True).eval()
    backbone = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        given = networks.inputs(masked)
        torch.testing.assert_close(again(**given).logits, guessing.inner(**given).logits)
        torch.testing.assert_close(backbone(**given).last_hidden_state, guessing.backbone(**given).last_hidden_state)
    assert not [file for file in tmp_path.iterdir() if file.suffix in (".bin", ".pkl", ".pt")]


def test_the_head_is_what_the_weights_lacked(tiny_model):
    model, told = AutoModelForMaskedLM.from_pretrained(tiny_model, output_loading_info=True)
    network = MaskedLanguageModel(model, told["missing_keys"])
    heads = {name for name, _ in network.named_parameters() if network.is_head(name)}
    assert heads
    assert network.last.out_features == model.config.vocab_size
    assert len(network.blocks()) == 2
    assert not [name for name in heads if not name.startswith("inner.cls.")]
    assert not [
        name for name, _ in MaskedLanguageModel(model).named_parameters() if MaskedLanguageModel(model).is_head(name)
    ]
