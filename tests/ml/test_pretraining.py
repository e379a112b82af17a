from __future__ import annotations

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dlops.ml import pretraining, training
from dlops.ml.datasets import Dataset, Split
from dlops.ml.hardware import Arithmetic
from dlops.ml.networks import MaskedLanguageModel
from dlops.ml.settings import Finetune
from tests.ml.test_masked_tokens import texts

CPU = Arithmetic("cpu", bf16=False)
GIVEN = {"objective": "mlm", "batch_size": 16, "learning_rate": 3e-3, "head_learning_rate": 3e-3}


def fitted(folder, train, val, test, **given):
    training.seed(0)
    splits = [Split(texts(count, seed), []) for seed, count in enumerate((train, val, test))]
    dataset = Dataset("/tables/t", 0, "d", "s", False, (), *splits, "none")
    network = MaskedLanguageModel(AutoModelForMaskedLM.from_pretrained(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return pretraining.fit(network, tokenizer, dataset, Finetune(**GIVEN, **given), CPU)


def test_a_corpus_is_learned(run, tiny_model):
    before, trained, judged_on = fitted(tiny_model, 96, 0, 40, epochs=5)
    assert judged_on == "test"
    assert before.rows == trained.test.rows == 40
    assert before.hidden.tolist() == trained.test.hidden.tolist(), "the same tokens are hidden before and afterwards"
    assert trained.test.value < 0.7 * before.value
    assert trained.val is None


@pytest.mark.parametrize(("val", "judged_on", "rows"), [(10, "val", 10), (0, "train", 20)])
def test_without_test_rows_it_is_judged_on_others(run, tiny_model, val, judged_on, rows):
    found = fitted(tiny_model, 20, val, 0, epochs=1)
    assert found.judged_on == judged_on
    assert found.before.rows == found.trained.test.rows == rows


def test_lora_goes_too_and_leaves_the_networks_shape(run, tiny_model):
    training.seed(0)
    network = MaskedLanguageModel(AutoModelForMaskedLM.from_pretrained(tiny_model))
    names = set(network.state_dict())
    splits = [Split(texts(20, 0), []), Split([], []), Split([], [])]
    dataset = Dataset("/tables/t", 0, "d", "s", False, (), *splits, "none")
    settings = Finetune(**GIVEN, strategy="lora", epochs=1)
    pretraining.fit(network, AutoTokenizer.from_pretrained(tiny_model), dataset, settings, CPU)
    assert set(network.state_dict()) == names
