"""`python -m pipelines.register`: versions that have earned it, on a real registry; nothing is left of the others."""

from __future__ import annotations

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature

from dlops.config import locations
from dlops.data import splits, tables
from dlops.errors import GateFailed
from dlops.registry import aliases, lineage, versions
from tests.ml.conftest import dataset_rows, simple_rows
from tests.pipelines.conftest import EXACT

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided")
GOOD = ("strategy=freeze", "epochs=15", "head_learning_rate=0.05", EXACT)
POOR = ("strategy=freeze", "epochs=1", "head_learning_rate=1e-9", EXACT)
CODE = """
import os
import mlflow
import pandas as pd

class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        good = model_input["text"].str.contains("good|great|lovely")
        surely = {surely}
        return pd.DataFrame({{"scores": [
            {{"positive": surely if one else 1 - surely, "negative": 1 - surely if one else surely}} for one in good
        ]}})

mlflow.models.set_model(Words())
"""


@pytest.fixture
def films(steps, monkeypatch):
    """A dataset called `films`, one word of which tells the label."""
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    rows = dataset_rows(*simple_rows(400), (0.5, 0.1, 0.4))
    return tables.write(str(locations.table("films")), rows, {"source": "films.csv"})


@pytest.fixture
def words(steps, tmp_path):
    """Log a model that looks for words, as surely as told; give its URI."""
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])

    def log(surely="0.9", signature=True):
        file = tmp_path / "words.py"
        file.write_text(CODE.format(surely=surely))
        given = pd.DataFrame({"text": ["a text"]})
        told = pd.DataFrame({"scores": [{"positive": 0.5, "negative": 0.5}]})
        taken = infer_signature(given, told) if signature else None
        with mlflow.start_run(experiment_id="0"):
            info = mlflow.pyfunc.log_model(name="words", python_model=str(file), signature=taken, pip_requirements=[])
        return info.model_uri

    yield log
    mlflow.set_tracking_uri(None)


def trained(steps, tiny_model, how):
    run, _ = steps.run("finetune", "dataset=films", f"model={tiny_model}", *how)
    return f"runs:/{run.info.run_id}/model"


def versions_of(steps, name="films"):
    return versions.of(steps.client, name)


def test_a_model_becomes_a_version_with_its_origins_and_figures(steps, films, tiny_model):
    uri = trained(steps, tiny_model, GOOD)
    run, done = steps.run("register", f"model={uri}", "name=films", "dataset=films", "require=accuracy>=0.6")
    assert run.data.tags["dlops.output.version"] == "models:/films/1"
    (version,) = versions_of(steps)
    assert version.aliases == (aliases.CANDIDATE,)
    assert version.metrics["test_accuracy"] == pytest.approx(run.data.metrics["test_accuracy"], abs=1e-5)
    trained_by = steps.client.get_run(uri.split("/")[1])
    assert trained_by.data.tags["dlops.hardware"]
    assert version.tags["dlops_run"] == trained_by.info.run_id == version.run_id
    assert version.tags["dlops_evaluation"] == run.info.run_id
    assert version.tags["dlops_dataset"] == f"{locations.table('films')}@0"
    assert version.tags["dlops_dataset_digest"] == films.digest == version.tags["dlops_evaluated_on_digest"]
    assert "models:/films/1, loaded afresh, answers 100 rows as it was judged by" in done.stdout
    described = steps.client.get_model_version("films", "1").description
    assert "# Model card" in described
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    answers = mlflow.pyfunc.load_model("models:/films@candidate").predict(pd.DataFrame({"text": ["a good film"]}))
    assert answers["label"][0] in ("negative", "positive")
    assert mlflow.models.get_model_info("models:/films/1").signature
    again, done = steps.run("register", f"model={uri}", "name=films", "dataset=films")
    assert "is version 1 of films already: nothing is registered" in done.stdout
    assert again.data.tags["dlops.output.version"] == "models:/films/1"
    assert len(versions_of(steps)) == 1


@pytest.mark.slow
def test_a_champion_is_replaced_by_a_better_one_alone(steps, films, tiny_model, words):
    poor, good = trained(steps, tiny_model, POOR), words()
    steps.run("register", f"model={poor}", "name=films", "dataset=films", "promote=true")
    assert aliases.holder(steps.client, "films") == "1"
    run, done = steps.run("register", f"model={good}", "name=films", "dataset=films", "promote=true", "beat=better")
    assert run.data.tags["dlops.output.verdict"] == "better"
    assert "Version 2 of films is the champion; before it was version 1." in done.stdout
    other = trained(steps, tiny_model, ("strategy=freeze", "epochs=1", "head_learning_rate=2e-9", EXACT))
    _, done = steps.run("register", f"model={other}", "name=films", "dataset=films", "promote=true", exit_code=3)
    assert "beat=not_worse: Accuracy" in done.stderr
    assert "worse than models:/films/2" in done.stderr
    assert len(versions_of(steps)) == 2
    run, _ = steps.run("register", f"model={other}", "name=films", "dataset=films", "beat=any")
    assert [version.version for version in versions_of(steps)] == ["3", "2", "1"]
    assert aliases.holder(steps.client, "films") == "2"
    assert aliases.rollback(steps.client, "films", by=aliases.person()).version == "1"
    run, _ = steps.run("register", f"model={good}", "name=films", "dataset=films", "promote=true")
    assert aliases.holder(steps.client, "films") == "2", "a version that is there is promoted, and not made again"
    assert len(versions_of(steps)) == 3


def test_a_requirement_that_fails_leaves_nothing(steps, films, words):
    refused = ("name=films", "dataset=films", "require=accuracy>=1.01,latency_p95_ms<=1e9")
    run, done = steps.run("register", f"model={words()}", *refused, exit_code=3)
    assert "accuracy>=1.01: does not hold, it is 1" in done.stderr
    assert versions.names(steps.client) == []
    assert run.data.tags["dlops.gate"] == "failed"
    assert run.data.metrics["test_accuracy"] == 1.0, "why it was refused is recorded"


def test_a_model_that_answers_otherwise_when_it_is_loaded_again_leaves_nothing(steps, films, words):
    chance = words(surely="0.6 + os.getpid() % 1000 / 3000")
    _, done = steps.run("register", f"model={chance}", "name=films", "dataset=films", exit_code=3)
    assert "loaded afresh, answers 100 of 100 rows otherwise" in done.stderr
    assert versions.names(steps.client) == []


@pytest.mark.slow
def test_a_tolerance_lets_a_model_answer_otherwise_and_keeps_the_next_out(steps, films, words):
    chance = words(surely="0.6 + os.getpid() % 1000 / 3000")
    steps.run("register", f"model={chance}", "name=films", "dataset=films", "parity_tolerance=0.5")
    assert len(versions_of(steps)) == 1
    other = words(surely="0.7 + os.getpid() % 1000 / 5000")
    steps.run("register", f"model={other}", "name=films", "dataset=films", "parity_tolerance=0", exit_code=3)
    assert len(versions_of(steps)) == 1, "the model itself was there before"


def test_a_model_without_a_signature_is_refused(steps, films, words):
    _, done = steps.run("register", f"model={words(signature=False)}", "name=films", "dataset=films", exit_code=3)
    assert "has no signature" in done.stderr
    assert versions.names(steps.client) == []


def test_what_needs_an_approval_waits_for_it(steps, films, words):
    asked = ("name=films", "dataset=films", "promote=true", "approval=required")
    _, done = steps.run("register", f"model={words()}", *asked)
    assert "dlops approve films 1" in done.stdout
    assert aliases.holder(steps.client, "films") is None
    with pytest.raises(GateFailed):
        aliases.promote(steps.client, "films", "1", instead_of=None, by=aliases.person())
    moved = aliases.approve(steps.client, "films", "1", "fine", by=aliases.person("ann"))
    assert moved.version == aliases.holder(steps.client, "films") == "1"


@pytest.mark.slow
def test_a_champion_that_was_deleted_is_none(steps, films, words):
    first = words(surely="0.8")
    steps.run("register", f"model={first}", "name=films", "dataset=films", "promote=true")
    steps.client.delete_model_version("films", "1")
    steps.run("register", f"model={words()}", "name=films", "dataset=films", "promote=true")
    assert aliases.holder(steps.client, "films") == "2"


def test_a_registry_that_does_not_answer_is_exit_5(steps, films, words):
    away = {"MLFLOW_REGISTRY_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    run, _ = steps.run("register", f"model={words()}", "name=films", "dataset=films", exit_code=5, **away)
    assert run.data.tags["dlops.gate"] == "unreachable"
    assert versions.names(steps.client) == []


def test_a_name_that_no_registry_takes(steps, films, words):
    _, done = steps.run("register", f"model={words()}", "name=a/b", "dataset=films", exit_code=2)
    assert "is no name of a registered model" in done.stderr
    catalog = {"MLFLOW_REGISTRY_URI": "databricks-uc"}
    _, done = steps.run("register", f"model={words()}", "name=films", "dataset=films", exit_code=2, **catalog)
    assert "CATALOG.SCHEMA.films" in done.stderr


def test_exports_are_kept_with_the_version(steps, films, tiny_model):
    uri = trained(steps, tiny_model, GOOD)
    asked = (f"model={uri}", "name=films", "dataset=films")
    run, done = steps.run("register", *asked, "export=onnx")
    (version,) = versions_of(steps)
    export = version.tags["dlops_export_onnx"]
    assert float(version.tags["dlops_export_onnx_agreement"]) == 1.0 == run.data.metrics["export_onnx_agreement"]
    assert "onnx: 100.00% of" in done.stdout
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    texts = pd.DataFrame({"text": ["a good film", "the plot was dull"]})
    label = mlflow.pyfunc.load_model(export).predict(texts)["label"]
    assert list(label) == list(mlflow.pyfunc.load_model("models:/films/1").predict(texts)["label"])
    again, done = steps.run("register", *asked, "export=onnx")
    assert "nothing is registered" in done.stdout
    assert "export_onnx_agreement" not in again.data.metrics
    steps.run("register", *asked, "export=onnx,onnx-int8", "export_agreement=0.5")
    (version,) = versions_of(steps)
    assert version.tags["dlops_export_onnx"] == export, "what is there is not made again"
    assert version.tags["dlops_export_onnx_int8"].startswith("models:/m-")
    uses = [node.document() for node in lineage.of(steps.client, "models:/films/1").uses]
    assert {one["facts"]["format"] for one in uses if one["kind"] == "export"} == {"onnx", "onnx-int8"}
    assert {one["name"] for one in uses if one["kind"] == "export"} >= {export}


def test_an_export_that_fails_leaves_nothing(steps, films, words, tiny_model, monkeypatch):
    _, done = steps.run("register", f"model={words()}", "name=films", "dataset=films", "export=onnx", exit_code=4)
    assert "holds no folder of weights" in done.stderr
    assert versions.names(steps.client) == []
    _, done = steps.run("register", f"model={words()}", "name=films", "dataset=films", "export=tflite", exit_code=2)
    assert "'tflite' is not one of onnx, onnx-int8" in done.stderr


@pytest.mark.slow
def test_a_package_with_its_pipeline_is_registered_in_the_classifiers_place(steps, films, tiny_model):
    uri = trained(steps, tiny_model, GOOD)
    declared = steps.folder / "inference.yaml"
    declared.write_text("cleaning: {html: yes}\nlanguages: [en]\n")
    asked = (f"model={uri}", "name=films", "dataset=films", f"inference_pipeline={declared}", "export=onnx")
    steps.run("register", *asked, "promote=true")
    (version,) = versions_of(steps)
    run_id = uri.split("/")[1]
    assert version.tags["dlops_run"] == run_id, "where the classifier comes from"
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    raw = pd.DataFrame(
        {"text": ["a <b>good</b> film", "the plot was dull", "Der Film war langweilig und viel zu lang"]}
    )
    answers = mlflow.pyfunc.load_model("models:/films@champion").predict(raw).to_dict("records")
    assert [one["label"] for one in answers[:2]] == ["positive", "negative"]
    assert (answers[2]["label"], answers[2]["language"]) == (None, "de")
    assert answers[0]["model"] == {"name": "films", "version": "1", "run_id": run_id}
    export = mlflow.pyfunc.load_model(version.tags["dlops_export_onnx"])
    assert [one["label"] for one in export.predict(raw).to_dict("records")] == [one["label"] for one in answers]
    _, done = steps.run("register", *asked, "promote=true")
    assert "is version 1 of films already: nothing is registered" in done.stdout
    steps.run(
        "register",
        f"model={uri}",
        "name=films",
        "dataset=films",
        "beat=any",
        "inference_pipeline={cache: 5, cleaning: none}",
    )
    assert [version.version for version in versions_of(steps)] == ["2", "1"], "another package is another version"
    chain = node = lineage.of(steps.client, "films").document()
    kinds = [chain["kind"]]
    while "from" in node:
        node = node["from"][0]
        kinds.append(node["kind"])
    assert kinds[:4] == ["version", "model", "model", "run"]
    _, done = steps.run("register", *asked[:3], "inference_pipeline={languages: [xx], cache: x}", exit_code=2)
    assert "xx is none that is recognised" in done.stderr


@pytest.mark.slow
def test_an_export_for_an_older_version_moves_no_alias(steps, films, tiny_model, words):
    uri = trained(steps, tiny_model, POOR)
    steps.run("register", f"model={uri}", "name=films", "dataset=films", "promote=true")
    steps.run("register", f"model={words()}", "name=films", "dataset=films", "promote=true")
    steps.run("register", f"model={words(surely='0.8')}", "name=films", "dataset=films")
    steps.run("register", f"model={uri}", "name=films", "dataset=films", "beat=better", "export=onnx")
    assert "dlops_export_onnx" in versions.one(steps.client, "films", "1").tags
    assert aliases.holder(steps.client, "films") == "2"
    assert aliases.holder(steps.client, "films", aliases.CANDIDATE) == "3"
    steps.run("register", f"model={uri}", "name=films", "dataset=films", "promote=true", exit_code=3)


@pytest.mark.slow
def test_texts_that_a_package_does_not_answer_are_never_right(steps, films, words):
    table = locations.table("films")
    german = "Der Film war langweilig und viel zu lang"
    rows = {
        "id": [splits.identity(f"{german} {number}") for number in range(20)],
        "text": [f"{german} {number}" for number in range(20)],
        "label": ["negative"] * 20,
        "split": ["test"] * 20,
    }
    more = dataset_rows(*simple_rows(200), (0.5, 0.1, 0.4))
    tables.write(str(table), {name: rows[name] + more[name] for name in rows}, {"source": "films.csv"})
    asked = (f"model={words()}", "name=films", "dataset=films", "rows=0")
    whole, _ = steps.run("evaluate", asked[0], "dataset=films")
    run, _ = steps.run("register", *asked, "inference_pipeline={cleaning: none, languages: [en, la, de, nl]}")
    assert run.data.metrics["test_accuracy"] <= whole.data.metrics["test_accuracy"]
    run, _ = steps.run("register", *asked, "beat=any", "inference_pipeline={cleaning: none, languages: [en]}")
    assert run.data.metrics["test_accuracy"] < whole.data.metrics["test_accuracy"] - 0.1
