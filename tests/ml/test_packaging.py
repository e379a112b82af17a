from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch
import yaml

from dlops.ml import backbones, packaging, targets, training
from dlops.ml.datasets import Dataset, Split
from tests.ml.conftest import BARE

TEXTS = ["a good film", "the plot was awful and dull", "good", ""]
TRUTHS = {
    "classes": ["positive", "negative"],
    "multilabel": [["negative", "positive"], []],
    "number": [12.5, 10.0],
}


def of_kind(kind, *, pairs=False):
    split = Split(["good", "bad"], TRUTHS[kind], ["film", "plot"] if pairs else None)
    return Dataset(
        uri="/tables/reviews",
        version=3,
        digest="d" * 32,
        source="reviews.csv",
        synthetic=False,
        labels=() if kind == "number" else ("negative", "positive"),
        train=split,
        val=split,
        test=split,
        kind=kind,
    )


@pytest.fixture
def dataset():
    return of_kind("classes")


@pytest.fixture
def logged(run, loaded, dataset):
    return packaging.log(*loaded, dataset, max_length=16, backbone="tiny", revision="c" * 40)


@pytest.fixture
def folder(logged):
    return Path(mlflow.artifacts.download_artifacts(logged))


def test_it_is_a_logged_model_of_the_run(run, logged):
    assert logged.startswith("models:/m-")
    assert mlflow.get_logged_model(logged.removeprefix("models:/")).source_run_id == run.info.run_id
    assert mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").metadata.signature == packaging.signature(
        of_kind("classes")
    )


def test_stock_mlflow_loads_it_where_dlops_is_not_installed(run, logged, loaded, tmp_path):
    environ = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    environ.pop("PYTHONPATH", None)
    command = [sys.executable, "-P", "-c", BARE, logged, json.dumps({"text": TEXTS})]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, "whoever loads the model is told nothing they cannot help"
    answers = json.loads(done.stdout)
    network, tokenizer = loaded
    model = network.inner.eval()
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
        "backbone_revision": "c" * 40,
        "dataset": "/tables/reviews@3",
        "dataset_digest": "d" * 32,
        "synthetic": False,
        "cleaning": None,
    }


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("head", ["standard", "mean", "all_layers"])
@pytest.mark.parametrize("kind", list(TRUTHS))
def test_every_kind_and_head_gives_the_answers_it_was_tested_with(run, tiny_model, kind, head, pairs):
    training.seed(0)
    given = of_kind(kind, pairs=pairs)
    target = targets.of(kind, given.labels, given.train.labels)
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), target, head=head)
    if kind == "number":
        target.in_its_own_units(network.last)
    uri = packaging.log(network, tokenizer, given, max_length=16, backbone="tiny")
    seconds = ["dull", "good film", "", "the plot"]
    frame = pd.DataFrame({"text": TEXTS} | ({"text_pair": seconds} if pairs else {}))
    answers = mlflow.pyfunc.load_model(uri).predict(frame)
    for place, text in enumerate(TEXTS):
        inputs = tokenizer([text], [seconds[place]] if pairs else None, return_tensors="pt", truncation=True)
        with torch.no_grad():
            logits = network.eval()({**inputs, "labels": None})[0]
        answer = answers.iloc[place]
        match kind:
            case "classes":
                scores = logits.softmax(0).tolist()
                assert answer["label"] == given.labels[int(logits.argmax())]
                assert answer["score"] == pytest.approx(max(scores), abs=1e-5)
            case "multilabel":
                scores = logits.sigmoid().tolist()
                assert answer["label"] == [name for name, one in zip(given.labels, scores, strict=True) if one >= 0.5]
            case _:
                scores = logits.tolist()
                assert answer["label"] == answer["score"] == pytest.approx(scores[0], abs=1e-4)
                assert 5 < scores[0] < 20, "in its own units"
        assert list(answer["scores"].values()) == pytest.approx(scores, abs=1e-4 if kind == "number" else 1e-5)


def test_a_standard_head_is_a_pipeline_of_stock_mlflow(logged, loaded):
    network, tokenizer = loaded
    pipeline = mlflow.transformers.load_model(logged)
    with torch.no_grad():
        expected = network.inner.eval()(**tokenizer("a good film", return_tensors="pt")).logits[0].softmax(0)
    answer = pipeline("a good film")[0]
    assert answer["label"] == ("negative", "positive")[int(expected.argmax())]
    assert answer["score"] == pytest.approx(expected.max().item(), abs=1e-5)


def test_transformers_reads_the_folder_inside(folder, loaded):
    from transformers import pipeline

    inside = folder / "artifacts/model"
    answer = pipeline("text-classification", model=str(inside), device=-1)("a good film")[0]
    assert answer["label"] in ("negative", "positive")
    assert json.loads((inside / "tokenizer_config.json").read_text())["model_max_length"] == 16


@pytest.mark.parametrize("head", ["standard", "all_layers"])
def test_a_model_of_its_own_code_is_packed_with_it(run, custom_model, dataset, tmp_path, head):
    location = backbones.locate(str(custom_model), trust_remote_code=True)
    network, tokenizer = backbones.load(location, targets.of("classes", dataset.labels, []), head=head)
    uri = packaging.log(network, tokenizer, dataset, max_length=16, backbone="own")
    environ = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(), "HF_HOME": str(tmp_path / "fresh")}
    environ.pop("PYTHONPATH", None)
    command = [sys.executable, "-P", "-c", BARE, uri, json.dumps({"text": ["a good film"]})]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        logits = network.eval()({**tokenizer(["a good film"], return_tensors="pt"), "labels": None})[0]
    assert list(json.loads(done.stdout)[0]["scores"].values()) == pytest.approx(logits.softmax(0).tolist(), abs=1e-5)


def test_what_the_code_of_a_model_imports_is_required(tmp_path):
    (tmp_path / "own.py").write_text("import json, yaml\nfrom torch import nn\nfrom . import other\n")
    more = set(packaging.requirements(tmp_path)) - set(packaging.requirements())
    assert [line.partition("==")[0] for line in more] == ["PyYAML"]


def test_frames_of_any_size_and_index(logged):
    model = mlflow.pyfunc.load_model(logged)
    assert list(model.predict(pd.DataFrame({"text": []}, dtype="str")).columns) == ["label", "score", "scores"]
    frame = pd.DataFrame({"text": TEXTS * 20, "id": range(80)}, index=range(100, 180))
    answers = model.predict(frame[["text"]])
    assert len(answers) == 80
    assert answers["scores"][0] == pytest.approx(answers["scores"][4], abs=1e-5)


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_text_that_is_missing_is_no_word(logged, nothing):
    """MLflow makes texts of a column, and of what is missing in it the word nan."""
    model = mlflow.pyfunc.load_model(logged)
    with pytest.raises(Exception, match="Row 1 has no text"):
        model.predict(pd.DataFrame({"text": ["good", nothing]}))
