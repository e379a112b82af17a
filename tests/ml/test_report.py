from __future__ import annotations

import json

import numpy as np
import pytest

from dlops.ml import report
from dlops.ml.callbacks import Epoch
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Evaluation
from dlops.ml.settings import Finetune
from dlops.ml.training import Trained


def evaluated(right, rows=400):
    return Evaluation(("a", "b"), np.array([[right, 0], [rows - right, 0]]), 0.4)


@pytest.mark.parametrize(
    ("right", "rival", "said"),
    [
        (380, 0.60, "beats the bag of words (0.600)"),
        (244, 0.60, "is, within two standard errors, level with the bag of words"),
        (236, 0.60, "is, within two standard errors, level with the bag of words"),
        (200, 0.87, "falls behind the bag of words (0.870)"),
    ],
)
def test_the_verdict_is_honest(right, rival, said):
    found = report.verdict(evaluated(right), {"bag_of_words": rival}, synthetic=False)
    assert said in found
    assert "on 400 rows (standard error 0.0" in found
    assert "synthetic" not in found


def test_synthetic_data_is_called_so():
    assert "The data is synthetic" in report.verdict(evaluated(390), {"majority": 0.5}, synthetic=True)


def test_the_summary_is_json_and_reads_well():
    split = Split(["x"] * 4, ["a", "b"] * 2)
    dataset = Dataset(
        uri="/tables/sample",
        version=2,
        digest="d" * 32,
        source="synthetic reviews",
        synthetic=True,
        labels=("a", "b"),
        train=split,
        val=split,
        test=split,
    )
    trained = Trained([Epoch(1, 2.0)], best_epoch=1, seconds=2.0, test=evaluated(380))
    found = report.summary(Finetune(), dataset, trained, {"majority": 0.5, "bag_of_words": 0.6})
    assert json.loads(json.dumps(found)) == found
    assert found["dataset"]["digest"] == "d" * 32
    text = report.markdown(found)
    assert "**synthetic**" in text
    assert "| bag of words | 0.600 |" in text
    assert "| this model | 0.950 |" in text
