from __future__ import annotations

import ast
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from dlops.config.inference import Inference
from dlops.config.parameters import structure
from dlops.errors import StepFailed, UsageError
from dlops.ml import inference_packaging, packaging
from tests.ml.conftest import answered_elsewhere
from tests.ml.test_packaging import of_kind

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided")
RAW = ["a <b>good</b> film", "the plot was   awful &amp; dull"]
CLEANED = ["a good film", "the plot was awful & dull"]
CLEANING = {"version": 1, "html": True, "unicode": "NFC", "whitespace": True}


@pytest.fixture
def classifier(run, loaded):
    dataset = replace(of_kind("classes"), cleaning=CLEANING)
    return packaging.log(*loaded, dataset, max_length=16, backbone="tiny")


def packaged(classifier, **declared):
    return inference_packaging.log(classifier, Inference(**declared), dataset="nowhere", name="films")


@pytest.mark.parametrize("module", ["inference_pipeline", "onnx_classifier", "onnx_graph"])
def test_what_travels_stands_alone(module):
    tree = ast.parse(Path(packaging.__file__).with_name(f"{module}.py").read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {one.split(".")[0] for one in modules} - set(sys.stdlib_module_names)
    assert foreign <= {"mlflow", "pandas", "yaml", "numpy", "onnxruntime", "tokenizers"}


def test_it_answers_raw_texts_as_the_classifier_cleaned_ones_without_dlops_and_without_a_store(
    run, classifier, tmp_path
):
    uri = packaged(classifier)
    expected = mlflow.pyfunc.load_model(classifier).predict(pd.DataFrame({"text": CLEANED}))
    folder = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "copy"))
    for place in (uri, folder):
        answers = answered_elsewhere(place, {"text": RAW}, tmp_path)
        assert [one["label"] for one in answers] == list(expected["label"])
        for one, scores in zip(answers, expected["scores"], strict=True):
            assert one["scores"] == pytest.approx(scores, abs=1e-6)
            assert one["model"] == {"name": "films", "version": None, "run_id": run.info.run_id}
    assert not list(Path(folder).rglob("*.pkl"))


def test_it_needs_what_the_classifier_needs_and_little_more(classifier, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts(packaged(classifier)))
    own = set(packaging.requirements())
    lines = set((folder / "requirements.txt").read_text().split())
    assert own <= lines
    assert {line.partition("==")[0].lower() for line in lines - own} == {"pyyaml", "py3langid"}


def test_its_signature_says_what_it_gives(classifier):
    signature = mlflow.models.get_model_info(packaged(classifier)).signature
    assert signature.inputs.input_names() == ["text"]
    assert signature.outputs.input_names() == ["label", "score", "scores", "language", "model"]


def test_cleaning_nobody_knows_must_be_said(run, loaded, monkeypatch):
    classifier = packaging.log(*loaded, of_kind("classes"), max_length=16, backbone="tiny")
    monkeypatch.setattr(inference_packaging.datasets, "cleaning", lambda reference: None)
    with pytest.raises(StepFailed, match="nobody knows how the data was cleaned"):
        packaged(classifier)
    about = mlflow.models.get_model_info(packaged(classifier, cleaning="none")).metadata
    assert about["inference_pipeline"]["cleaning"] is None


def test_equal_declarations_make_equal_packages():
    first = inference_packaging.tags("models:/m-1", Inference())
    assert first == inference_packaging.tags("models:/m-1", Inference(cleaning="ingest"))
    assert first != inference_packaging.tags("models:/m-1", Inference(cache=1))
    assert first != inference_packaging.tags("models:/m-2", Inference())


def test_what_is_declared():
    assert inference_packaging.declared(None) is None
    assert inference_packaging.declared(structure("{languages: [en]}")).languages == ("en",)
    with pytest.raises(UsageError) as told:
        inference_packaging.declared(structure("{languages: [xx], cache: x}"))
    assert len(told.value.problems) == 2
