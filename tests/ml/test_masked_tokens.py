"""Hidden tokens: the shares of the paper, the same for the same row and epoch, and learned."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dlops.errors import StepFailed
from dlops.ml import batches, masked_tokens, tokens, training
from dlops.ml.batches import Example, RandomBatches, TokenRows
from dlops.ml.callbacks import Checkpoints
from dlops.ml.classifier import Classifier, Optimization
from dlops.ml.hardware import Arithmetic
from dlops.ml.masked_tokens import IGNORED, Masking, MaskingCollator
from dlops.ml.networks import MaskedLanguageModel
from dlops.ml.strategies import Strategy
from dlops.ml.targets import MaskedTokens

CPU = Arithmetic("cpu", bf16=False)
SPECIAL = np.array([0, 1, 2, 3, 4])
MASK = 4
WORDS = Masking(MASK, SPECIAL, np.arange(5, 1000))


def examples(count=12):
    """Rows of different lengths, each with its number for a label."""
    generator = random.Random(0)
    found = []
    for number in range(count):
        ids = [2, *(generator.randrange(5, 1000) for _ in range(generator.randrange(1, 60))), 3]
        found.append(Example(torch.tensor(ids, dtype=torch.int32), None, torch.tensor(number)))
    return found


def hidden(batch):
    """Give what each row of a batch looks like, by its true first words: ids seen and to be guessed."""
    rows = {}
    for part in batch:
        for seen, wanted, mask in zip(part["input_ids"], part["labels"], part["attention_mask"], strict=True):
            there = mask.bool()
            true = torch.where(wanted == IGNORED, seen, wanted)[there]
            rows[tuple(true.tolist())] = seen[there].tolist(), wanted[there].tolist()
    return rows


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_the_shares_are_those_of_the_paper(share):
    generator = np.random.default_rng(0)
    words = generator.integers(5, 1000, (3000, 50))
    special = np.concatenate([np.full((3000, 1), 2), words, np.full((3000, 1), 3), np.full((3000, 2), 1)], axis=1)
    pairs = [Masking(MASK, SPECIAL, np.arange(5, 1000), share)(row, generator) for row in special]
    seen, wanted = (np.stack(found) for found in zip(*pairs, strict=True))
    chosen = wanted != IGNORED
    assert not chosen[:, [0, 51, 52, 53]].any(), "special tokens"
    assert chosen.sum() / words.size == pytest.approx(share, rel=0.01)
    assert chosen.sum(axis=1).max() - chosen.sum(axis=1).min() <= 1
    assert (wanted[chosen] == special[chosen]).all()
    assert (seen[~chosen] == special[~chosen]).all()
    masked, kept = seen[chosen] == MASK, seen[chosen] == special[chosen]
    assert masked.mean() == pytest.approx(0.8, abs=0.01)
    assert kept.mean() == pytest.approx(0.1, abs=0.01)
    assert not np.isin(seen[chosen][~masked], SPECIAL).any()


def test_a_short_row_has_one_hidden_token_and_one_without_words_none():
    generator = np.random.default_rng(0)
    for _ in range(50):
        assert (WORDS(np.array([2, 7, 3]), generator)[1] != IGNORED).sum() == 1
    seen, wanted = WORDS(np.array([2, 1, 1, 3]), generator)
    assert seen.tolist() == [2, 1, 1, 3]
    assert set(wanted.tolist()) == {IGNORED}


def test_masks_depend_on_seed_epoch_and_row_alone():
    rows = examples()
    sampler = RandomBatches([1], rows=1)

    def made(given=rows, *, micro=None, seed=0, epoch=0):
        sampler.set_epoch(epoch)
        return hidden(MaskingCollator(WORDS, 0, micro, seed=seed, epochs=sampler)(given))

    first = made()
    assert len(first) == len(rows)
    torch.manual_seed(5)
    np.random.seed(5)
    assert made(rows[::-1], micro=64) == first
    assert made(rows[3:5]).items() <= first.items()
    others = [made(seed=1), made(epoch=1)]
    assert all(other.keys() == first.keys() and other != first for other in others)
    assert others[0] != others[1]
    assert made() == first


def test_without_epochs_every_pass_hides_the_same():
    collate = MaskingCollator(WORDS, 0, None, seed=7)
    assert hidden(collate(examples())) == hidden(collate(examples()))


def test_padding_is_never_to_be_guessed():
    (part,) = MaskingCollator(WORDS, 0, None)(examples())
    assert part["labels"].shape == part["input_ids"].shape
    assert (part["labels"][part["attention_mask"] == 0] == IGNORED).all()
    assert (part["input_ids"][part["attention_mask"] == 0] == 0).all()


def test_the_masking_of_a_tokenizer(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    found = masked_tokens.masking(tokenizer, 0.3)
    assert (found.mask, found.share) == (tokenizer.mask_token_id, 0.3)
    assert sorted([*found.special, *found.others]) == list(range(len(tokenizer)))
    assert tokenizer.unk_token_id in found.special
    tokenizer.mask_token = None
    with pytest.raises(StepFailed, match="no mask token") as caught:
        masked_tokens.masking(tokenizer)
    assert "model=" in caught.value.hint


TARGET = MaskedTokens()


def texts(count, seed):
    """Sentences of which every word follows from its neighbours."""
    generator = random.Random(seed)
    ends = {"film": "good great lovely", "plot": "bad awful dull"}
    return [f"the {word} was {ends[word]} and not a" for word in generator.choices(sorted(ends), k=count)]


def trained(folder, *, kept=None, resumed=None, epochs=12, val=True):
    training.seed(0)
    network = MaskedLanguageModel(AutoModelForMaskedLM.from_pretrained(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    masking = masked_tokens.masking(tokenizer)

    def rows(count, seed):
        found = tokens.encode(tokenizer, texts(count, seed), None, 64)
        return TokenRows(found, TARGET.encode(range(count)))

    train, judged = rows(128, 0), MaskingCollator(masking, 0, 1024)
    sampler = RandomBatches(train.lengths, rows=16, seed=0)
    loaders = training.Loaders(
        train=batches.training(train, MaskingCollator(masking, 0, 1024, seed=0, epochs=sampler), sampler),
        val=batches.evaluation(rows(60, 1), judged) if val else None,
        test=batches.evaluation(rows(60, 2), judged),
    )
    module = Classifier(network, TARGET, Optimization(learning_rate=3e-3, head_learning_rate=3e-3))
    more = {"epochs": epochs, "arithmetic": CPU, "kept": kept, "resumed": resumed}
    return module, training.train(module, Strategy(), loaders, **more)


def test_hidden_words_are_learned(run, tiny_model):
    module, found = trained(tiny_model)
    losses = [epoch.metrics["val_loss"] for epoch in found.epochs]
    assert losses[-1] < 0.5 * losses[0]
    assert found.epochs[-1].metrics["train_loss"] < 0.5 * found.epochs[0].metrics["train_loss"]
    assert found.best_epoch == 1 + losses.index(min(losses))
    assert found.test.rows == 60
    assert found.test.value == pytest.approx(np.exp(found.test.loss))
    assert found.test.value < 4, "of 14 words"
    low, high = found.test.intervals()["perplexity"]
    assert low < found.test.value < high
    assert module.result is found.test


class Interrupted(Exception):
    """Stands for a kill: nothing after it runs."""


def test_a_resumed_training_hides_what_an_uninterrupted_one_hides(run, tiny_model, tmp_path):
    """Each epoch has 8 batches; the training is cut within the second."""

    @contextlib.contextmanager
    def writing(name):
        yield tmp_path / f"{name}.safetensors"
        if int(name) == 11:
            raise Interrupted

    whole, expected = trained(tiny_model, epochs=3)
    with pytest.raises(Interrupted):
        trained(tiny_model, epochs=3, kept=Checkpoints(writing, 0, {}))
    torch.rand(100)
    module, found = trained(tiny_model, epochs=3, resumed=tmp_path / "00000011.safetensors")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, module.state_dict()[name]), name
    assert [epoch.metrics for epoch in found.epochs] == [epoch.metrics for epoch in expected.epochs]
