"""`dlops lineage`: a tree on a terminal, a document, or a page."""

from __future__ import annotations

import json

import mlflow
import pytest


@pytest.fixture
def version(shell, films, monkeypatch):
    """A version whose run read data that another run made."""
    with_tags = {"dlops.step": "ingest", "dlops.output.dataset": "/tables/films@0"}
    made = films.create_run("0", tags=with_tags)
    films.log_param(made.info.run_id, "source", "films.csv")
    tags = {"dlops.step": "finetune", "dlops.commit": "c0ffee", "dlops.dirty": "true", "dlops.project": "films[bold]"}
    run = films.create_run("0", tags=tags)
    source = json.dumps({"path": "/tables/films", "delta_table_version": 0})
    dataset = mlflow.entities.Dataset("films", "d1gest", "delta_table", source)
    films.log_inputs(run.info.run_id, [mlflow.entities.DatasetInput(dataset)])
    films.create_model_version("films", source="s3://models/new", run_id=run.info.run_id)
    films.set_registered_model_alias("films", "champion", "4")
    for ended in (made, run):
        films.set_terminated(ended.info.run_id)
    return run.info.run_id


def test_a_model_is_followed_back_to_the_source_of_its_data(typed, version):
    shown = typed("lineage", "films")[0]
    lines = [line.strip("│├└─ ") for line in shown.splitlines()]
    assert lines[0].startswith("version models:/films/4  aliases champion")
    assert lines[1].startswith(f"run {version}  step finetune")
    assert lines[2] == "dataset /tables/films@0  digest d1gest"
    assert lines[3].startswith("run ")
    assert lines[4] == "source films.csv"
    assert lines[5] == f"code films[bold]  commit c0ffee, dirty true, diff runs:/{version}/source.diff"


def test_as_a_document_and_as_a_page(typed, shell, version):
    told = json.loads(typed("lineage", "models:/films@champion", "--json")[0])
    assert told["name"] == "models:/films/4"
    (run,) = told["from"]
    assert [node["kind"] for node in run["from"]] == ["dataset", "code"]
    assert "Written: films.html" in typed("lineage", version, "--html", "films.html")[1]
    page = (shell.folder / "films.html").read_text()
    assert "/tables/films@0" in page
    assert "<script" not in page


def test_what_is_not_there(typed, films):
    assert "names no model and no run" in typed("lineage", "s3://models/1", exit_code=2)[1]
    assert "has no version '9'" in typed("lineage", "models:/films/9", exit_code=2)[1]
    assert "dlops models" in typed("lineage", "none", exit_code=2)[1]
