"""`python -m pipelines.explain`: what answers rest on, on a model whose every answer rests on one known word."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from dlops.config import locations
from dlops.data import splits, tables
from dlops.data.cleaning import Cleaning
from dlops.ml import backbones, datasets, explanations, packaging, targets, training
from tests.data.browser import Browser, needs_chromium
from tests.data.test_cluster import LOOPBACK, nodes
from tests.ml.conftest import WORDS, answered_elsewhere, dataset_rows, simple_rows
from tests.pipelines.conftest import EXACT, ROOT

__all__ = ["nodes"]

SIGNAL = set(WORDS[:6])


@pytest.fixture(scope="module")
def decided(tiny_model):
    """The tiny model, trained on texts of which one word tells the label; and its tokenizer."""
    training.seed(0)
    target = targets.of("classes", ("negative", "positive"), [])
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), target)
    texts, labels = simple_rows(800, seed=1)
    truth = torch.tensor([label == "positive" for label in labels]).long()
    optimizer = torch.optim.Adam(network.inner.parameters(), lr=2e-3)
    network.inner.train()
    for start in [*range(0, 800, 40)] * 15:
        inputs = tokenizer(texts[start : start + 40], padding=True, return_tensors="pt")
        ids = inputs["input_ids"]
        unseen = (torch.rand(ids.shape) < 0.3) & (ids > tokenizer.mask_token_id)
        ids[unseen] = tokenizer.mask_token_id  # so that a hidden word says nothing
        loss = torch.nn.functional.cross_entropy(network.inner(**inputs).logits, truth[start : start + 40])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.inner.eval()
    answers = network.inner(**tokenizer(texts, padding=True, return_tensors="pt")).logits.argmax(dim=1)
    assert (answers == truth).float().mean() > 0.99
    return network, tokenizer


@pytest.fixture
def films(steps, decided, monkeypatch):
    """A dataset called `films`, and a model of it: the only word of a text that matters is its last one."""
    monkeypatch.setenv("DLOPS_HOME", steps.environ["DLOPS_HOME"])
    rows = dataset_rows(*simple_rows(500), (0.6, 0.1, 0.3))
    tables.write(str(locations.table("films")), rows, {"source": "films.csv", "cleaning": Cleaning().as_dict()})
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    with mlflow.start_run(experiment_id="0"):
        uri = packaging.log(*decided, datasets.open("films"), max_length=32, backbone="tiny")
    mlflow.set_tracking_uri(None)
    return uri


def found(steps, run):
    """Give a run's explanations, and its document."""
    folder = steps.artifacts(run)
    parts = sorted((folder / "explanations").glob("*.parquet"))
    rows = [one for part in parts for one in explanations.read(part)[0]]
    return rows, json.loads((folder / "explanations.json").read_text()), folder


def test_each_method_finds_the_words_that_decide(steps, films):
    for method, error in (("shap", 1e-6), ("integrated_gradients", 0.1)):  # of a model that jumps from 0 to 1
        asked = (f"method={method}", "steps=64", "shown=3", "top=2")
        run, done = steps.run("explain", f"model={films}", "dataset=films", *asked)
        rows, document, folder = found(steps, run)
        assert len(rows) == 100 == document["rows"]
        tops = [max(one.words(), key=lambda entry: entry[1])[0] for one in rows]
        assert sum(word in SIGNAL for word in tops) >= 95, tops
        assert document["additivity_error"]["mean"] < error
        assert document["trust"]["comprehensiveness"] > document["trust"]["by_chance"]["comprehensiveness"] + 0.2
        assert document["trust"]["deletion"] < document["trust"]["by_chance"]["deletion"]
        assert {one["word"] for one in document["words"]["positive"][:3]} == set(WORDS[:3])
        assert {one["word"] for one in document["words"]["negative"][:3]} == set(WORDS[3:6])
        assert run.data.tags["dlops.output.report"] == f"runs:/{run.info.run_id}/explanations.html"
        assert len(list((folder / "plots").glob("*.html"))) == len(list((folder / "plots").glob("*.png"))) == 3
        assert (folder / "words.png").is_file()
        assert re.search(r"(good|great|lovely|bad|awful|dull)\(\+\d\.\d+\)", done.stdout), "words are printed"
        arrays = np.load(folder / "explanations/part-00000.npz")
        begin, end = arrays["offsets"][:2]
        letters, ends = arrays["data"].tobytes(), arrays["token_offsets"]
        assert [letters[ends[t] : ends[t + 1]].decode() for t in range(begin, end)] == rows[0].tokens
        assert arrays["values"][begin:end] == pytest.approx(rows[0].values)


def test_auto_says_which_method_and_why(steps, films):
    run, done = steps.run("explain", f"model={films}", "dataset=films", "rows=20", "shown=0", "margin=1")
    _, document, _ = found(steps, run)
    assert document["method"] == "integrated_gradients" == run.data.tags["dlops.method"]
    assert set(document["drops"]) == {"shap", "integrated_gradients"}
    assert "by SHAP's" in document["why"] or "without SHAP's" in document["why"]
    assert document["why"] in done.stdout
    again, _ = steps.run("explain", f"model={films}", "dataset=films", "rows=20", "shown=0", "margin=1")
    first, second = found(steps, run)[0], found(steps, again)[0]
    assert [one.id for one in first] == [one.id for one in second]
    for one, other in zip(first, second, strict=True):
        assert one.values.tolist() == pytest.approx(other.values.tolist(), abs=1e-6)


@needs_chromium
def test_a_browser_opens_report_and_plots_and_asks_nobody(steps, films, tmp_path):
    run, _ = steps.run("explain", f"model={films}", "dataset=films", "rows=6", "method=shap", "shown=2")
    folder = steps.artifacts(run)
    pages = [folder / "explanations.html", *sorted((folder / "plots").glob("*.html"))]
    assert len(pages) == 3
    with Browser(tmp_path / "browser") as browser:
        for page in pages:
            content = browser.content(page)
            assert any(word in content for word in SIGNAL)
        assert "Explanations of" in browser.content(pages[0])
        assert browser.asked == set()


def test_one_text_of_an_attacker(steps, films):
    hostile = "good <script>document.title='x'</script><img src=http://elsewhere.example/x> film & plot"
    run, _ = steps.run("explain", f"model={films}", f"text={hostile}", "method=shap")
    _, document, folder = found(steps, run)
    assert document["rows"] == 1
    assert document["dataset"] is None
    for page in (folder / "explanations.html", *(folder / "plots").glob("*.html")):
        assert "<img src=http" not in page.read_text()
        assert "<script>document" not in page.read_text()


def test_what_cannot_be_explained_is_listed_and_the_rest_explained(steps, films):
    texts = ["", " \t ", "\N{GRINNING FACE}" * 5, "good " * 20_000, "a good film", "the plot was dull"]
    rows = {
        "id": [splits.identity(text) for text in texts],
        "text": texts,
        "label": ["positive", "negative"] * 3,
        "split": ["test"] * 6,
    }
    more, labels = simple_rows(20)
    kept = dict(zip(more, labels, strict=True))
    for name, values in {
        "id": [splits.identity(text) for text in kept],
        "text": list(kept),
        "label": list(kept.values()),
        "split": ["train"] * len(kept),
    }.items():
        rows[name] = [*rows[name], *values]
    tables.write(str(locations.table("odd")), rows, {"source": "odd.csv"})
    run, done = steps.run("explain", f"model={films}", "dataset=odd", "rows=0", "method=integrated_gradients")
    explained, document, folder = found(steps, run)
    rejects = json.loads((folder / "rejects.json").read_text())
    assert document["rejected"] == 2 == len(rejects["data"])
    assert "the text is empty" in str(rejects)
    assert document["rows"] == len(explained) == 4
    assert "2 rows could not be explained" in done.stdout
    assert max(len(one.tokens) for one in explained) <= 32, "as much of a text as the model reads"
    _, done = steps.run("explain", f"model={films}", "text=   ", exit_code=4)
    assert "the text is empty" in done.stderr


def test_requirements_and_another_model(steps, films, tiny_model):
    untrained, _ = steps.run(
        "finetune", "dataset=films", f"model={tiny_model}", "strategy=freeze", "epochs=1", "max_length=32", EXACT
    )
    asked = (f"model={films}", "dataset=films", "rows=30", "method=integrated_gradients", "shown=0")
    against = f"against=runs:/{untrained.info.run_id}/model"
    wanted = "require=gain>=0.05,rank_correlation<=0.9,rows>=31"
    run, done = steps.run("explain", *asked, against, wanted, exit_code=3)
    assert "rows>=31: does not hold, it is 30" in done.stderr
    assert "gain" not in done.stderr
    _, document, folder = found(steps, run)
    assert -1 <= document["against"]["correlation"] < 0.9
    assert document["against"]["gained"]
    assert (folder / "contrast.png").is_file()
    _, done = steps.run("explain", *asked, "require=goodness>=1", exit_code=2)
    assert "names nothing that is measured here" in done.stderr
    _, done = steps.run("explain", *asked, "label=neutral", exit_code=2)
    assert "the model knows negative, positive" in done.stderr
    _, done = steps.run("explain", *asked, "register_as=a/b", exit_code=2)
    assert "register_as='a/b' is no name of a registered model" in done.stderr
    run, _ = steps.run("explain", *asked, "label=negative")
    rows, _, _ = found(steps, run)
    assert {one.target for one in rows} == {"negative"}
    assert {one.output > 0.5 for one in rows} == {True, False}


@pytest.mark.slow
def test_a_killed_explanation_goes_on_at_its_last_shard(steps, films):
    asked = (f"model={films}", "dataset=films", "split=all", "rows=0", "method=shap", "shown=0", "trust_rows=4")
    whole, _ = steps.run("explain", *asked)
    before = {run.info.run_id for run in steps.runs()}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.explain", *asked],
        cwd=steps.folder,
        env=steps.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    names: list[str] = []
    while not any(name.endswith(".parquet") for name in names):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
        new = [run.info.run_id for run in steps.runs() if run.info.run_id not in before]
        names = [file.path for run_id in new for file in steps.client.list_artifacts(run_id, "explanations")]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (killed,) = [run for run in steps.runs() if run.info.run_id not in before]
    steps.client.set_terminated(killed.info.run_id, "FAILED")
    kept = {file.path for file in steps.client.list_artifacts(killed.info.run_id, "explanations")}
    resumed, done = steps.run("explain", *asked, f"resume_from={killed.info.run_id}")
    taken = int(re.search(r"(\d+) of \d+ shards are taken over", done.stdout)[1])
    assert 1 <= taken <= len(kept)
    first, second = found(steps, whole)[0], found(steps, resumed)[0]
    assert [one.id for one in first] == [one.id for one in second]
    for one, other in zip(first, second, strict=True):
        assert one.values.tolist() == pytest.approx(other.values.tolist(), abs=1e-6)


def test_an_explainer_is_a_model_of_its_own(steps, films, tmp_path):
    run, _ = steps.run(
        "explain", f"model={films}", "dataset=films", "rows=10", "method=shap", "shown=0", "register_as=why"
    )
    assert run.data.tags["dlops.output.explainer"] == "models:/why/1"
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    texts = {"text": ["the film was good", "the plot was awful"]}
    answers = answered_elsewhere("models:/why/1", texts, tmp_path)
    model = mlflow.pyfunc.load_model(films).predict(pd.DataFrame(texts))
    for answer, text, label, score in zip(answers, texts["text"], model["label"], model["score"], strict=True):
        assert answer["label"] == label
        assert answer["score"] == pytest.approx(score, abs=1e-5)
        assert "".join(answer["tokens"]) == text
        assert answer["base"] + sum(answer["values"]) == pytest.approx(answer["score"], abs=1e-5)
        top = answer["tokens"][int(np.argmax(answer["values"]))]
        assert top.strip() in SIGNAL
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(290)
def test_nodes_of_a_cluster_share_the_rows(steps, films, nodes):
    asked = (f"model={films}", "dataset=films", "split=all", "rows=0", "method=shap", "shown=0", "trust_rows=4")
    here, _ = steps.run("explain", *asked)
    elsewhere = {"RAY_ADDRESS": nodes.address, "PYTHONPATH": str(ROOT), **LOOPBACK}
    there, _ = steps.run("explain", *asked, **elsewhere)
    first, second = found(steps, here)[0], found(steps, there)[0]
    assert [one.id for one in first] == [one.id for one in second]
    for one, other in zip(first, second, strict=True):
        assert one.values.tolist() == pytest.approx(other.values.tolist(), abs=1e-5)


def test_what_has_no_head_is_refused(steps, films, tiny_model):
    run, _ = steps.run("finetune", "dataset=films", f"model={tiny_model}", "objective=mlm", "epochs=1", EXACT)
    asked = (f"model=runs:/{run.info.run_id}/model", "dataset=films")
    _, done = steps.run("explain", *asked, exit_code=4)
    assert "The model gives no labels" in done.stderr


@pytest.mark.slow
def test_a_package_is_explained_as_it_answers(steps, films, tmp_path):
    pipeline = "inference_pipeline={cleaning: {html: true}}"
    steps.run("register", f"model={films}", "name=films", "dataset=films", pipeline)
    text = "<b>the film</b> was good"
    asked = ("model=models:/films/1", f"text={text}", "method=shap", "register_as=why")
    run, _ = steps.run("explain", *asked)
    (row,), _, _ = found(steps, run)
    assert row.text == "the film was good"
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    (answer,) = mlflow.pyfunc.load_model("models:/films/1").predict(pd.DataFrame({"text": [text]})).to_dict("records")
    (why,) = answered_elsewhere("models:/why/1", {"text": [text]}, tmp_path)
    assert row.output == pytest.approx(answer["score"], abs=1e-5) == pytest.approx(why["score"], abs=1e-5)
    assert "".join(why["tokens"]) == "the film was good"
    mlflow.set_tracking_uri(None)
