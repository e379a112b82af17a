"""What an inference pipeline does around a classifier, which is a small one here that counts what it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
import yaml

from dlops.data import languages, text_cleaning
from dlops.ml.inference_pipeline import META, InferencePipeline

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided", "ignore:.*Add type hints")
CODE = """
import mlflow
import pandas as pd

class Counting(mlflow.pyfunc.PythonModel):
    asked = []

    def predict(self, context, model_input, params=None):
        self.asked.append(model_input.to_dict("records"))
        label = ["positive" if "good" in text else "negative" for text in model_input["text"]]
        return pd.DataFrame({"label": label, "score": 0.75, "scores": [{one: 0.75} for one in label]})

mlflow.models.set_model(Counting())
"""
CLEAN = {"html": True, "unicode": "NFC", "whitespace": True}
ENGLISH = "This is a good film, and the acting in it was better than I thought"
GERMAN = "Dieser Film ist leider nicht gut gewesen, ich habe mich sehr gelangweilt dabei"
PLAIN = {"cleaning": CLEAN, "languages": [], "others": "none", "cache": 10}


@pytest.fixture
def opened(tmp_path):
    """Open a pipeline that was told something, as MLflow does; give it, and what its classifier was asked."""

    def open_(place="package", **told):
        folder = tmp_path / place
        (folder / "artifacts").mkdir(parents=True)
        (folder / "counting.py").write_text(CODE)
        signature = mlflow.models.infer_signature(pd.DataFrame({"text": ["a"]}))
        mlflow.pyfunc.save_model(
            folder / "artifacts/classifier",
            python_model=str(folder / "counting.py"),
            signature=signature,
            pip_requirements=[],
        )
        settings = folder / "artifacts/settings.json"
        settings.write_text(json.dumps({**PLAIN, "model": {"name": "films", "version": None, "run_id": "r"}, **told}))
        artifacts = {
            "classifier": str(folder / "artifacts/classifier"),
            "settings": str(settings),
            "cleaning": text_cleaning.__file__,
            "language": languages.__file__,
        }
        pipeline = InferencePipeline()
        pipeline.load_context(SimpleNamespace(artifacts=artifacts))
        return pipeline, pipeline.classifier.unwrap_python_model().asked

    return open_


def answers(pipeline, *texts):
    return pipeline.predict(None, pd.DataFrame({"text": texts})).to_dict("records")


def test_texts_are_cleaned_and_told_their_language(opened):
    pipeline, asked = opened()
    (answer,) = answers(pipeline, f"<b>{ENGLISH}</b>  &amp; more")
    assert answer == {
        "label": "positive",
        "score": 0.75,
        "scores": {"positive": 0.75},
        "language": "en",
        "model": {"name": "films", "version": None, "run_id": "r"},
    }
    assert asked == [[{"text": f"{ENGLISH} & more"}]]


def test_without_cleaning_texts_stay(opened):
    pipeline, asked = opened(cleaning=None)
    answers(pipeline, "<b>good</b>")
    assert asked == [[{"text": "<b>good</b>"}]]


@pytest.mark.parametrize(
    ("others", "label", "calls"),
    [("none", None, 1), ({"label": "other"}, "other", 1), ("answer", "negative", 1)],
)
def test_other_languages(opened, others, label, calls):
    pipeline, asked = opened(languages=["en"], others=others)
    first, second, short = answers(pipeline, ENGLISH, GERMAN, "gut")
    assert (first["label"], first["language"]) == ("positive", "en")
    assert (second["label"], second["language"]) == (label, "de")
    assert (short["label"], short["language"]) == ("negative", "und"), "too short to tell: it is answered"
    if others != "answer":
        assert second["score"] is None or pd.isna(second["score"])
        assert second["scores"] == {}
    assert len(asked) == calls
    assert (GERMAN in str(asked)) == (others == "answer")


def test_an_answer_is_remembered_and_the_oldest_forgotten(opened):
    pipeline, asked = opened(cache=2)
    answers(pipeline, "good", "good", "bad")
    assert asked == [[{"text": "good"}, {"text": "bad"}]]
    assert [one["label"] for one in answers(pipeline, "bad", "good")] == ["negative", "positive"]
    assert len(asked) == 1
    answers(pipeline, "dull")  # `bad` was asked for before `good`
    answers(pipeline, "good")
    assert len(asked) == 2
    answers(pipeline, "bad")
    assert asked[2:] == [[{"text": "bad"}]]


def test_nothing_is_remembered_where_nothing_shall_be(opened):
    pipeline, asked = opened(cache=0)
    answers(pipeline, "good", "good")
    answers(pipeline, "good")
    assert asked == [[{"text": "good"}], [{"text": "good"}]]


def test_a_row_without_a_text_is_named(opened):
    pipeline, _ = opened()
    for nothing in (None, float("nan"), pd.NA):
        with pytest.raises(ValueError, match="Row 1 has no text"):
            pipeline.predict(None, pd.DataFrame({"text": ["good", nothing]}))


def test_no_rows_no_answers(opened):
    pipeline, asked = opened()
    assert answers(pipeline) == []
    assert not asked


def test_who_answered_is_the_version_that_was_fetched(opened, tmp_path):
    Path(tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / META).write_text(yaml.safe_dump({"model_name": "others", "model_version": 7}))
    pipeline, _ = opened("fetched")
    assert answers(pipeline, "good")[0]["model"] == {"name": "others", "version": "7", "run_id": "r"}


def test_two_packages_in_a_process_have_each_their_own_code(opened):
    first, _ = opened("first")
    second, _ = opened("second", cleaning=None)
    assert [answers(one, "<i>good</i>")[0]["label"] for one in (first, second)] == ["positive", "positive"]
    assert first.switches
    assert second.switches is None


def test_what_an_answer_holds_is_the_callers_own(opened):
    pipeline, _ = opened()
    first = answers(pipeline, "good")[0]
    first["scores"].clear()
    first["model"].clear()
    assert answers(pipeline, "good")[0]["scores"] == {"positive": 0.75}
    assert answers(pipeline, "good")[0]["model"]["name"] == "films"


def test_half_a_file_of_which_version_it_is_is_none(opened, tmp_path):
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / META).write_text("")
    pipeline, _ = opened("fetched")
    assert answers(pipeline, "good")[0]["model"]["version"] is None


@pytest.mark.parametrize("given", [["positive"], pd.Series(["positive"]), pd.DataFrame({"answer": ["positive"]})])
def test_a_classifier_may_give_labels_alone(opened, monkeypatch, given):
    pipeline, _ = opened()
    monkeypatch.setattr(pipeline.classifier, "predict", lambda frame: given)
    (answer,) = answers(pipeline, "good")
    assert (answer["label"], answer["score"], answer["scores"]) == ("positive", None, {})
