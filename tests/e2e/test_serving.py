"""A server that was launched: found by its URL, looked after as any run; and the same answers from all that answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import deltalake
import mlflow
import pandas as pd
import pytest
import requests

from dlops.ml import datasets
from tests.ml.conftest import simple_rows
from tests.pipelines.conftest import ROOT, preloaded, run, steps, tiny_model
from tests.pipelines.serving import serving
from tests.pipelines.test_explain import decided, films
from tests.pipelines.test_predict import log_words, words

__all__ = ["decided", "films", "log_words", "preloaded", "run", "steps", "tiny_model", "words"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*input example was not provided", "ignore::DeprecationWarning"),
    pytest.mark.timeout(240),
]


def typed(steps, *words, exit_code=0):
    """Run `dlops` as a user does."""
    command = [Path(sys.executable).with_name("dlops"), *map(str, words)]
    done = subprocess.run(command, cwd=steps.folder, env=steps.environ, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_launched_server_is_found_followed_and_cancelled(steps, words):
    asked = ("serve", f"model={words}", "port=0", "--uri", ROOT, "--env", "local", "--detach", "--json")
    run_id = json.loads(typed(steps, *asked).partition("\n\n")[0])["run_id"]
    end = time.monotonic() + 60
    while not (url := steps.client.get_run(run_id).data.tags.get("dlops.output.url")):
        assert time.monotonic() < end, typed(steps, "logs", run_id)
        time.sleep(0.2)
    assert (
        requests.post(f"{url}/predict", json={"text": "good"}, timeout=30).json()["predictions"][0]["label"]
        == "positive"
    )
    assert "RUNNING" in typed(steps, "status", run_id)
    assert url in typed(steps, "status", run_id)
    typed(steps, "cancel", run_id)
    assert steps.client.get_run(run_id).info.status == "KILLED"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/ping", timeout=5)


@pytest.mark.slow
def test_the_same_text_has_the_same_answer_everywhere(steps, films):
    """Evaluation, predict, /invocations, /predict, the inference pipeline and stock MLflow: 1e-5 in float32.

    What is raw is cleaned by all that clean as `ingest` did: the others are given it clean.
    """
    clean = simple_rows(12, seed=5)[0]
    raw = [f"<p>{text}</p>" if place % 3 == 0 else text for place, text in enumerate(clean)]
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    stock = mlflow.pyfunc.load_model(films).predict(pd.DataFrame({"text": clean}))["scores"].tolist()
    asked = ("name=films", "dataset=films", "beat=any", "parity_rows=0", "latency_rows=0", "baselines=false")
    steps.run("register", f"model={films}", *asked, "inference_pipeline={cleaning: ingest}")
    pipeline = mlflow.pyfunc.load_model("models:/films/1").predict(pd.DataFrame({"text": raw}))["scores"].tolist()
    mlflow.set_tracking_uri(None)
    evaluated, _ = steps.run("evaluate", f"model={films}", "dataset=films", "baselines=false", "latency_rows=0")
    judged = pd.read_parquet(steps.artifacts(evaluated) / "predictions.parquet")

    pd.DataFrame({"text": raw}).to_csv(steps.folder / "raw.csv", index=False)
    told = {"stock": stock, "inference pipeline": pipeline}
    for name, model in (("predict", films), ("predict of the package", "models:/films/1")):
        output = steps.folder / name.replace(" ", "-")
        engine = "torch" if name == "predict" else "auto"
        steps.run("predict", f"model={model}", "source=./raw.csv", f"output={output}", f"engine={engine}")
        rows = deltalake.DeltaTable(str(output)).to_pyarrow_table().sort_by("row").to_pylist()
        told[name] = [dict(row["scores"]) for row in rows]
    with serving(steps, films, "engine=torch") as server:
        found = server.post("/predict", {"texts": raw}).json()["predictions"]
        told["/predict"] = [one["scores"] for one in found]
        frame = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in raw]}}
        told["/invocations"] = [one["scores"] for one in server.post("/invocations", frame).json()["predictions"]]
        split = datasets.open("films").test
        again = server.post("/predict", {"texts": split.texts[:20]}).json()["predictions"]
    for name, scores in told.items():
        for one, other in zip(scores, stock, strict=True):
            assert one == pytest.approx(other, abs=1e-5), name
    answered = dict(zip(judged["id"], map(json.loads, judged["answer"]), strict=True))
    for one, identity in zip(again, split.ids()[:20], strict=True):
        assert one["scores"] == pytest.approx(answered[identity], abs=1e-5)
