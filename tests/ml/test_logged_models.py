from __future__ import annotations

import mlflow
import pytest
from mlflow.entities import LoggedModelOutput

from dlops.errors import StepFailed
from dlops.ml import backbones, logged_models, packaging, record, targets, training
from tests.ml.test_packaging import of_kind

LABELS = ("bad", "good")
OLD = of_kind("classes")
NEW = targets.of("classes", LABELS, [])


def weights_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def trained(tiny_model, head="standard"):
    """A model of another task, none of whose weights is the pretrained model's."""
    training.seed(1)
    target = targets.of("classes", OLD.labels, [])
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), target, head=head)
    for weights in network.parameters():
        weights.data += 1
    return network, tokenizer


def stock(network, tokenizer, name):
    """Log a model as programs do that know MLflow and nothing of ours."""
    parts = {"model": network.inner, "tokenizer": tokenizer}
    info = mlflow.transformers.log_model(parts, name=name, task="text-classification", pip_requirements=["torch"])
    return f"models:/{info.model_id}"


@pytest.fixture
def logged(run, tiny_model):
    """A model logged as a finetune does, and the output of its run."""
    network, tokenizer = trained(tiny_model)
    uri = packaging.log(network, tokenizer, OLD, max_length=16, backbone="tiny")
    record.output("model", uri)
    return network, uri


def test_every_spelling_stands_for_one_model(run, logged):
    _, uri = logged
    version = mlflow.register_model(uri, "reviews").version
    mlflow.MlflowClient().set_registered_model_alias("reviews", "best", version)
    spellings = [uri, f"models:/reviews/{version}", "models:/reviews@best", "models:/reviews/latest"]
    spellings.append(f"runs:/{run.info.run_id}/model")
    assert {logged_models.resolve(spelling) for spelling in spellings} == {uri}
    assert logged_models.model_id(uri) == uri.removeprefix("models:/")
    assert logged_models.model_id("models:/reviews/1") is None
    assert logged_models.model_id(None) is None


def test_the_output_of_a_program_that_is_not_ours_is_found_by_its_name(run, tiny_model):
    network, tokenizer = trained(tiny_model)
    uri = stock(network, tokenizer, "theirs")
    assert logged_models.resolve(f"runs:/{run.info.run_id}/theirs") == uri
    with pytest.raises(StepFailed, match=r"has no model 'model' .*\(there is theirs\)"):
        logged_models.resolve(f"runs:/{run.info.run_id}/model")


@pytest.mark.parametrize("head", ["standard", "mean"])
@pytest.mark.parametrize("kept", ["standard", "all_layers", "theirs"])
def test_only_the_backbone_is_read(run, tiny_model, kept, head):
    network, tokenizer = trained(tiny_model, "standard" if kept == "theirs" else kept)
    if kept == "theirs":
        uri = stock(network, tokenizer, "model")
    else:
        uri = packaging.log(network, tokenizer, OLD, max_length=16, backbone="tiny")
    location = backbones.locate(uri)
    assert (location.path, location.revision) == (uri, uri)
    training.seed(0)
    found, vocabulary = backbones.load(location, NEW, head=head)
    training.seed(0)
    fresh, _ = backbones.load(backbones.locate(str(tiny_model)), NEW, head=head)
    assert same(weights_of(found.backbone), weights_of(network.backbone))
    assert abs(found.last.weight.mean().item()) < 0.5, "the head of as many classes, around 1, is gone"
    assert found.last.weight.shape == fresh.last.weight.shape
    assert found.backbone.config.id2label == dict(enumerate(LABELS))
    assert vocabulary.get_vocab() == tokenizer.get_vocab()
    assert found.train()({**vocabulary(["a film"], return_tensors="pt"), "labels": None}).shape == (1, 2)


def test_a_copy_is_read_and_the_store_stays_as_it_is(run, logged, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    network, uri = logged
    found, _ = backbones.load(backbones.locate(uri), NEW)
    assert same(weights_of(found.backbone), weights_of(network.backbone))
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/m-0123456789abcdef0123456789abcdef", "m-0123456789abcdef0123456789abcdef"),
        ("models:/reviews/7", "reviews"),
        ("models:/reviews@best", "reviews"),
        ("models:/a/b/c", "There is no model models:/a/b/c"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "0123456789abcdef0123456789abcdef"),
        ("runs:/0123456789abcdef0123456789abcdef", "There is no model runs:/"),
    ],
)
def test_what_is_not_there_is_named(run, uri, message):
    with pytest.raises(StepFailed, match=message) as caught:
        backbones.locate(uri)
    assert "models:/NAME" in caught.value.hint


def test_a_version_or_alias_that_is_not_there_is_named(run, logged):
    mlflow.register_model(logged[1], "reviews")
    for uri in ("models:/reviews/7", "models:/reviews@best"):
        with pytest.raises(StepFailed, match=uri):
            backbones.locate(uri)


def test_a_run_without_a_model_is_told(run):
    with pytest.raises(StepFailed, match=f"run {run.info.run_id} has no model 'model'") as caught:
        backbones.locate(f"runs:/{run.info.run_id}/model")
    assert "dlops finetune" in caught.value.hint


def test_a_model_of_another_kind_is_told(run):
    info = mlflow.pyfunc.log_model(name="other", loader_module="json", pip_requirements=["torch"])
    with pytest.raises(StepFailed, match="holds no folder of weights") as caught:
        backbones.load(backbones.locate(info.model_uri), NEW)
    assert "mlflow.transformers" in caught.value.hint


def test_files_that_are_gone_are_told(run, logged, tmp_path):
    import shutil

    _, uri = logged
    place = mlflow.get_logged_model(uri.removeprefix("models:/")).artifact_location
    shutil.rmtree(place.removeprefix("file://"))
    with pytest.raises(StepFailed, match=f"The files of {uri} cannot be read"):
        backbones.load(backbones.locate(uri), NEW)


def test_a_model_that_only_refers_to_the_hub_is_told(run, tmp_path):
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {transformers: {source_model_name: ann/tiny}}\n")
    with mlflow.start_run(nested=True):
        model = mlflow.initialize_logged_model("model")
        mlflow.MlflowClient().log_model_artifacts(model.model_id, str(folder))
        mlflow.finalize_logged_model(model.model_id, "READY")
        mlflow.MlflowClient().log_outputs(mlflow.active_run().info.run_id, [LoggedModelOutput(model.model_id, 0)])
    with pytest.raises(StepFailed) as caught:
        backbones.load(backbones.locate(f"models:/{model.model_id}"), NEW)
    assert "ann/tiny" in caught.value.hint


def test_the_lineage_is_recorded(run, logged):
    record.model_input(logged_models.model_id(logged[1]))
    inputs = mlflow.get_run(run.info.run_id).inputs.model_inputs
    assert [found.model_id for found in inputs] == [logged[1].removeprefix("models:/")]
