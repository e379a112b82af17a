"""Registered versions where others take them up: a server on PostgreSQL, MLflow's own serving, Spark, transformers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from dlops.errors import DlopsError
from dlops.registry import aliases, versions
from tests.conftest import REVIEWS, needs_reviews
from tests.pipelines.conftest import EXACT, preloaded, run, steps, tiny_model
from tests.pipelines.test_register import films, trained, words
from tests.servers import TrackingServer, free_port, outside

__all__ = ["films", "preloaded", "run", "steps", "tiny_model", "words"]

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided", "ignore::DeprecationWarning")
TEXTS = ["a good film", "the plot was dull", "awful acting"]
QUICK = ("strategy=freeze", "epochs=2", "head_learning_rate=0.05", EXACT)


@pytest.fixture
def postgres(tmp_path, initialised_store):
    """A tracking server on a PostgreSQL of its own."""
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL is packaged for this Python")
    with pgserver.get_server(tmp_path / "postgres", cleanup_mode="stop") as database:
        server = TrackingServer(tmp_path / "server", initialised_store, store=database.get_uri())
        server.start()
        yield server.uri
        server.stop()


@pytest.mark.timeout(280)
def test_a_server_on_postgresql_is_a_registry(postgres, steps, films, words):
    steps.environ["MLFLOW_TRACKING_URI"] = postgres
    mlflow.set_tracking_uri(postgres)
    uri = words()
    steps.run("register", f"model={uri}", "name=films", "dataset=films", "promote=true")
    client = steps.client
    assert aliases.holder(client, "films") == "1"
    others = [mlflow.register_model(uri, "films").version for _ in range(8)]

    def promote(version):
        try:
            found = aliases.promote(
                versions.connect(postgres), "films", str(version), instead_of="1", by=aliases.person()
            )
            return found.version
        except DlopsError:
            return None

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(promote, others))
    (winner,) = [version for version in told if version]
    assert aliases.holder(client, "films") == winner
    assert aliases.rollback(client, "films", by=aliases.person()).version == "1"
    assert not [tag for tag in client.get_registered_model("films").tags if "lock" in tag]


@contextmanager
def served(model, environ, folder):
    """Let stock MLflow serve a model on loopback; give its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--env-manager", "local"]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "serve.log").read_text()
                assert time.monotonic() < deadline, (folder / "serve.log").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def asked(address, texts):
    body = json.dumps({"dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.timeout(280)
def test_stock_mlflow_and_transformers_take_registered_versions(steps, films, tiny_model):
    uri = trained(steps, tiny_model, (*QUICK, "head=standard"))
    asks = ("name=films", "dataset=films", "beat=any", "export=onnx")
    steps.run("register", f"model={uri}", *asks)
    steps.run("register", f"model={uri}", *asks, "inference_pipeline={cleaning: none, languages: [en]}")
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    frame = pd.DataFrame({"text": TEXTS})
    expected = mlflow.pyfunc.load_model("models:/films/1").predict(frame).to_dict("records")
    environ = outside() | {"MLFLOW_TRACKING_URI": steps.environ["MLFLOW_TRACKING_URI"]}
    environ.pop("PYTHONPATH", None)
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"  # where MLflow finds its server
    export = versions.one(steps.client, "films", "2").tags["dlops_export_onnx"]
    for model in ("models:/films/1", "models:/films/2", export):
        with served(model, environ, steps.folder) as address:
            answers = asked(address, TEXTS)
        assert [one["label"] for one in answers] == [one["label"] for one in expected]
        for one, other in zip(answers, expected, strict=True):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
    assert answers[0].get("language", "und") == "und"
    pipeline = mlflow.transformers.load_model("models:/films/1")
    for answer, one in zip(pipeline(TEXTS), expected, strict=True):
        assert answer["label"] == one["label"]
        assert answer["score"] == pytest.approx(one["score"], abs=1e-5)
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_spark_takes_registered_versions(steps, films, tiny_model):
    pyspark = pytest.importorskip("pyspark.sql", reason="pyspark is an extra: pip install 'dlops[spark]'")
    uri = trained(steps, tiny_model, (*QUICK, "head=standard"))
    steps.run("register", f"model={uri}", "name=films", "dataset=films")
    steps.run(
        "register",
        f"model={uri}",
        "name=films",
        "dataset=films",
        "beat=any",
        "inference_pipeline={cleaning: none, languages: [en]}",
    )
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    expected = mlflow.pyfunc.load_model("models:/films/1").predict(pd.DataFrame({"text": TEXTS}))
    session = pyspark.SparkSession.builder.master("local[1]").config("spark.driver.host", "127.0.0.1").getOrCreate()
    try:
        rows = session.createDataFrame([(text,) for text in TEXTS], ["text"])
        for version in ("1", "2"):
            answer = mlflow.pyfunc.spark_udf(session, f"models:/films/{version}", env_manager="local")
            found = [row.answer.asDict(recursive=True) for row in rows.select(answer("text").alias("answer")).collect()]
            assert [one["label"] for one in found] == list(expected["label"])
            assert [one["score"] for one in found] == pytest.approx(list(expected["score"]), abs=1e-5)
    finally:
        session.stop()
        mlflow.set_tracking_uri(None)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@needs_reviews
def test_a_package_answers_a_thousand_reviews_in_an_environment_of_its_own(steps, tmp_path):
    steps.run("ingest", f"source={REVIEWS}", f"table={steps.folder}/reviews")
    data = f"dataset={steps.folder}/reviews"
    finetuned, _ = steps.run("finetune", data, "strategy=freeze", "epochs=2", "max_length=64")
    uri = f"runs:/{finetuned.info.run_id}/model"
    steps.run("register", f"model={uri}", "name=reviews", data, "inference_pipeline={cleaning: ingest}", "export=onnx")
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    raw = pd.read_csv(REVIEWS)["review"].head(1000)
    (tmp_path / "texts.json").write_text(json.dumps(list(raw)))
    from dlops.data.cleaning import Cleaning

    cleaned = pd.DataFrame({"text": Cleaning().texts(list(raw))})
    expected = mlflow.pyfunc.load_model(mlflow.models.get_model_info(f"{uri}").model_uri).predict(cleaned)
    exported = versions.one(steps.client, "reviews", "1").tags["dlops_export_onnx"]
    for name, model, least in (("package", "models:/reviews/1", 1.0), ("onnx", exported, 0.999)):
        folder = mlflow.artifacts.download_artifacts(model, dst_path=str(tmp_path / name))
        environ = {**outside(), "UV_PYTHON_DOWNLOADS": "never"}
        environ.pop("PYTHONPATH", None)
        python = tmp_path / f"{name}-venv/bin/python"
        subprocess.run(
            ["uv", "venv", "-q", "--python", sys.executable, str(python.parents[1])], check=True, env=environ
        )
        needs = f"{folder}/requirements.txt"
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), "-r", needs], check=True, env=environ)
        code = (
            "import json, sys, mlflow, pandas\n"
            "texts = json.load(open(sys.argv[2]))\n"
            "answers = mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({'text': texts}))\n"
            "assert 'dlops' not in sys.modules\n"
            "print(json.dumps(answers.to_dict('records')))\n"
        )
        away = {**environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
        command = [str(python), "-c", code, folder, str(tmp_path / "texts.json")]
        done = subprocess.run(command, cwd=tmp_path, env=away, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)
        assert len(answers) == 1000
        same = sum(one["label"] == other for one, other in zip(answers, expected["label"], strict=True))
        assert same >= 1000 * least
        if least == 1.0:
            for one, other in zip(answers, expected["score"], strict=True):
                assert one["score"] == pytest.approx(other, abs=1e-4)
    mlflow.set_tracking_uri(None)
