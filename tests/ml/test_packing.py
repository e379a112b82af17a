"""Rows one behind the other: the same answers, states and gradients as of padded rows, or padded rows it is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from dlops.ml import backbones, dropout, packing_trial, targets
from dlops.ml.batches import Collator
from dlops.ml.hardware import Arithmetic
from dlops.ml.masked_tokens import IGNORED
from dlops.ml.networks import Averaging, MaskedLanguageModel, Standard
from dlops.ml.packing import ATTENTION, Packing
from tests.ml.test_batches import rows

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": 3,
}
DISTILLED = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "attention_dropout": 0.0}
NARROW = {name: value for name, value in SIZES.items() if name != "attention_probs_dropout_prob"}
FITTING = {
    "bert": BertConfig(**SIZES),
    "roberta": RobertaConfig(**SIZES, pad_token_id=1),
    "electra": ElectraConfig(**SIZES, embedding_size=32),
    "distilbert": DistilBertConfig(vocab_size=40, max_position_embeddings=64, num_labels=3, **DISTILLED),
    "albert": AlbertConfig(**SIZES, embedding_size=16),
}
OTHERS = {
    "positions of its own": MPNetConfig(**SIZES),
    "attention of its own": DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["c2p", "p2c"]),
    "windows": ModernBertConfig(**NARROW, pad_token_id=0, local_attention=4),
    "dropout of attention": BertConfig(**{**SIZES, "attention_probs_dropout_prob": 0.1}),
    "a decoder": BertConfig(**SIZES, is_decoder=True),
    "a pooler in no module of its own": AlbertConfig(**SIZES, embedding_size=16),
}
LENGTHS = [9, 3, 14, 1, 6]


def network(config, head="standard"):
    """A network whose backbone pads, and none of whose weights is like another."""
    torch.manual_seed(0)
    config = copy.deepcopy(config)
    if head == "masked":
        found = MaskedLanguageModel(AutoModelForMaskedLM.from_config(config))
    elif head == "standard":
        found = Standard(AutoModelForSequenceClassification.from_config(config))
    else:
        found = Averaging(AutoModel.from_config(config), 3, every=head == "all_layers")
    for parameter in found.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return found.eval()


def part(config, *, masked=False):
    """A micro-batch of rows of all lengths; no word is the padding."""
    torch.manual_seed(1)
    drawn = rows(LENGTHS)
    drawn.tokens.ids[:] = torch.randint(2, 40, drawn.tokens.ids.shape)
    (found,) = Collator(config.pad_token_id or 0, None)([drawn[place] for place in range(len(LENGTHS))])
    if masked:
        found["labels"] = torch.where(torch.rand(found["input_ids"].shape) < 0.4, found["input_ids"], IGNORED)
        found["labels"][found["attention_mask"] == 0] = IGNORED
    return found


HEADS = ("standard", "mean", "all_layers", "masked")
PAIRS = [(name, head) for name in FITTING for head in HEADS if (name, head) != ("albert", "standard")]
"""ALBERT's pooler is in no module of its own, so that its head cannot be given states."""


@pytest.mark.parametrize(("name", "head"), PAIRS)
def test_answers_features_and_gradients_are_those_of_padded_rows(name, head):
    padded = network(FITTING[name], head)
    packed = copy.deepcopy(padded)
    packed.packing = packing_trial.fitting(packed)
    assert packed.packing == Packing(2 if name == "roberta" else 0)
    assert packed.backbone.config._attn_implementation == ATTENTION
    given = part(FITTING[name], masked=head == "masked")
    for one in (padded, packed):
        one(given).square().sum().backward()
    torch.testing.assert_close(packed(given), padded(given), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(packed.features(given), padded.features(given), atol=1e-5, rtol=1e-4)
    ours, theirs = (dict(one.named_parameters()) for one in (packed, padded))
    assert any(one.grad is not None for one in theirs.values())
    for place, one in theirs.items():
        found, expected = (torch.zeros_like(one) if it.grad is None else it.grad for it in (ours[place], one))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3, msg=place)


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_fit_is_padded_as_before(name):
    found = network(OTHERS[name])
    before = found.backbone.config._attn_implementation
    given = part(OTHERS[name])
    with torch.no_grad():
        expected = found(given)
    state = torch.get_rng_state()
    assert packing_trial.fitting(found) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert found.packing is None
    assert found.backbone.config._attn_implementation == before
    with torch.no_grad():
        assert torch.equal(found.eval()(given), expected)


def test_each_module_keeps_the_mode_that_it_was_in():
    """Transformers loads models in evaluation mode, and what holds them is in training mode."""
    found = network(FITTING["bert"]).train()
    found.inner.eval()
    found.inner.dropout.train()
    before = [module.training for module in found.modules()]
    assert packing_trial.fitting(found)
    assert [module.training for module in found.modules()] == before


def test_a_head_that_reads_more_than_the_first_token_does_not_fit():
    found = network(FITTING["bert"])
    pooler = found.backbone.pooler
    pooler.forward = lambda states: pooler.activation(pooler.dense(states.mean(dim=1)))
    assert packing_trial.fitting(found) is None


def test_layers_that_mix_neighbours_do_not_fit():
    """As those of ConvBERT, or of a model that averages over all that it is given."""
    found = network(FITTING["bert"], "mean")
    layer = found.backbone.encoder.layer[0]
    forward = layer.forward
    layer.forward = lambda states, *others, **named: forward(states + states.roll(1, dims=1), *others, **named)
    assert packing_trial.fitting(found) is None


def test_a_row_without_tokens_is_padded(tiny_model):
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    found = backbones.load(backbones.locate(str(tiny_model)), target, head="all_layers")[0].eval()
    assert found.packing
    given = part(FITTING["bert"])
    given["input_ids"] %= 19
    given["attention_mask"][1] = 0
    with torch.no_grad():
        answers = found(given)
        others = [0, 2, 3, 4]
        kept = found({name: tensor[others] for name, tensor in given.items()})
    assert answers.isfinite().all()
    torch.testing.assert_close(answers[others], kept, atol=1e-5, rtol=0)


def test_padded_rows_may_still_come_where_rows_lie_one_behind_the_other():
    found = network(FITTING["bert"])
    given = part(FITTING["bert"])
    expected = found(given)
    assert packing_trial.fitting(found)
    torch.testing.assert_close(found(given), expected, atol=1e-5, rtol=1e-4)


def test_a_layer_that_asks_for_more_is_told():
    found = network(FITTING["bert"])
    packing = packing_trial.fitting(found)
    packed = packing.pack({name: tensor for name, tensor in part(FITTING["bert"]).items() if name != "labels"})
    with pytest.raises(TypeError, match="know no sliding_window"):
        found.backbone(**packed.inputs, sliding_window=4)


def test_what_a_processor_trains_draws_its_dropout_fast_and_an_accelerator_is_left_alone(tiny_model):
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    location = backbones.locate(str(tiny_model))
    kinds = {}
    for name in ("cpu", "cuda"):
        found, _ = backbones.load(location, target, arithmetic=Arithmetic(name, bf16=False))
        kinds[name] = {type(module) for module in found.modules() if isinstance(module, nn.Dropout)}
        assert (found.packing is not None) == (name == "cpu")
    assert kinds == {"cpu": {dropout.Dropout}, "cuda": {nn.Dropout}}
