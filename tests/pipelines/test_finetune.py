from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from dlops.config import locations
from dlops.data import splits, tables
from dlops.ml import datasets
from tests import servers
from tests.data import hub_server
from tests.ml.conftest import dataset_rows, simple_rows

BASELINES = {"baseline_majority_test_accuracy", "baseline_bag_of_words_test_accuracy"}


@pytest.fixture
def easy(steps, monkeypatch):
    """A dataset called `easy` in the user's data folder: one word tells the opinion."""
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    rows = dataset_rows(*simple_rows(300), (0.6, 0.2, 0.2))
    return tables.write(str(locations.table("easy")), rows, {"source": "easy.csv"})


def settings(tiny_model, *more):
    return ["dataset=easy", f"model={tiny_model}", "batch_size=16", *more]


@pytest.mark.parametrize(
    "strategy",
    [
        *("freeze", "no_freeze", "lora"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("freeze_unfreeze", "unfreeze_milestones")),
    ],
)
def test_every_strategy_ends_with_a_model_that_is_measured_and_usable(steps, easy, tiny_model, tmp_path, strategy):
    progress = tmp_path / "progress.json"
    run, done = steps.run(
        *("finetune", *settings(tiny_model, f"strategy={strategy}", "epochs=3")),
        *("learning_rate=3e-3", "head_learning_rate=3e-3"),
        DLOPS_PROGRESS=str(progress),
    )
    metrics, client = run.data.metrics, steps.client
    assert set(metrics) >= BASELINES | {
        *("train_loss", "val_loss", "val_accuracy", "val_macro_f1", "test_accuracy_low", "test_macro_f1_high"),
        *("test_loss", "test_accuracy", "test_macro_f1", "test_f1_negative", "test_recall_positive"),
    }
    assert metrics["baseline_bag_of_words_test_accuracy"] > 0.95
    steps_of_loss = [metric.step for metric in client.get_metric_history(run.info.run_id, "val_loss")]
    assert steps_of_loss == [1, 2, 3]
    folder = steps.artifacts(run)
    assert {"confusion_matrix.png", "curves.png", "baselines.png", "summary.json", "summary.md"} <= {
        file.name for file in folder.iterdir()
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verdict"] in done.stdout
    assert sum(map(sum, summary["test"]["confusion"])) == summary["dataset"]["rows"]["test"]
    assert sum(summary["test"]["confusion"][place][place] for place in (0, 1)) == pytest.approx(
        metrics["test_accuracy"] * summary["dataset"]["rows"]["test"]
    )
    found = run.inputs.dataset_inputs[0]
    assert (found.dataset.digest, {tag.key: tag.value for tag in found.tags}["version"]) == (easy.digest, "0")
    told = json.loads(progress.read_text())
    assert (told["done"], told["unit"]) == (told["total"], "batches")
    assert told["text"].startswith("epoch 3/3, loss")
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    model = mlflow.pyfunc.load_model(run.data.tags["dlops.output.model"])
    test = datasets.open(easy.reference).test
    answers = model.predict(pd.DataFrame({"text": test.texts}))
    right = sum(answer == label for answer, label in zip(answers["label"], test.labels, strict=True))
    assert right / len(test) == pytest.approx(metrics["test_accuracy"]), "the model that is logged is the one tested"
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert "\r" not in done.stdout + done.stderr, "no moving bar"


def labelled(kind, pairs):
    """Rows of one kind of label, each told by one word of the text, or of the second text."""
    texts, labels = simple_rows(120)
    kept = dict(zip(texts, labels, strict=True))
    texts = [f"{text} {number}" for number, text in enumerate(kept)]
    rows = {"id": [splits.identity(text) for text in texts], "text": texts}
    if pairs:
        rows |= {"text": [f"film {number}" for number in range(len(texts))], "text_pair": texts}
    good = [label == "positive" for label in kept.values()]
    rows["split"] = [("train", "train", "train", "val", "test")[place % 5] for place in range(len(texts))]
    if kind == "multilabel":
        rows["label"] = pa.array([["good"] if right else ["bad", "dull"] for right in good], pa.list_(pa.string()))
    else:
        rows["label"] = [40.0 if right else 20.0 for right in good] if kind == "number" else list(kept.values())
    return rows


@pytest.mark.parametrize(
    ("kind", "strategy", "head", "pairs"),
    [
        ("classes", "lora", "mean", True),
        ("multilabel", "no_freeze", "standard", False),
        ("number", "freeze", "all_layers", True),
    ],
)
def test_every_kind_of_target_is_trained_and_answers_as_it_was_tested(steps, tiny_model, kind, strategy, head, pairs):
    """`test_round_trips.py` has every strategy, kind and head."""
    table = tables.write(str(steps.folder / "table"), labelled(kind, pairs), {}, digest="d")
    chosen = [f"dataset={table.reference}", f"strategy={strategy}", f"head={head}", "epochs=2", f"model={tiny_model}"]
    run, done = steps.run("finetune", *chosen, "learning_rate=3e-3", "head_learning_rate=1e-2")
    headline = {"classes": "accuracy", "multilabel": "micro_f1", "number": "r2"}[kind]
    metrics = run.data.metrics
    assert metrics[f"test_{headline}_low"] <= metrics[f"test_{headline}"] <= metrics[f"test_{headline}_high"]
    assert f"baseline_bag_of_words_test_{headline}" in metrics
    assert "beats" in done.stdout or "told apart" in done.stdout or "falls behind" in done.stdout
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    test = datasets.open(table.reference).test
    frame = pd.DataFrame({"text": test.texts} | ({"text_pair": test.pairs} if pairs else {}))
    answers = mlflow.pyfunc.load_model(run.data.tags["dlops.output.model"]).predict(frame)
    match kind:
        case "classes":
            right = [answer == label for answer, label in zip(answers["label"], test.labels, strict=True)]
            assert sum(right) / len(right) == pytest.approx(metrics["test_accuracy"])
        case "multilabel":
            right = [
                sorted(answer) == sorted(label) for answer, label in zip(answers["label"], test.labels, strict=True)
            ]
            assert sum(right) / len(right) == pytest.approx(metrics["test_accuracy"])
        case _:
            errors = [abs(answer - label) for answer, label in zip(answers["label"], test.labels, strict=True)]
            assert sum(errors) / len(errors) == pytest.approx(metrics["test_mae"], rel=1e-4)


def test_a_second_freeze_reads_what_the_first_computed(steps, easy, tiny_model):
    chosen = settings(tiny_model, "strategy=freeze")
    first, _ = steps.run("finetune", *chosen)
    again, done = steps.run("finetune", *chosen, "head_learning_rate=1e-2", "epochs=3")
    assert first.data.metrics["feature_rows"] > 200
    assert again.data.metrics["feature_rows"] == 0
    assert "what they gave was kept" in done.stdout


def described(steps, run):
    """What is kept with the model that a run made."""
    model = steps.client.get_logged_model(run.data.tags["dlops.output.model"].removeprefix("models:/"))
    folder = Path(urllib.parse.urlsplit(model.artifact_location).path)
    return yaml.safe_load((folder / "MLmodel").read_text())["metadata"]


def test_a_model_of_the_hub_is_recorded_by_its_commit(steps, easy, tiny_model, tmp_path):
    with hub_server.running() as hub:
        hub.models["ann/tiny"] = hub_server.Repository()
        commit = hub.models["ann/tiny"].commit({file.name: file.read_bytes() for file in tiny_model.iterdir()})
        where = {"HF_ENDPOINT": hub.uri, "HF_HOME": str(tmp_path / "hf")}
        run, done = steps.run("finetune", *settings("ann/tiny", "epochs=1"), **where)
        _, failed = steps.run("finetune", *settings("ann/none", "epochs=1"), **where, exit_code=4)
    assert run.data.tags["dlops.resolved.model"].endswith(f"@{commit}")
    assert f"The model ann/tiny is ann/tiny@{commit}" in done.stdout
    assert json.loads((steps.artifacts(run) / "summary.json").read_text())["model_revision"] == commit
    about = described(steps, run)
    assert (about["backbone"], about["backbone_revision"]) == ("ann/tiny", commit)
    assert failed.stderr.splitlines()[-2].startswith("error: The model ann/none cannot be read from the hub: there is")
    assert "Traceback" not in failed.stderr
    again, kept = steps.run("finetune", *settings("ann/tiny", "epochs=1"), **where)
    assert again.data.tags["dlops.resolved.model"].endswith(f"@{commit}")
    assert "Could not reach the Hub" in kept.stderr, "what the hub said last time is taken, and said to be"


def test_what_was_trained_is_the_foundation_of_the_next(steps, easy, tiny_model):
    first, _ = steps.run("finetune", *settings(tiny_model, "strategy=freeze", "epochs=1"))
    uri = first.data.tags["dlops.output.model"]
    second, _ = steps.run("finetune", *settings(f"runs:/{first.info.run_id}/model", "epochs=1"))
    inputs = steps.client.get_run(second.info.run_id).inputs.model_inputs  # a search gives no models
    assert [found.model_id for found in inputs] == [uri.removeprefix("models:/")]
    assert second.data.tags["dlops.resolved.model"] == described(steps, second)["backbone_revision"] == uri
    _, done = steps.run("finetune", *settings(f"runs:/{'0' * 32}/model"), exit_code=4)
    assert f"error: There is no model runs:/{'0' * 32}/model" in done.stderr


def test_a_model_with_code_of_its_own(steps, easy, custom_model):
    _, refused = steps.run("finetune", *settings(custom_model, "epochs=1"), exit_code=4)
    assert "trust_remote_code=true" in refused.stderr.splitlines()[-1]
    run, _ = steps.run("finetune", *settings(custom_model, "epochs=1", "trust_remote_code=true"))
    assert run.data.metrics["test_accuracy"] > 0


def test_what_is_missing_is_told_with_what_to_do(steps):
    _, done = steps.run("finetune", "dataset=nothing", exit_code=4)
    assert "There is no dataset at" in done.stderr
    assert "dlops ingest" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_signal_in_the_middle_of_training_leaves_a_killed_run(steps, easy, tiny_model):
    command = [sys.executable, "-m", "pipelines.finetune", *settings(tiny_model, "epochs=1000")]
    process = subprocess.Popen(
        command, cwd=steps.folder, env=steps.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("Epoch 1/"):
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert [run.info.status for run in steps.runs()] == ["KILLED"]
    assert "Ended by SIGTERM" in err


def test_a_language_is_learned_without_labels_and_its_model_is_the_next_foundation(steps, tiny_model):
    texts, labels = simple_rows(160)
    kept = dict(zip([f"{text} {number}" for number, text in enumerate(texts)], labels, strict=True))
    rows = {
        "id": [splits.identity(text) for text in kept],
        "text": list(kept),
        "split": [("train", "train", "train", "val", "test")[place % 5] for place in range(len(kept))],
    }
    unlabelled = tables.write(str(steps.folder / "texts"), rows, {}, digest="t")
    chosen = [f"dataset={unlabelled.reference}", f"model={tiny_model}", "objective=mlm", "epochs=3"]
    run, done = steps.run("finetune", *chosen, "learning_rate=3e-3", "head_learning_rate=3e-3")
    assert run.data.metrics["test_perplexity"] < run.data.metrics["before_test_perplexity"]
    assert "Perplexity of hidden tokens on 32 test rows" in done.stdout
    foundation = run.data.tags["dlops.output.model"]
    labelled = tables.write(str(steps.folder / "labelled"), {**rows, "label": list(kept.values())}, {}, digest="l")
    chosen = [f"dataset={labelled.reference}", f"model=runs:/{run.info.run_id}/model", "strategy=freeze"]
    tuned, done = steps.run("finetune", *chosen)
    assert tuned.data.tags["dlops.resolved.model"] == foundation
    inputs = steps.client.get_run(tuned.info.run_id).inputs.model_inputs
    assert [found.model_id for found in inputs] == [foundation.removeprefix("models:/")]
    _, done = steps.run("finetune", f"dataset={unlabelled.reference}", f"model={tiny_model}", exit_code=4)
    assert "has no labels" in done.stderr
    _, done = steps.run("finetune", *chosen, "objective=mlm", "seeds=2", exit_code=2)
    assert "strategy=freeze means nothing with objective=mlm" in done.stderr
    assert "seeds=2 means nothing" in done.stderr


@pytest.mark.parametrize("strategy", [pytest.param("no_freeze", marks=pytest.mark.slow), "freeze_unfreeze"])
def test_two_processes_train_one_model(steps, easy, tiny_model, strategy):
    """Each has half of every batch: what comes of it is what one process gives, but for dropout and rounding."""
    still = tiny_model.parent / f"still-{strategy}"
    shutil.copytree(tiny_model, still)
    config = json.loads((still / "config.json").read_text())
    (still / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0}))
    chosen = settings(still, f"strategy={strategy}", "epochs=2", "accelerator=cpu")
    alone, _ = steps.run("finetune", *chosen)
    together, done = steps.run("finetune", *chosen, "devices=2")
    for name in ("train_loss", "val_loss", "test_loss", "test_accuracy"):
        assert together.data.metrics[name] == pytest.approx(alone.data.metrics[name], rel=1e-3), name
    assert len(steps.runs()) == 2, "the second process has no run of its own"
    assert done.stdout.count("Model ") == 2, "one process speaks"


def test_nodes_find_each_other(steps, easy, tiny_model):
    """Whoever starts the nodes says where the first one is; here both are processes of this machine."""
    port = servers.free_port()
    words = settings(tiny_model, "nodes=2", "devices=1", "accelerator=cpu", "epochs=1")
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "pipelines.finetune", *words],
            cwd=steps.folder,
            env={**steps.environ, "NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    told = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    (run,) = steps.runs()
    assert run.info.status == "FINISHED"
    assert "Epoch 1/1" in told[0]
    assert "Epoch" not in told[1]


FAILS_BESIDE = """
import os
import pytorch_lightning as pl

class Fails(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_rank == 1 and index == 2:
            raise ValueError("the second one fails")
"""


@pytest.mark.slow
def test_a_process_that_fails_ends_them_all(steps, easy, tiny_model):
    (steps.folder / "beside.py").write_text(FAILS_BESIDE)
    chosen = settings(tiny_model, "devices=2", "accelerator=cpu", "callbacks=beside:Fails")
    done = steps.process("finetune", *chosen)
    assert done.returncode not in (0, 2, 3, 130), done.stdout + done.stderr
    assert "ValueError: the second one fails" in done.stderr
    assert [run.info.status for run in steps.runs()] == ["FAILED"]


@pytest.mark.slow
def test_seeds_on_several_devices(steps, easy, tiny_model):
    _, done = steps.run("finetune", *settings(tiny_model, "devices=2", "accelerator=cpu", "seeds=2"))
    assert "of 2 seeds" in done.stdout
    assert len(steps.runs()) == 1
