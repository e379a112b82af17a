"""What logged models answer, whoever logged them: pipelines, pyfuncs of several kinds, pickles when allowed."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from dlops.errors import StepFailed
from dlops.ml import answers
from dlops.ml.datasets import Split

TEXTS = ["a good film", "a bad film that was long and dull", "good", "bad acting"]
SPLIT = Split(TEXTS, ["positive", "negative", "positive", "negative"])
CODE = """
import mlflow
import numpy as np
import pandas as pd

class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        good = model_input[{column!r}].str.contains("good")
        return {answer}

mlflow.models.set_model(Words())
"""


@pytest.fixture(autouse=True)
def pickles(monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")  # restored whatever a test does


def logged(tmp_path, answer, column="text", **more):
    file = tmp_path / "words.py"
    file.write_text(CODE.format(answer=answer, column=column))
    return mlflow.pyfunc.log_model(name="words", python_model=str(file), pip_requirements=[], **more).model_uri


FORMS = {
    "labels in a list": 'list(np.where(good, "positive", "negative"))',
    "labels in an array": 'np.where(good, "positive", "negative")',
    "labels in a series": 'pd.Series(np.where(good, "positive", "negative"))',
    "a column of another name": 'pd.DataFrame({"answer": np.where(good, "positive", "negative")})',
    "label and score": 'pd.DataFrame({"label": np.where(good, "positive", "negative"), "score": 0.75})',
    "scores": 'pd.DataFrame({"scores": [{"positive": 0.75 if one else 0.25, "negative": 0.25 if one else 0.75}'
    " for one in good]})",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_answers_of_every_form_are_judged(run, tmp_path, form):
    model = answers.load(logged(tmp_path, FORMS[form]))
    found = model.answers(SPLIT)
    assert found.scored is ("score" in form)
    judged = found.judged("classes", ("negative", "positive"), SPLIT, 1.0)
    assert judged.labels == ("negative", "positive")
    assert judged.value == 1.0
    if form == "scores":
        assert judged.probabilities == pytest.approx(np.array([[0.25, 0.75], [0.75, 0.25]] * 2))


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_takes_another_column_is_given_it(run, tmp_path):
    from mlflow.types.schema import ColSpec, Schema

    signature = mlflow.models.ModelSignature(inputs=Schema([ColSpec("string", "review")]))
    uri = logged(tmp_path, FORMS["labels in a list"], column="review", signature=signature)
    assert answers.load(uri).answers(SPLIT).judged("classes", ("negative", "positive"), SPLIT, 1.0).value == 1.0


@pytest.mark.filterwarnings("ignore")
def test_numbers_and_several_labels(run, tmp_path):
    numbers = Split(TEXTS, [5.0, 1.0, 5.0, 2.0])
    found = answers.load(logged(tmp_path, "np.where(good, 5.0, 1.0)")).answers(numbers)
    judged = found.judged("number", (), numbers, 4.0)
    assert judged.predicted.tolist() == [5.0, 1.0, 5.0, 1.0]
    assert judged.loss == pytest.approx(0.25 / 4)
    several = Split(TEXTS, [["good"], ["bad", "dull"], ["good"], ["bad"]])
    uri = logged(tmp_path, 'pd.DataFrame({"label": [["good"] if one else ["bad"] for one in good]})')
    judged = answers.load(uri).answers(several).judged("multilabel", ("bad", "dull", "good"), several, 1.0)
    assert judged.figures["accuracy"] == 0.75
    with pytest.raises(StepFailed, match="answers with classes, and the labels of the data are numbers"):
        answers.load(logged(tmp_path, FORMS["scores"])).answers(numbers).judged("number", (), numbers, 1.0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('["up"] * len(good)', "no label is the same"),
        ('pd.DataFrame({"x": [1] * len(good), "y": [2] * len(good)})', "none is a label"),
        ("np.ones((len(good), 2))", r"an array of shape \(4, 2\)"),
        ('["positive"]', "gave 1 answers to 4 texts"),
        (
            'pd.DataFrame({"scores": [{"positive": float("nan"), "negative": 0.5}] * len(good)})',
            "4 of 4 rows with what is no",
        ),
        ("1 / 0", "cannot answer: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_judged_is_told(run, tmp_path, answer, told):
    model = answers.load(logged(tmp_path, answer))
    with pytest.raises(StepFailed, match=told):
        model.answers(SPLIT).judged("classes", ("negative", "positive"), SPLIT, 1.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"label": "neg", "score": 0.4, "scores": {"pos": 0.6, "neg": 0.4}}, {"neg": 1.0}),
        ({"label": "pos", "score": 0.6, "scores": {"pos": 0.6, "neg": 0.4}}, {"pos": 0.6, "neg": 0.4}),
        ({"label": "pos", "score": -3.5}, {"pos": 1.0}),
        ({"label": ["a"], "scores": {"a": 0.9, "b": 0.2}}, {"a": 0.9, "b": 0.2}),
        ({"label": ["a", "b"], "scores": {"a": 0.9, "b": 0.2}}, {"a": 1.0, "b": 1.0}),
        ({"label": 3.5, "score": 3.5, "scores": {"value": 3.5}}, 3.5),
        (np.int64(7), 7.0),
        (["a", "b"], {"a": 1.0, "b": 1.0}),
    ],
)
def test_the_label_that_a_model_tells_is_its_answer(given, expected):
    assert answers._answer(given) == expected


@pytest.mark.filterwarnings("ignore")
def test_a_pickle_is_read_only_when_that_is_allowed(run):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    fitted = make_pipeline(CountVectorizer(), MultinomialNB()).fit(TEXTS, SPLIT.labels)
    uri = mlflow.sklearn.log_model(
        fitted, name="bayes", pip_requirements=[], serialization_format="cloudpickle"
    ).model_uri
    with pytest.raises(StepFailed, match="cannot be loaded") as caught:
        answers.load(uri)
    assert "allow_pickle=true" in caught.value.hint


@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_of_transformers_gives_all_its_scores(run, loaded):
    from transformers import pipeline

    network, tokenizer = loaded
    network.inner.config.id2label = {0: "negative", 1: "positive"}
    made = pipeline("text-classification", model=network.inner, tokenizer=tokenizer)
    uri = mlflow.transformers.log_model(made, name="pipeline", pip_requirements=[]).model_uri
    found = answers.load(uri).answers(SPLIT)
    assert found.scored
    for text, answer in zip(TEXTS, found.rows, strict=True):
        (expected,) = made([text], top_k=None)
        assert answer == pytest.approx({one["label"]: one["score"] for one in expected}, abs=1e-6)


@pytest.mark.parametrize("reference", ["models:/none/1", "models:/m-0", "runs:/0/model", "reviews"])
def test_no_such_model(run, reference):
    with pytest.raises(StepFailed, match=reference):
        answers.load(reference)


@pytest.mark.filterwarnings("ignore")
def test_single_texts_are_timed(run, tmp_path):
    taken = answers.load(logged(tmp_path, FORMS["labels in a list"])).seconds(SPLIT, 3)
    assert len(taken) == 3
    assert all(0 < seconds < 5 for seconds in taken)
    assert pd.Series(taken).max() < 5
