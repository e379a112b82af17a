from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from dlops.ml import packaging
from dlops.ml.datasets import Dataset, Split

TEXTS = ["a good film", "the plot was awful and dull", "good", ""]
# Neither the checkout nor the environment's editable install may offer `dlops` to whoever loads the model.
BARE = """
import json, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dlops", "pipelines", "pytorch_lightning"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(pandas.DataFrame({"text": json.loads(sys.argv[2])}))
assert "dlops" not in sys.modules
print(json.dumps(answers.to_dict("records")))
"""


@pytest.fixture
def dataset():
    split = Split(["good", "bad"], ["positive", "negative"])
    return Dataset(
        uri="/tables/reviews",
        version=3,
        digest="d" * 32,
        source="reviews.csv",
        synthetic=False,
        labels=("negative", "positive"),
        train=split,
        val=split,
        test=split,
    )


@pytest.fixture
def logged(run, loaded, dataset):
    return packaging.log(*loaded, dataset, max_length=16, backbone="tiny")


@pytest.fixture
def folder(logged):
    return Path(mlflow.artifacts.download_artifacts(logged))


def test_it_is_a_logged_model_of_the_run(run, logged):
    assert logged.startswith("models:/m-")
    assert mlflow.get_logged_model(logged.removeprefix("models:/")).source_run_id == run.info.run_id
    assert mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").metadata.signature == packaging.signature()


def test_stock_mlflow_loads_it_where_dlops_is_not_installed(run, logged, loaded, tmp_path):
    environ = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    environ.pop("PYTHONPATH", None)
    command = [sys.executable, "-P", "-c", BARE, logged, json.dumps(TEXTS)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, "whoever loads the model is told nothing they cannot help"
    answers = json.loads(done.stdout)
    model, tokenizer = loaded
    model.eval()
    for text, answer in zip(TEXTS, answers, strict=True):
        logits = model(**tokenizer(text, return_tensors="pt", truncation=True)).logits
        expected = dict(zip(("negative", "positive"), logits.softmax(1)[0].tolist(), strict=True))
        assert answer["scores"] == pytest.approx(expected, abs=1e-5)
        assert answer["label"] == max(expected, key=expected.get)
        assert answer["score"] == pytest.approx(max(expected.values()), abs=1e-5)


def test_nothing_in_it_is_pickled(folder):
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert "artifacts/model/model.safetensors" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".bin", ".pt", ".pth"))]
    assert "dlops" not in (folder / "text_classifier.py").read_text().replace("`dlops`", "")


def test_requirements_are_pinned_without_local_labels(folder):
    lines = (folder / "requirements.txt").read_text().split()
    assert sorted(lines) == sorted(packaging.requirements())
    assert all("==" in line and "+" not in line for line in lines)
    assert not any(line.startswith(("dlops", "pytorch-lightning", "cloudpickle")) for line in lines)


def test_where_it_comes_from_stays_with_it(folder):
    about = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    assert about == {
        "labels": ["negative", "positive"],
        "backbone": "tiny",
        "dataset": "/tables/reviews@3",
        "dataset_digest": "d" * 32,
        "synthetic": False,
    }


def test_transformers_reads_the_folder_inside(folder, loaded):
    from transformers import pipeline

    inside = folder / "artifacts/model"
    answer = pipeline("text-classification", model=str(inside), device=-1)("a good film")[0]
    assert answer["label"] in ("negative", "positive")
    assert json.loads((inside / "tokenizer_config.json").read_text())["model_max_length"] == 16


def test_frames_of_any_size_and_index(logged):
    model = mlflow.pyfunc.load_model(logged)
    assert list(model.predict(pd.DataFrame({"text": []}, dtype="str")).columns) == ["label", "score", "scores"]
    frame = pd.DataFrame({"text": TEXTS * 20, "id": range(80)}, index=range(100, 180))
    answers = model.predict(frame[["text"]])
    assert len(answers) == 80
    assert answers["scores"][0] == pytest.approx(answers["scores"][4], abs=1e-5)
