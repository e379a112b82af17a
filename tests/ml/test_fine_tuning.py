from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer, BertConfig

from dlops.ml import backbones, batches, features, fine_tuning, strategies, targets
from dlops.ml.batches import TokenRows
from dlops.ml.datasets import Dataset, Split
from dlops.ml.hardware import Arithmetic
from dlops.ml.settings import Finetune
from dlops.ml.tokens import Tokens
from tests.ml.conftest import simple_rows
from tests.ml.test_batches import rows as token_rows

CPU = Arithmetic("cpu", bf16=False)
TOKENS = Tokens(torch.tensor([1, 2, 3], dtype=torch.int32), torch.tensor([3]))
TRAIN = TokenRows(TOKENS, torch.tensor([1]))


class Known(torch.nn.Linear):
    """Weights that are all pretrained."""

    def __init__(self, activation="gelu"):
        super().__init__(2, 2)
        with torch.no_grad():
            self.weight.fill_(1.0)
            self.bias.fill_(1.0)
        self.backbone = SimpleNamespace(config=BertConfig(hidden_act=activation))

    def is_head(self, name):
        return not name

    is_unread = is_head


NETWORK = Known()


DEFAULTS = Finetune()


def identity(settings=DEFAULTS, network=NETWORK, names=("a", "b"), train=TRAIN, val=None):
    return fine_tuning.identity(settings, features.fingerprint(network), names, train, val)


@pytest.mark.parametrize(
    ("given", "head"),
    [
        ({"strategy": "freeze"}, "all_layers"),
        ({"strategy": "no_freeze"}, "standard"),
        ({"strategy": "lora"}, "standard"),
        ({"strategy": "freeze", "head": "mean"}, "mean"),
        ({"strategy": "no_freeze", "head": "all_layers"}, "all_layers"),
    ],
)
def test_a_head_is_chosen_unless_it_is_told(given, head):
    assert fine_tuning.head(Finetune(**given)) == head


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"strategy": "freeze_unfreeze", "unfreeze": (3, 5)}, strategies.FreezeUnfreeze(3)),
        (
            {"strategy": "unfreeze_milestones", "unfreeze": (3, 5), "unfreeze_layers": 4},
            strategies.UnfreezeMilestones(3, 5, 4),
        ),
    ],
)
def test_a_strategy_gets_its_settings(given, expected):
    assert fine_tuning.strategy(Finetune(**given)) == expected


def test_every_name_has_its_strategy():
    assert isinstance(fine_tuning.strategy(Finetune(strategy="freeze")), strategies.Freeze)
    assert type(fine_tuning.strategy(Finetune(strategy="no_freeze"))) is strategies.Strategy
    lora = fine_tuning.strategy(Finetune(strategy="lora", lora_rank=3))
    assert isinstance(lora, strategies.Lora)
    assert (lora.rank, lora.alpha) == (3, 6), "scaled by 2"


SHAPING = {
    "strategy": "lora",
    "head": "mean",
    "epochs": 3,
    "unfreeze": (2, 3),
    "lora_rank": 4,
    "learning_rate": 1e-5,
    "schedule": "cosine",
    "weight_decay": 0.0,
    "batch_size": 8,
    "class_weights": "balanced",
    "early_stopping": 1,
    "objective": "mlm",
    "mask_share": 0.3,
}
OTHERS = {
    "stall_seconds": 1.0,
    "checkpoint_seconds": 0.0,
    "resume_from": "f" * 32,
    "intended_use": "tests",
    "callbacks": ("a:b",),
    "dataset": "/elsewhere/the_same",
}


@pytest.mark.parametrize("name", SHAPING)
def test_another_shape_is_another_training(name):
    told = identity()
    other = identity(dataclasses.replace(Finetune(), **{name: SHAPING[name]}))
    assert [key for key in told if told[key] != other[key]] == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_what_shapes_nothing_may_differ(name):
    other = dataclasses.replace(Finetune(), **{name: OTHERS[name]})
    assert identity(other) == identity()


def differing(**given):
    found = identity(**given)
    return [key for key, told in identity().items() if told != found[key]]


def test_other_rows_labels_or_models_are_another_training():
    other = dataclasses.replace(TOKENS, ids=torch.tensor([1, 2, 4], dtype=torch.int32))
    for rows in (TokenRows(other, TRAIN.labels), TokenRows(TOKENS, torch.tensor([0]))):
        assert differing(train=rows) == ["the train rows"]
        assert differing(val=rows) == ["the val rows"]
    assert differing(names=("a", "b", "c")) == ["the labels"]
    assert differing(network=Known()) == []
    moved = Known()
    with torch.no_grad():
        moved.weight[0, 0] = 2.0
    for network in (moved, Known(activation="relu")):
        assert differing(network=network) == ["the pretrained model"]


def dataset(val=3):
    made = [Split(*simple_rows(count, count)) if count else Split([], []) for count in (8, val, 4)]
    return Dataset("/tables/t", 0, "d", "s", False, ("negative", "positive"), *made)


def test_rows_are_tokens_of_each_split(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    target = targets.of("classes", ("negative", "positive"), [])
    given = dataset()
    found = fine_tuning.rows(given, tokenizer, target, Finetune(max_length=5), 1024)
    assert [len(split) for split in (found.train, found.val, found.test)] == [8, 3, 4]
    assert max(found.train.lengths) == 5
    example = found.train[2]
    assert example.ids.tolist() == tokenizer(given.train.texts[2], truncation=True, max_length=5)["input_ids"]
    assert example.label == ["negative", "positive"].index(given.train.labels[2])
    assert found.collate.micro_tokens == 1024
    assert found.collate.padding == tokenizer.pad_token_id
    assert fine_tuning.rows(dataset(val=0), tokenizer, target, Finetune(), None).val is None


def test_micro_batches_are_as_told_or_as_the_network_likes_them(loaded):
    network, _ = loaded
    assert fine_tuning.micro_tokens(Finetune(micro_tokens=77), CPU, network) == 77
    assert fine_tuning.micro_tokens(Finetune(), CPU, network) == batches.micro_tokens("cpu", 2 * 32)
    network.packing = None
    assert fine_tuning.micro_tokens(Finetune(), CPU, network) == batches.micro_tokens("cpu")


@pytest.mark.parametrize(
    ("lengths", "asked", "told"),
    [
        ([5, 7, 8, 8], 8, ["50 % of the train rows fill all 8 tokens that are read; what is beyond them is cut off."]),
        ([5] * 999 + [8], 8, ["Less than 1 % of the train rows fill all 8 tokens"]),
        ([5, 7], 8, []),
        ([5, 7], 100, ["Note: max_length=100, but this model takes 64 tokens."]),
    ],
)
def test_cut_texts_are_told(tiny_model, capsys, lengths, asked, told):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    fine_tuning.tell_cut(token_rows(lengths), tokenizer, Finetune(max_length=asked))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(expected) for line, expected in zip(lines, told, strict=True))


def test_features_make_the_batches_that_tokens_make(run, tiny_model):
    """Where batches are counted in tokens, those of the texts are meant."""
    target = targets.of("classes", ("negative", "positive"), ["negative", "positive"])
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    settings = Finetune(strategy="freeze", epochs=1, batch_tokens=12, stall_seconds=0)
    rows = fine_tuning.rows(dataset(), tokenizer, target, settings, None)
    network, _ = backbones.load(backbones.locate(str(tiny_model)), target, head="mean")
    steps = []

    def counted(optimizer, *others, **named):
        steps.append(optimizer)
        return step(optimizer, *others, **named)

    step = torch.optim.AdamW.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", counted)
        prepared = fine_tuning.prepare(network, rows, settings, CPU)
        fine_tuning.fit(network, prepared, target, settings, 0, CPU)
    assert len(steps) == len(fine_tuning.sampler(rows.train, settings, 0)) > 1


def test_a_stall_is_watched_for_unless_it_is_told_not_to():
    assert fine_tuning._watch(Finetune(stall_seconds=0)) == []
    assert len(fine_tuning._watch(Finetune())) == 1


def test_a_head_on_features_is_trained_on_one_device():
    given = {"devices": 3, "nodes": 2}
    assert fine_tuning.devices(Finetune(strategy="freeze", **given), CPU).total == 1
    assert fine_tuning.devices(Finetune(strategy="lora", **given), CPU).total == 6
