from __future__ import annotations

import mlflow
import pandas as pd
import pytest

from dlops.errors import StepFailed
from dlops.ml import backbones, onnx_export, packaging, targets, training
from tests.ml.conftest import answered_elsewhere
from tests.ml.test_packaging import TEXTS, of_kind

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided")
MORE = [*TEXTS, *("good film " * count for count in range(1, 20))]


def logged(tiny_model, kind="classes", head="standard", pairs=False):
    training.seed(0)
    given = of_kind(kind, pairs=pairs)
    target = targets.of(kind, given.labels, given.train.labels)
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), target, head=head)
    return packaging.log(network, tokenizer, given, max_length=16, backbone="tiny")


@pytest.mark.parametrize(
    ("kind", "head", "pairs"),
    [("number", "standard", False), ("multilabel", "mean", False), ("classes", "all_layers", True)],
)
def test_it_answers_as_the_model_does(run, tiny_model, kind, head, pairs):
    uri = logged(tiny_model, kind, head, pairs)
    frame = pd.DataFrame({"text": MORE} | ({"text_pair": MORE[::-1]} if pairs else {}))
    expected = mlflow.pyfunc.load_model(uri).predict(frame)
    answers = mlflow.pyfunc.load_model(onnx_export.log(uri, "onnx")).predict(frame)
    for one, other in zip(expected.to_dict("records"), answers.to_dict("records"), strict=True):
        assert other["scores"] == pytest.approx(one["scores"], abs=1e-4)
        assert other["score"] == pytest.approx(one["score"], abs=1e-4)
        if kind != "number":
            assert other["label"] == one["label"]


def test_int8_answers_nearly_so_and_is_smaller(run, tiny_model, tmp_path):
    uri = logged(tiny_model, head="all_layers")
    small = onnx_export.log(uri, "onnx-int8")
    frame = pd.DataFrame({"text": MORE})
    expected = mlflow.pyfunc.load_model(uri).predict(frame)
    answers = mlflow.pyfunc.load_model(small).predict(frame)
    for one, other in zip(expected["scores"], answers["scores"], strict=True):
        assert other == pytest.approx(one, abs=0.1)
        assert other != one


def test_it_needs_neither_torch_nor_transformers(run, tiny_model, tmp_path):
    uri = logged(tiny_model)
    export = onnx_export.log(uri, "onnx")
    answers = answered_elsewhere(export, {"text": TEXTS}, tmp_path, "torch", "transformers")
    expected = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"text": TEXTS}))
    assert [one["label"] for one in answers] == list(expected["label"])
    lines = {line.partition("==")[0] for line in mlflow.pyfunc.get_model_dependencies(export)}
    about = mlflow.models.get_model_info(export).metadata
    assert about["format"] == "onnx"
    assert about["run_id"] == run.info.run_id
    assert mlflow.get_logged_model(export.removeprefix("models:/")).tags["dlops.made_of"] == uri
    assert lines


def test_a_row_without_a_text_is_named(run, tiny_model):
    model = mlflow.pyfunc.load_model(onnx_export.log(logged(tiny_model), "onnx")).unwrap_python_model()
    with pytest.raises(ValueError, match="Row 1 has no text"):
        model.predict(None, pd.DataFrame({"text": ["good", None]}))


def test_a_model_without_weights_is_told(run, tmp_path):
    (tmp_path / "constant.py").write_text(
        "import mlflow\n"
        "class Constant(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return ['positive'] * len(model_input)\n"
        "mlflow.models.set_model(Constant())\n"
    )
    info = mlflow.pyfunc.log_model(name="constant", python_model=str(tmp_path / "constant.py"), pip_requirements=[])
    with pytest.raises(StepFailed, match="holds no folder of weights"):
        onnx_export.log(info.model_uri, "onnx")


def test_what_cannot_be_a_graph_is_told(run, tiny_model, monkeypatch):
    def refuse(*words, **more):
        raise RuntimeError("no such operator\nand a long story")

    uri = logged(tiny_model)
    monkeypatch.setattr("torch.onnx.export", refuse)
    with pytest.raises(StepFailed, match=r"cannot be exported as onnx: RuntimeError: no such operator$"):
        onnx_export.log(uri, "onnx")


def test_weights_of_sixteen_bits_are_exported(run, tiny_model):
    import torch

    training.seed(0)
    given = of_kind("classes")
    network, tokenizer = backbones.load(
        backbones.locate(str(tiny_model)), targets.of("classes", given.labels, given.train.labels)
    )
    network.inner.to(torch.bfloat16)
    uri = packaging.log(network, tokenizer, given, max_length=16, backbone="tiny")
    answers = mlflow.pyfunc.load_model(onnx_export.log(uri, "onnx-int8")).predict(pd.DataFrame({"text": TEXTS}))
    expected = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"text": TEXTS}))
    assert list(answers["score"]) == pytest.approx(list(expected["score"]), abs=0.05)


def test_the_end_of_a_long_text_that_is_read_stays_so(run, loaded):
    network, tokenizer = loaded
    tokenizer.truncation_side = "left"
    uri = packaging.log(network, tokenizer, of_kind("classes"), max_length=16, backbone="tiny")
    frame = pd.DataFrame({"text": [f"good {'film ' * 40}", f"{'plot ' * 40}bad"]})
    expected = mlflow.pyfunc.load_model(uri).predict(frame)
    answers = mlflow.pyfunc.load_model(onnx_export.log(uri, "onnx")).predict(frame)
    assert list(answers["score"]) == pytest.approx(list(expected["score"]), abs=1e-5)


def test_a_model_of_flavor_transformers_keeps_its_columns_apart(run, loaded):
    network, tokenizer = loaded
    parts = {"model": network.inner, "tokenizer": tokenizer}
    info = mlflow.transformers.log_model(parts, name="stock", task="text-classification", pip_requirements=[])
    export = onnx_export.log(info.model_uri, "onnx")
    assert mlflow.models.get_model_info(export).signature.inputs.input_names() == ["text"]
    assert mlflow.pyfunc.load_model(export).predict(pd.DataFrame({"text": TEXTS}))["label"].notna().all()
