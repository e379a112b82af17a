"""Every strategy, kind of target and head: trained for a few steps, logged, and loaded with stock MLflow."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from dlops.ml import backbones, fine_tuning, packaging, targets, training
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Regression
from dlops.ml.hardware import Arithmetic
from dlops.ml.settings import Finetune
from tests.ml.conftest import simple_rows

CPU = Arithmetic("cpu", bf16=False)
STRATEGIES = ("freeze", "no_freeze", "freeze_unfreeze", "unfreeze_milestones", "lora")


def rows(kind, count, seed, *, pairs):
    texts, opinions = simple_rows(count, seed)
    labels = {
        "classes": opinions,
        "multilabel": [["good", "long"] if opinion == "positive" else ["bad"] for opinion in opinions],
        "number": [40.0 + place % 3 if opinion == "positive" else 20.0 for place, opinion in enumerate(opinions)],
    }[kind]
    return Split([f"film {place}" for place in range(count)] if pairs else texts, labels, texts if pairs else None)


def dataset(kind, *, pairs):
    names = {"classes": ("negative", "positive"), "multilabel": ("bad", "good", "long"), "number": ()}[kind]
    about = {"uri": "/tables/films", "version": 0, "digest": "d", "source": "films.csv", "synthetic": False}
    parts = {name: rows(kind, 40, seed, pairs=pairs) for seed, name in enumerate(("train", "val", "test"))}
    return Dataset(**about, labels=names, kind=kind, **parts)


def expected(test):
    """Give the scores that the test of the training saw, [rows, outputs]."""
    return test.predicted[:, None] if isinstance(test, Regression) else test.probabilities


@pytest.mark.parametrize("head", ["standard", "mean", "all_layers"])
@pytest.mark.parametrize("kind", ["classes", "multilabel", "number"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_loaded_gives_what_was_tested(run, tiny_model, strategy, kind, head):
    pairs = strategy in ("freeze", "lora")
    data = dataset(kind, pairs=pairs)
    target = targets.of(kind, data.labels, data.train.labels)
    settings = Finetune(strategy=strategy, head=head, epochs=3, learning_rate=3e-3, head_learning_rate=1e-2)
    training.seed(0)
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), target, head=head)
    rows = fine_tuning.rows(data, tokenizer, target, settings, fine_tuning.micro_tokens(settings, CPU, network))
    prepared = fine_tuning.prepare(network, rows, settings, CPU)
    trained = fine_tuning.fit(network, prepared, target, settings, 0, CPU)
    assert trained.epochs[-1].metrics["train_loss"] < trained.epochs[0].metrics["train_loss"] * 1.5

    uri = packaging.log(network, tokenizer, data, max_length=settings.max_length, backbone="tiny")
    frame = pd.DataFrame({"text": data.test.texts} | ({"text_pair": data.test.pairs} if pairs else {}))
    answers = mlflow.pyfunc.load_model(uri).predict(frame)
    scores = np.array([list(answer.values()) for answer in answers["scores"]])
    scale = 40.0 if kind == "number" else 1.0
    np.testing.assert_allclose(scores / scale, expected(trained.test) / scale, atol=1e-5)

    if head == "standard" and kind == "classes" and not pairs:
        found = mlflow.transformers.load_model(uri)(data.test.texts, top_k=None)
        stock = [{answer["label"]: answer["score"] for answer in answers} for answers in found]
        likely = [[answer[name] for name in data.labels] for answer in stock]
        np.testing.assert_allclose(likely, expected(trained.test), atol=1e-5)
