from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import mlflow
import pandas as pd
import pytest
import yaml

from dlops.config import locations
from dlops.data import splits, tables
from tests.ml.conftest import simple_rows
from tests.pipelines.conftest import EXACT
from tests.pipelines.test_finetune import labelled

FREEZE = ("strategy=freeze", "epochs=3", "scheduler=none")


@pytest.fixture
def easy(steps, monkeypatch):
    """A dataset called `easy`: one word tells the opinion, in most rows."""
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    texts, labels = simple_rows(300)
    kept = dict(zip(texts, labels, strict=True))
    turned = {"good": "bad", "bad": "good"}
    labels = [turned.get(label, label) if place % 9 == 0 else label for place, label in enumerate(kept.values())]
    rows = {
        "id": [splits.identity(text) for text in kept],
        "text": list(kept),
        "label": labels,
        "split": [splits.assign(text, (0.6, 0.2, 0.2), 0) for text in kept],
    }
    return tables.write(str(locations.table("easy")), rows, {"source": "easy.csv"})


def settings(tiny_model, *more):
    return ["dataset=easy", f"model={tiny_model}", *more]


def trials(steps, run):
    """Give the runs of a search's trials, in order."""
    found = [child for child in steps.runs() if child.data.tags.get("dlops.search") == run.info.run_id]
    return sorted((child for child in found if "dlops.trial" in child.data.tags), key=number)


def number(child):
    return int(child.data.tags["dlops.trial"])


def test_a_search_hands_back_what_finetune_takes(steps, easy, tiny_model, tmp_path):
    progress = tmp_path / "progress.json"
    words = settings(tiny_model, *FREEZE, "trials=5")
    run, done = steps.run("tune", *words, DLOPS_PROGRESS=str(progress))
    found = trials(steps, run)
    assert len(found) == 5
    scores = [child.data.metrics["score"] for child in found]
    for child in found:
        history = steps.client.get_metric_history(child.info.run_id, "val_macro_f1")
        assert [metric.step for metric in history] == [1, 2, 3]
        assert max(metric.value for metric in history) == pytest.approx(child.data.metrics["score"], abs=1e-6)
        assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert "val_macro_f1" not in run.data.metrics, "what is a trial's is in its run alone"
    tags = run.data.tags
    winner = found[scores.index(max(scores))]
    assert tags["dlops.output.best_run"] == winner.info.run_id
    assert tags["dlops.output.best_config"] == f"runs:/{run.info.run_id}/best.yaml"
    artifacts = steps.artifacts(run)
    there = {path.name for path in artifacts.iterdir()}
    assert there >= {"best.yaml", "trials.json", "history.png", "parallel.png", "importance.png", "model_card.md"}
    told = json.loads((artifacts / "trials.json").read_text())
    assert [trial["run_id"] for trial in told["trials"]] == [child.info.run_id for child in found]
    assert told["ended"] == "5 trials have begun"
    shown = json.loads(progress.read_text())
    assert (shown["done"], shown["total"], shown["unit"]) == (5, 5, "trials")
    assert shown["table"][0] == ["trial", "status", "epoch", "score", "parameters"]
    assert re.search(r"^Trial 4 finished, 0\.\d+ after 3 epochs", done.stdout, re.MULTILINE)
    assert "Epoch 1/3" not in done.stdout, "the search tells of its trials"

    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    model = mlflow.pyfunc.load_model(tags["dlops.output.model"])
    answers = model.predict(pd.DataFrame({"text": ["a good film", "a bad film"]}))
    assert set(answers["label"]) <= {"good", "bad", "negative", "positive"}

    config = yaml.load((artifacts / "best.yaml").read_text(), Loader=yaml.BaseLoader)
    assert config["dataset"] == f"{locations.table('easy')}@0"
    again, _ = steps.run("finetune", *(f"{name}={value}" for name, value in config.items()))
    history = steps.client.get_metric_history(again.info.run_id, "val_macro_f1")
    assert max(metric.value for metric in history) == pytest.approx(max(scores), abs=1e-6)
    for name in ("test_accuracy", "test_loss", "best_val_macro_f1"):
        assert again.data.metrics[name] == pytest.approx(run.data.metrics[name], abs=1e-5), name


@pytest.mark.slow
def test_a_stretch_of_a_population_can_be_done_again_from_what_it_began_with(steps, easy, tiny_model):
    words = ("strategy=no_freeze", "engine=process", "scheduler=pbt", "epochs=2", "trials=8", EXACT)
    run, _ = steps.run("tune", *settings(tiny_model, *words))
    found = trials(steps, run)
    assert [child.data.params["epochs"] for child in found] == ["1"] * 8
    config = yaml.load((steps.artifacts(run) / "best.yaml").read_text(), Loader=yaml.BaseLoader)
    best = steps.client.get_run(run.data.tags["dlops.output.best_run"])
    assert config.get("weights_from", "") == best.data.params.get("weights_from", "")
    last = found[-1]
    assert last.data.params["weights_from"] in {child.info.run_id for child in found[:4]}
    alone = {name: value for name, value in last.data.params.items() if name not in ("devices", "nodes")}
    again, _ = steps.run("finetune", *(f"{name}={value}" for name, value in alone.items()))
    (metric,) = steps.client.get_metric_history(again.info.run_id, "val_macro_f1")
    assert metric.value == pytest.approx(last.data.metrics["score"], abs=1e-6)
    del alone["weights_from"]
    other, _ = steps.run("finetune", *(f"{name}={value}" for name, value in alone.items()))
    assert other.data.metrics["val_loss"] != pytest.approx(again.data.metrics["val_loss"], abs=1e-6)
    wrong = settings(tiny_model, f"weights_from={run.info.run_id}", EXACT)
    _, done = steps.run("finetune", *wrong, exit_code=4)
    assert f"The weights that run {run.info.run_id} has kept cannot be read" in done.stderr


def test_a_search_may_choose_between_strategies(steps, easy, tiny_model):
    space = {
        "strategy": {"grid": ["freeze", "no_freeze", "lora"]},
        "lora_rank": {"grid": [2, 4], "when": {"strategy": "lora"}},
    }
    words = settings(tiny_model, "search=grid", "engine=process", "epochs=1", f"space={json.dumps(space)}")
    run, _ = steps.run("tune", *words)
    tried = [json.loads(child.data.tags["dlops.trial.values"]) for child in trials(steps, run)]
    assert tried == [
        {"strategy": "no_freeze"},
        {"strategy": "freeze"},
        {"strategy": "lora", "lora_rank": "2"},
        {"strategy": "lora", "lora_rank": "4"},
    ]
    assert {child.data.params["head"] for child in trials(steps, run)} == {"auto"}


@pytest.mark.slow
def test_trials_beside_each_other_are_trained_as_one_after_the_other(steps, easy, tiny_model, tmp_path):
    words = settings(tiny_model, "strategy=lora", "epochs=2", "scheduler=none", "search=random", "trials=4")
    alone, _ = steps.run("tune", *words, "engine=process")
    beside, done = steps.run("tune", *words, "trial_cpus=1", HOME=str(tmp_path))
    assert "On Ray: 2 side by side, 1 processors each" in done.stdout or "On Ray: 1 side by side" in done.stdout
    one, other = (
        [(child.data.tags["dlops.trial.values"], child.data.metrics["score"]) for child in trials(steps, run)]
        for run in (alone, beside)
    )
    assert [values for values, _ in one] == [values for values, _ in other]
    assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-6)
    assert beside.data.metrics["test_loss"] == pytest.approx(alone.data.metrics["test_loss"], abs=1e-5)
    assert not (tmp_path / ".ray").exists(), "Ray leaves no token in the user's home"


def test_the_winner_is_confirmed_by_other_seeds_and_trained_on_all_rows(steps, easy, tiny_model):
    words = settings(tiny_model, *FREEZE, "trials=4", "confirm_seeds=3", "refit=true", "intended_use=Reviews: any.")
    run, done = steps.run("tune", *words)
    found = [child for child in steps.runs() if "dlops.confirmation" in child.data.tags]
    assert len(found) == 6, "three trials, two more seeds each"
    assert {child.data.params["seed"] for child in found} == {"1", "2"}
    means = {}
    for child in trials(steps, run):
        values = json.loads(child.data.tags["dlops.trial.values"])
        scores = [
            other.data.metrics["score"]
            for other in found
            if {**json.loads(other.data.tags["dlops.trial.values"]), "seed": ""} == {**values, "seed": ""}
        ]
        if scores:
            means[child.info.run_id] = sum([child.data.metrics["score"], *scores]) / 3
    assert len(means) == 3
    assert run.data.tags["dlops.output.best_run"] == max(means, key=means.get)
    assert "trained once more, on train and val rows" in done.stdout
    assert "best_val_loss" not in run.data.metrics, "no val rows were left"
    assert "dlops.output.model" in run.data.tags
    config = yaml.safe_load((steps.artifacts(run) / "best.yaml").read_text())
    assert config["intended_use"] == "Reviews: any."


@pytest.mark.slow
def test_numbers_are_tested_as_finetune_tests_them(steps, tiny_model, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    tables.write(str(locations.table("numbers")), labelled("number", pairs=False), {}, digest="d")
    chosen = ("dataset=numbers", f"model={tiny_model}", "strategy=freeze", "epochs=3")
    run, _ = steps.run("tune", *chosen, "scheduler=none", "trials=2", "search=random")
    first = trials(steps, run)[0]
    best = run.data.tags["dlops.output.best_run"]
    values = json.loads(steps.client.get_run(best).data.tags["dlops.trial.values"])
    alone, _ = steps.run("finetune", *chosen, *(f"{name}={text}" for name, text in values.items()))
    for name in ("test_r2", "test_rmse", "best_val_rmse"):
        assert run.data.metrics[name] == pytest.approx(alone.data.metrics[name], rel=1e-4), name
    assert first.data.metrics["score"] < 0, "the root mean square error, turned round"
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    frame = pd.DataFrame({"text": ["a good film", "a bad film"]})
    answers = [
        mlflow.pyfunc.load_model(one.data.tags["dlops.output.model"]).predict(frame)["label"] for one in (run, alone)
    ]
    assert list(answers[0]) == pytest.approx(list(answers[1]), rel=1e-4)


@pytest.mark.slow
def test_a_search_on_other_data_does_not_go_on(steps, easy, tiny_model):
    first, _ = steps.run("tune", *settings(tiny_model, *FREEZE, "trials=2"))
    words = settings(tiny_model, *FREEZE, "trials=3", "weight_decay=0.2", f"resume_from={first.info.run_id}")
    _, done = steps.run("tune", *words, exit_code=4)
    assert "The search that is to go on was another: weight_decay was 0.01, is 0.2" in done.stderr


def test_what_cannot_be_searched_is_refused_before_anything_is_read(steps, easy, tiny_model):
    space = '{"learning_rat": {"uniform": [0, 1]}, "trials": {"randint": [1, 2]}}'
    _, done = steps.run("tune", *settings(tiny_model, f"space={space}", "seeds=2"), exit_code=2)
    assert "'learning_rat' is no parameter; did you mean 'learning_rate'?" in done.stderr
    assert "trials is no parameter of finetune" in done.stderr
    assert "seeds means nothing to a search" in done.stderr
    assert "Dataset" not in done.stdout


def test_a_dataset_without_val_rows_cannot_be_searched_on(steps, easy, tiny_model, monkeypatch):
    table = {"text": ["a", "b"] * 4, "label": ["x", "y"] * 4, "split": ["train"] * 6 + ["test"] * 2}
    table["id"] = [f"{place}" for place in range(8)]
    tables.write(str(locations.table("no_val")), table, {})
    _, done = steps.run("tune", "dataset=no_val", f"model={tiny_model}", exit_code=4)
    assert "has no val rows, by which trials are compared" in done.stderr


def started(steps, *words):
    """Start a search as a process of its own, and wait until it has a trial or two."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.tune", *words, EXACT],
        cwd=steps.folder,
        env=steps.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Trial 1 "):
            return process
    raise AssertionError("".join(lines))


def test_a_search_that_is_ended_has_its_best_so_far(steps, easy, tiny_model):
    process = started(steps, *settings(tiny_model, *FREEZE, "trials=5000"))
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 30
    (run,) = [run for run in steps.runs() if run.data.tags.get("dlops.step") == "tune"]
    assert run.info.status == "KILLED"
    assert {f"dlops.output.{name}" for name in ("best_config", "best_run", "model")} <= set(run.data.tags)
    statuses = [child.data.tags["dlops.trial.status"] for child in trials(steps, run)]
    assert set(statuses[:-1]) == {"finished"}
    assert not [child for child in trials(steps, run) if child.info.status == "RUNNING"]


@pytest.mark.slow
def test_a_killed_search_goes_on_and_loses_no_finished_trial(steps, easy, tiny_model):
    words = settings(tiny_model, *FREEZE, "trials=12")
    whole, _ = steps.run("tune", *words)
    process = started(steps, *words)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (cut,) = [run for run in steps.runs() if run.data.tags.get("dlops.step") == "tune" and run.info.status == "RUNNING"]
    done = [child.info.run_id for child in trials(steps, cut) if "dlops.trial.status" in child.data.tags]
    assert len(done) >= 2
    for child in [cut, *trials(steps, cut)]:
        if child.info.status == "RUNNING":  # what the launcher's reaper would do
            steps.client.set_terminated(child.info.run_id, "KILLED")
    resumed, said = steps.run("tune", *words, f"resume_from={cut.info.run_id}")
    assert f"{len(done)} of them done before" in said.stdout
    told = json.loads((steps.artifacts(resumed) / "trials.json").read_text())["trials"]
    assert [trial["run_id"] for trial in told][: len(done)] == done
    uninterrupted = json.loads((steps.artifacts(whole) / "trials.json").read_text())["trials"]
    for one, other in zip(told, uninterrupted, strict=True):
        assert {key: one[key] for key in ("number", "values", "scores", "status")} == {
            key: other[key] for key in ("number", "values", "scores", "status")
        }
    assert resumed.data.metrics["test_loss"] == pytest.approx(whole.data.metrics["test_loss"], abs=1e-6)
