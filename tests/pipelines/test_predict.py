"""`python -m pipelines.predict`: each row of a source is answered as the model answers it, and written once."""

from __future__ import annotations

import json
import random
from collections import Counter

import deltalake
import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature

from dlops.data.cleaning import Cleaning
from tests.data.test_cluster import LOOPBACK, nodes
from tests.ml.conftest import simple_rows
from tests.pipelines.conftest import ROOT, killed
from tests.pipelines.test_explain import decided, films

__all__ = ["decided", "films", "nodes"]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*input example was not provided")]

CODE = """
import os
import time
import mlflow
import pandas as pd

class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if model_input["text"].str.contains("deadly").any():
            os._exit(9)
        if model_input["text"].str.contains("awkward").any():
            raise ValueError("too awkward")
        if model_input["text"].str.contains("slow").any():
            time.sleep(1.5)
        good = model_input["text"].str.contains("good|great|lovely")
        if {wrong}:
            raise ValueError("it always fails")
        return pd.DataFrame({
            "label": ["positive" if one else "negative" for one in good],
            "score": [0.75] * len(good),
            "scores": [{"positive": 0.75 if one else 0.25, "negative": 0.25 if one else 0.75} for one in good],
        })

mlflow.models.set_model(Words())
"""


@pytest.fixture
def log_words(steps, tmp_path):
    """Log models that look for words, and end over one; give the URI of each."""
    told = pd.DataFrame({"label": ["positive"], "score": [0.5], "scores": [{"positive": 0.5, "negative": 0.5}]})
    taken = infer_signature(pd.DataFrame({"text": ["a text"]}), told)

    def log(wrong="False", experiment="0"):
        """Log one that raises where `wrong` (of `model_input`) holds."""
        file = tmp_path / "words.py"
        file.write_text(CODE.replace("{wrong}", wrong))
        mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
        with mlflow.start_run(experiment_id=experiment):
            info = mlflow.pyfunc.log_model(name="words", python_model=str(file), signature=taken, pip_requirements=[])
        mlflow.set_tracking_uri(None)
        return info.model_uri

    return log


@pytest.fixture
def words(log_words):
    return log_words()


def table(place):
    """Read a table, in the order of its rows."""
    rows = deltalake.DeltaTable(str(place)).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["row"] is None, row["row"]))


def answers(steps, uri, texts):
    """Give what the model itself makes of texts, loaded by stock MLflow."""
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    found = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"text": texts})).to_dict("records")
    mlflow.set_tracking_uri(None)
    return found


def test_each_row_is_answered_as_the_model_does_and_written_once(steps, films):
    texts, _ = simple_rows(150, seed=7)
    texts[3], texts[40], texts[41], texts[90] = f"{texts[3]}<br />", "", "  ", f"<b>{texts[90]}</b>"
    source = steps.folder / "new.csv"
    pd.DataFrame({"number": range(150), "review": texts}).to_csv(source, index=False)
    asked = ("predict", f"model={films}", f"source={source}", f"output={steps.folder}/out", "engine=torch")
    run, done = steps.run(*asked, "keep=number", "shard_rows=64", "texts=true")
    assert run.data.tags["dlops.output.predictions"] == f"{steps.folder}/out"
    assert run.data.metrics["rows"] == 150
    assert run.data.metrics["rejected"] == 2
    assert "150 rows" in done.stdout
    rows = table(steps.folder / "out")
    assert [row["row"] for row in rows] == [row for row in range(150) if row not in (40, 41)]
    assert [row["number"] for row in rows] == [str(row["row"]) for row in rows]
    assert [row["line"] for row in rows] == [row["row"] + 2 for row in rows]
    assert [row["text"] for row in rows] == [texts[row["row"]] for row in rows]
    expected = answers(steps, films, Cleaning().texts([row["text"] for row in rows]))
    for row, one in zip(rows, expected, strict=True):
        assert row["label"] == one["label"]
        assert row["score"] == pytest.approx(one["score"], abs=1e-5)
        assert dict(row["scores"]) == pytest.approx(one["scores"], abs=1e-5)
        assert row["model"] == films
    rejects = table(steps.folder / "out_rejects")
    assert [(row["row"], row["line"], row["reason"]) for row in rejects] == [
        (40, 42, "the text is empty"),
        (41, 43, "the text is empty"),
    ]
    again, done = steps.run(*asked, "keep=number", "shard_rows=64", "texts=true")
    assert again.data.metrics["rows_before"] == 150
    assert table(steps.folder / "out") == rows
    steps.run(*asked, "keep=number", "shard_rows=64", "texts=true", "mode=overwrite")
    assert table(steps.folder / "out") == rows
    assert table(steps.folder / "out_rejects") == rejects
    told = steps.run(*asked, exit_code=4)[1].stderr
    assert "has other columns than these predictions: number, text" in told


def test_rows_that_the_model_cannot_answer_are_rejected_and_the_rest_answered(steps, words):
    source = steps.folder / "new.jsonl"
    texts = [f"a {'good' if number % 2 else 'bad'} film {number}" for number in range(120)]
    texts[17], texts[60], texts[61] = "a deadly film", "an awkward film", "a good film 1"
    lines = [json.dumps({"text": text}) for text in texts]
    lines[99] = '{"text": "half'
    source.write_text("\n".join(lines))
    asked = (f"model={words}", f"source={source}", "format=parquet", f"output={steps.folder}/out", "shard_rows=50")
    run, _ = steps.run("predict", *asked)
    assert run.data.tags["dlops.engine"] == "pyfunc"
    files = sorted((steps.folder / "out").iterdir())
    assert len(files) == 3
    rows = pd.concat([pd.read_parquet(file) for file in files]).to_dict("records")
    assert [row["line"] for row in rows] == [line for line in range(1, 121) if line not in (18, 61, 100)]
    for row in rows:
        assert row["label"] == ("positive" if "good" in texts[row["line"] - 1] else "negative")
    rejects = pd.concat([pd.read_parquet(file) for file in sorted((steps.folder / "out_rejects").iterdir())])
    reasons = dict(zip(rejects["line"], rejects["reason"], strict=True))
    assert reasons.keys() == {18, 61, 100}
    assert "ended" in reasons[18]
    assert reasons[61] == "ValueError: too awkward"


def rows_of(count):
    return pd.DataFrame({"text": [f"a {'good' if number % 3 else 'bad'} film {number}" for number in range(count)]})


def hold_to_kills(steps, words, moments):
    source = steps.folder / "new.csv"
    rows_of(20_000).to_csv(source, index=False)
    asked = [f"model={words}", f"source={source}", f"output={steps.folder}/out", "shard_rows=250"]
    steps.run("predict", *asked[:2], f"output={steps.folder}/whole", "shard_rows=250")
    last = ""
    for moment in moments:
        last = killed(
            steps, "predict", [*asked, *([f"resume_from={last}"] if last else [])], after="Predicting", seconds=moment
        )
    steps.run("predict", *asked, f"resume_from={last}")
    rows = table(steps.folder / "out")
    assert Counter(row["row"] for row in rows) == Counter(range(20_000))
    assert rows == table(steps.folder / "whole")
    return source, asked, last


def test_what_was_overwritten_meanwhile_is_written_again(steps, words, log_words):
    source = steps.folder / "new.csv"
    rows_of(40).to_csv(source, index=False)
    asked = (f"source={source}", f"output={steps.folder}/out", "shard_rows=25", "mode=overwrite", "texts=true")
    other = log_words()
    for model in (words, other, words):
        steps.run("predict", f"model={model}", *asked)
        rows = table(steps.folder / "out")
        assert [row["row"] for row in rows] == list(range(40))
        assert {row["model"] for row in rows} == {model}
    (steps.folder / "empty.csv").write_text("text,number\n,1\n,2\n")
    told = steps.run("predict", f"model={words}", "source=./empty.csv", "output=./empty", "texts=true", exit_code=4)[1]
    assert "No row could be predicted: 2 were rejected" in told.stderr
    told = steps.run("predict", f"model={words}", *asked, "text_pair=text", exit_code=2)[1].stderr
    assert "single texts" in told


def test_killed_it_goes_on_and_each_row_is_there_once(steps, words):
    source, asked, last = hold_to_kills(steps, words, [0.4, 1.5])
    with source.open("a") as file:
        file.write("one more\n")
    told = steps.run("predict", *asked, f"resume_from={last}", exit_code=4)[1].stderr
    assert "predicted another source, or otherwise" in told


@pytest.mark.timeout(900)
def test_killed_twenty_times_it_goes_on_and_each_row_is_there_once(steps, words):
    chance = random.Random(0)
    hold_to_kills(steps, words, [chance.uniform(0.0, 1.5) for _ in range(20)])


def test_what_is_wrong_is_told_before_anything_is_answered(steps, words):
    source = steps.folder / "new.csv"
    rows_of(5).to_csv(source, index=False)
    (steps.folder / "taken").write_text("mine")

    def told(*more, exit_code=4):
        return steps.run("predict", f"source={source}", *more, exit_code=exit_code)[1].stderr

    assert "There is no model models:/nowhere@champion" in told("model=models:/nowhere@champion", "output=./out")
    assert "models:/" in told(f"model={words}", "output=./out", "engine=onnx")
    assert "no Delta table" in told(f"model={words}", "output=./taken")
    assert "no column 'body'" in told(f"model={words}", "output=./out", "text=body")
    assert "none is removed" in told(f"model={words}", "output=./out", "format=parquet", "mode=overwrite", exit_code=2)
    assert (steps.folder / "taken").read_text() == "mine"


@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(290)
def test_nodes_of_a_cluster_share_the_rows(steps, words, nodes):
    source = steps.folder / "new.csv"
    rows_of(3_000).to_csv(source, index=False)
    asked = (f"model={words}", f"source={source}", "shard_rows=500")
    steps.run("predict", *asked, f"output={steps.folder}/here")
    elsewhere = {"RAY_ADDRESS": nodes.address, "PYTHONPATH": str(ROOT), **LOOPBACK}
    steps.run("predict", *asked, f"output={steps.folder}/there", **elsewhere)
    assert table(steps.folder / "there") == table(steps.folder / "here")
