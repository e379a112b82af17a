"""`python -m pipelines.evaluate`: a logged model judged on its data, beside others, and held to requirements."""

from __future__ import annotations

import json

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dlops.config import locations
from dlops.data import splits, tables
from tests.ml.conftest import simple_rows
from tests.pipelines.conftest import EXACT
from tests.pipelines.test_finetune import labelled

TRAIN = ("strategy=freeze", "epochs=15", "head_learning_rate=0.05", EXACT)


@pytest.fixture
def films(steps, tiny_model, monkeypatch):
    """A dataset called `films`, with a column of sites, on one of which every label is turned."""
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    texts, labels = simple_rows(400)
    kept = dict(zip(texts, labels, strict=True))
    site = ["turned" if place % 8 == 0 else "plain" for place in range(len(kept))]
    turned = {"negative": "positive", "positive": "negative"}
    given = [turned[label] if where == "turned" else label for label, where in zip(kept.values(), site, strict=True)]
    rows = {
        "id": [splits.identity(text) for text in kept],
        "text": list(kept),
        "label": given,
        "split": [splits.assign(text, (0.5, 0.1, 0.4), 0) for text in kept],
        "site": site,
    }
    return tables.write(str(locations.table("films")), rows, {"source": "films.csv"})


@pytest.fixture
def model(steps, films, tiny_model):
    run, _ = steps.run("finetune", "dataset=films", f"model={tiny_model}", *TRAIN)
    return run


def test_a_model_is_judged_as_it_was_tested(steps, model):
    uri = f"runs:/{model.info.run_id}/model"
    words = (f"model={uri}", "dataset=films", "slice_by=site,length", "require=accuracy>=0.5,worst_slice.accuracy<=0.5")
    run, done = steps.run("evaluate", *words)
    for name in ("accuracy", "macro_f1", "calibration_error", "accuracy_low", "accuracy_high", "f1_positive"):
        assert run.data.metrics[f"test_{name}"] == pytest.approx(model.data.metrics[f"test_{name}"], abs=1e-5), name
    assert run.data.metrics["baseline_majority_test_accuracy"] == model.data.metrics["baseline_majority_test_accuracy"]
    artifacts = steps.artifacts(run)
    found = json.loads((artifacts / "evaluation.json").read_text())
    assert found["worst_slice"] == "site = turned"
    assert found["gaps"]["accuracy"] > 0.5
    assert [one["holds"] for one in found["requirements"]] == [True, True]
    parts = {part["name"]: part for part in found["slices"]}
    assert parts["site = turned"]["figures"]["accuracy"] < 0.4 < 0.7 < parts["site = plain"]["figures"]["accuracy"]
    assert found["latency"]["p50_ms"] <= found["latency"]["p95_ms"]
    turned = {row["id"] for row in found["label_errors"]}
    assert len(turned) > 10
    table, _ = tables.read(str(locations.table("films")), None)
    rows = table.to_pyarrow_table().to_pandas().set_index("id")
    assert (rows.loc[list(turned), "site"] == "turned").mean() > 0.3, "of all rows an eighth is"
    there = {path.name for path in artifacts.iterdir()}
    pictures = {
        f"{name}.png" for name in ("confusion_matrix", "reliability", "precision_recall", "baselines", "slices")
    }
    assert there >= {"evaluation.html", "predictions.parquet", "hardest.json", "label_errors.json", *pictures}
    page = (artifacts / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "<script" not in page
    assert "site = turned" in page
    tags = run.data.tags
    assert tags["dlops.output.verdict"] == found["verdict"]
    assert tags["dlops.output.report"] == f"runs:/{run.info.run_id}/evaluation.html"
    assert tags["dlops.resolved.model"] == model.data.tags["dlops.output.model"]
    (logged,) = run.inputs.dataset_inputs
    assert next(tag.value for tag in logged.tags if tag.key == "mlflow.data.context") == "evaluation"
    whole = steps.client.get_run(run.info.run_id)
    assert [one.model_id for one in whole.inputs.model_inputs] == [
        tags["dlops.resolved.model"].removeprefix("models:/")
    ]
    assert "accuracy>=0.5: holds" in done.stdout
    assert len(mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/hardest.json")["columns"]) == 5

    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    kept = pq.read_table(artifacts / "predictions.parquet").to_pandas()
    assert len(kept) == found["rows"]
    some = rows.loc[kept["id"][:5]]
    answered = mlflow.pyfunc.load_model(tags["dlops.resolved.model"]).predict(pd.DataFrame({"text": some["text"]}))
    for before, after in zip(kept["answer"][:5], answered["scores"], strict=True):
        assert json.loads(before) == pytest.approx(after, abs=1e-5)


def test_a_worse_model_is_told_and_refused(steps, model, tiny_model):
    poor, _ = steps.run(
        "finetune", "dataset=films", f"model={tiny_model}", *TRAIN[:1], "epochs=1", "head_learning_rate=1e-9"
    )
    uris = [f"runs:/{run.info.run_id}/model" for run in (poor, model)]
    words = ("dataset=films", "require=verdict!=worse,accuracy>=0.99,accuracy>=0.01")
    run, done = steps.run("evaluate", f"model={uris[0]}", f"against={uris[1]}", *words, exit_code=3)
    assert run.data.tags["dlops.output.verdict"] == "worse"
    assert run.data.tags["dlops.gate"] == "failed"
    assert "2 of 3 requirements do not hold" in done.stderr
    assert "verdict!=worse: does not hold, it is worse" in done.stderr
    assert "accuracy>=0.01" not in done.stderr
    found = json.loads((steps.artifacts(run) / "evaluation.json").read_text())
    assert found["comparison"]["high"] < 0
    assert found["comparison"]["mcnemar"] < 0.05
    assert found["comparison"]["needed"] < 2 * found["rows"]
    run, _ = steps.run("evaluate", f"model={uris[1]}", f"against={uris[1]}", "dataset=films", "baselines=false")
    assert run.data.tags["dlops.output.verdict"] == "not_distinguishable"
    run, _ = steps.run("evaluate", f"model={uris[1]}", f"against={uris[0]}", "dataset=films", "require=verdict=better")
    assert run.data.tags["dlops.output.verdict"] == "better"


def test_some_rows_of_all_without_texts(steps, model):
    words = (f"model={model.data.tags['dlops.output.model']}", "dataset=films", "split=all", "rows=50", "texts=false")
    run, done = steps.run("evaluate", *words, "latency_rows=0", "baselines=false")
    found = json.loads((steps.artifacts(run) / "evaluation.json").read_text())
    assert (found["rows"], found["latency"], found["baselines"]) == (50, {}, {})
    assert run.data.tags["dlops.output.verdict"] == "none"
    assert "all_accuracy" in run.data.metrics
    assert {row["text"] for row in found["hardest"]} == {""}
    assert "Warning: the model may have been trained on these rows." in done.stdout
    again, _ = steps.run("evaluate", *words, "latency_rows=0", "baselines=false")
    assert again.data.metrics["all_loss"] == run.data.metrics["all_loss"]


@pytest.mark.parametrize("kind", ["multilabel", "number"])
def test_other_kinds_of_labels(steps, tiny_model, monkeypatch, kind):
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    tables.write(
        str(locations.table("other")), labelled(kind, kind == "number"), {"source": "other.csv"}, digest="other"
    )
    trained, _ = steps.run("finetune", "dataset=other", f"model={tiny_model}", *TRAIN)
    by = ["slice_by=length"] if kind == "multilabel" else []
    run, _ = steps.run("evaluate", f"model=runs:/{trained.info.run_id}/model", "dataset=other", *by)
    headline = {"multilabel": "micro_f1", "number": "rmse"}[kind]
    for name in (headline, "loss"):
        assert run.data.metrics[f"test_{name}"] == pytest.approx(
            trained.data.metrics[f"test_{name}"], rel=1e-4, abs=1e-5
        )
    assert "evaluation.html" in {path.name for path in steps.artifacts(run).iterdir()}


def test_what_is_wrong_is_told_before_the_model_answers(steps, films):
    none = ("model=models:/none/1", "dataset=films")
    _, done = steps.run("evaluate", *none, "require=acuracy>=1,verdict=best", exit_code=2)
    assert "did you mean 'accuracy'?" in done.stderr
    assert "one of better, worse" in done.stderr
    _, done = steps.run("evaluate", *none, "slice_by=sight", exit_code=4)
    assert "has no column sight; beside text and label it has site." in done.stderr
    _, done = steps.run("evaluate", *none, exit_code=4)
    assert "There is no model models:/none/1" in done.stderr
