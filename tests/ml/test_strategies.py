from __future__ import annotations

import pytest
import torch
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from dlops.ml import strategies
from dlops.ml.batches import Collator
from dlops.ml.hardware import Arithmetic
from dlops.ml.strategies import Rows

CPU = Arithmetic("cpu", bf16=False)


def rows(count=11):
    examples = [([2, *range(5, 6 + number % 9), 3], number % 2) for number in range(count)]
    return Rows(examples, examples[:3], examples[3:7], Collator(0, 32))


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_freeze_leaves_the_head(loaded):
    model, _ = loaded
    strategies.freeze(model)
    assert trainable(model) == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


def distilbert():
    return DistilBertForSequenceClassification(
        DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=30)
    )


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_features_give_the_answers_that_tokens_give(run, loaded, architecture, capsys):
    model = loaded[0] if architecture == "bert" else distilbert()
    strategies.freeze(model)
    given = rows()
    model.eval()
    with torch.no_grad():
        expected = torch.cat([model(**tokens(row)).logits for row in given.train])
        with strategies.features(model, given, CPU) as found:
            (batch,) = found.collate(found.train)
            quick = model(inputs_embeds=batch["inputs_embeds"]).logits
            assert (len(found.train), len(found.val), len(found.test)) == (11, 3, 4)
    torch.testing.assert_close(quick, expected, atol=1e-4, rtol=0)
    assert batch["labels"].tolist() == [label for _, label in given.train]
    torch.testing.assert_close(model(**tokens(given.train[0])).logits, expected[:1], atol=1e-4, rtol=0)
    assert "have read 18 rows, once" in capsys.readouterr().out


def test_a_head_that_reads_another_token_keeps_reading_tokens(run, capsys):
    sizes = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32, "vocab_size": 30}
    model = XLNetForSequenceClassification(XLNetConfig(**sizes))
    strategies.freeze(model)
    given = rows()
    with strategies.features(model, given, CPU) as found:
        assert found is given
    assert "nothing is computed ahead" in capsys.readouterr().out


def tokens(row):
    ids = torch.tensor([row[0]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
