from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from dlops.ml import pooling


def reference(backbone, inputs):
    hidden = backbone(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.layer_norm(mean, mean.shape[-1:])


def batch():
    ids = torch.randint(5, 18, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    mask[1, 9:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def test_the_first_token_carries_the_mean_of_all_that_are_no_padding(loaded):
    model, _ = loaded
    model.eval()
    expected = reference(model.bert, batch())
    pooling.append_mean(model)
    with torch.no_grad():
        first = model.bert(**batch()).last_hidden_state[:, 0]
    torch.testing.assert_close(first, expected, atol=0.1, rtol=0)
    assert torch.nn.functional.cosine_similarity(first, expected).min() > 0.999


def test_the_result_is_a_plain_model_of_its_architecture(loaded, tmp_path):
    model, _ = loaded
    model.eval()
    pooling.append_mean(model)
    model.save_pretrained(tmp_path)
    again, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert again.config.num_hidden_layers == 3
    torch.testing.assert_close(again(**batch()).logits, model(**batch()).logits)


def test_roberta_has_the_same_layer():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = RobertaForSequenceClassification(RobertaConfig(vocab_size=30, **sizes)).eval()
    assert pooling.supported(model)
    expected = reference(model.roberta, batch())
    pooling.append_mean(model)
    first = model.roberta(**batch()).last_hidden_state[:, 0]
    assert torch.nn.functional.cosine_similarity(first, expected).min() > 0.999


@pytest.mark.parametrize("config", [DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=30)])
def test_other_layers_are_left_alone(config):
    assert not pooling.supported(DistilBertForSequenceClassification(config))
