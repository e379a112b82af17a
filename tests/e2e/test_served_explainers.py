"""Explainers that were registered, where stock MLflow and Spark take them up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.e2e.test_registered_models import asked, served
from tests.pipelines.conftest import preloaded, run, steps, tiny_model
from tests.pipelines.test_explain import SIGNAL, decided, films
from tests.servers import outside

__all__ = ["decided", "films", "preloaded", "run", "steps", "tiny_model"]
pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided", "ignore::DeprecationWarning")
TEXTS = ["the film was good", "the plot was awful"]


@pytest.fixture
def expected(steps, films):
    """Register an explainer of the model as `why`; give what the model itself answers."""
    steps.run("explain", f"model={films}", "dataset=films", "rows=8", "method=shap", "shown=0", "register_as=why")
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    yield mlflow.pyfunc.load_model(films).predict(pd.DataFrame({"text": TEXTS})).to_dict("records")
    mlflow.set_tracking_uri(None)


def hold(answers, expected):
    for answer, one, text in zip(answers, expected, TEXTS, strict=True):
        assert answer["label"] == one["label"]
        assert answer["score"] == pytest.approx(one["score"], abs=1e-5)
        assert "".join(answer["tokens"]) == text
        assert answer["base"] + sum(answer["values"]) == pytest.approx(answer["score"], abs=1e-5)
        assert answer["tokens"][int(np.argmax(answer["values"]))].strip() in SIGNAL


@pytest.mark.timeout(240)
def test_mlflows_own_server_explains(steps, expected):
    environ = outside() | {"MLFLOW_TRACKING_URI": steps.environ["MLFLOW_TRACKING_URI"]}
    environ.pop("PYTHONPATH", None)
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"  # where MLflow finds its server
    with served("models:/why/1", environ, steps.folder) as address:
        hold(asked(address, TEXTS), expected)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_spark_explains(expected):
    pyspark = pytest.importorskip("pyspark.sql", reason="pyspark is an extra: pip install 'dlops[spark]'")
    session = pyspark.SparkSession.builder.master("local[1]").config("spark.driver.host", "127.0.0.1").getOrCreate()
    try:
        rows = session.createDataFrame([(text,) for text in TEXTS], ["text"])
        answer = mlflow.pyfunc.spark_udf(session, "models:/why/1", env_manager="local")
        found = rows.select(answer("text").alias("answer")).collect()
        hold([row.answer.asDict(recursive=True) for row in found], expected)
    finally:
        session.stop()
