"""A hub on the loopback; where only what is in a dataset matters, a folder is one to the same library."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from dlops.data import hub, tables
from dlops.data.hub import Dataset, parse
from dlops.errors import DataError, UsageError
from tests.data import hub_server, ugly

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("location", "dataset"),
    [
        ("hub:imdb", Dataset("imdb")),
        ("hub:stanfordnlp/imdb", Dataset("stanfordnlp/imdb")),
        ("hub:a/b@refs/pr/1", Dataset("a/b", "refs/pr/1")),
        ("hub:a/b@v1#plain_text", Dataset("a/b", "v1", "plain_text")),
        ("hub:glue#sst2/train", Dataset("glue", "", "sst2", "train")),
        ("hub:glue#/train", Dataset("glue", "", "", "train")),
    ],
)
def test_one_spelling(location, dataset):
    assert parse(location) == dataset


@pytest.mark.parametrize("location", ["hub:", "hub:a/b/c", "hub:../x", "hub:a b", "hub:a#b/c/d"])
def test_other_spellings_are_refused(location):
    with pytest.raises(UsageError) as caught:
        parse(location)
    assert "hub:NAME" in caught.value.hint


@pytest.fixture
def local(monkeypatch):
    """Take the names of datasets for folders of this machine."""
    monkeypatch.setattr(hub, "_ADDRESS", "")
    return pytest.importorskip("datasets")


@pytest.fixture
def folder(tmp_path, local):
    ugly.written(tmp_path, "d/train.csv", b"text,label\na,x\nb,y\n")
    ugly.written(tmp_path, "d/test.csv", b"text,label\nc,x\n")
    return tmp_path / "d"


def test_all_splits_are_read_and_named(folder):
    first, second = hub.chunks(Dataset(str(folder)))
    assert first.columns == {"text": ["a", "b"], "label": ["x", "y"], "split": ["train", "train"]}
    assert (second.columns["split"], second.lines) == (["test"], [1])
    assert first.file == f"hub:{folder}#/train"


def test_one_split_is_read_alone(folder):
    (only,) = hub.chunks(Dataset(str(folder), split="test"))
    assert only.columns == {"text": ["c"], "label": ["x"]}


def test_classes_are_given_by_name(tmp_path, local):
    rows = local.Dataset.from_dict(
        {"text": ["a", "b", "c"], "label": [1, 0, -1]},
        features=local.Features({"text": local.Value("string"), "label": local.ClassLabel(names=["neg", "pos"])}),
    )
    (tmp_path / "d").mkdir()
    rows.to_parquet(str(tmp_path / "d" / "train.parquet"))
    (chunk,) = hub.chunks(Dataset(str(tmp_path / "d"), split="train"))
    assert chunk.columns["label"] == ["pos", "neg", None]


@pytest.mark.parametrize("dataset", [{"split": "none"}, {"config": "none"}])
def test_what_is_not_there_is_told(folder, dataset):
    with pytest.raises(DataError, match="cannot be read from the hub"):
        list(hub.chunks(Dataset(str(folder), **dataset)))


def test_code_of_a_dataset_is_not_run(tmp_path, local):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "d.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError):
        list(hub.chunks(Dataset(str(tmp_path / "d"))))
    assert not (tmp_path / "ran").exists()


def test_a_hub_that_does_not_answer(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    api = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api(endpoint="http://127.0.0.1:9"))
    with pytest.raises(DataError, match="cannot be read from the hub"):
        hub.revision(Dataset("a/b"))


def test_pictures_stay_undecoded(tmp_path, local):
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        pa.table({"text": ["a"], "label": ["x"], "picture": [{"bytes": b"no picture", "path": None}]}), file
    )
    ugly.written(tmp_path, "d/train.parquet", file.getvalue())
    (chunk,) = hub.chunks(Dataset(str(tmp_path / "d"), split="train"))
    assert chunk.columns["picture"][0]["bytes"] == b"no picture"


README = """---
configs:
- config_name: plain
  default: true
  data_files:
  - {split: train, path: plain/train-*.parquet}
  - {split: test, path: plain/test-*.parquet}
- config_name: other
  data_files: other/*.parquet
dataset_info:
- config_name: plain
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': neg, '1': pos}}}
---
"""


def parquet(begin, end):
    file = io.BytesIO()
    numbers = range(begin, end)
    table = pa.table({"text": [f"number {number}" for number in numbers], "label": [n % 2 for n in numbers]})
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


@pytest.fixture
def served():
    """A hub with a dataset of two commits: 80 rows, tagged v1, and then 110."""
    files = {
        "README.md": README.encode(),
        "plain/train-0.parquet": parquet(0, 60),
        "plain/test-0.parquet": parquet(60, 80),
        "other/all.parquet": parquet(0, 2),
    }
    with hub_server.running() as server:
        server.repositories["ann/reviews"] = hub_server.Repository()
        server.repositories["ann/reviews"].commit(files, "v1")
        server.repositories["ann/reviews"].commit(files | {"plain/train-1.parquet": parquet(80, 110)})
        yield server


HEARD = """
import os, sys
def heard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = arguments[1][0] if event == "socket.connect" and isinstance(arguments[1], tuple) else arguments[0]
        with open(os.environ["HEARD"], "a") as file:
            print(host if isinstance(host, str) else "unix", file=file)
sys.addaudithook(heard)
"""
"""What notes every host that is asked for, or asked, in whatever program begins with it."""


@pytest.fixture
def beside(served, tmp_path):
    """Run a program beside the hub; give it ended, with all hosts that it asked for in `hosts`."""
    (tmp_path / "heard").mkdir()
    (tmp_path / "heard" / "sitecustomize.py").write_text(HEARD)
    environ = {
        **os.environ,
        "HF_ENDPOINT": served.uri,
        "HF_HOME": str(tmp_path / "hf"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "heard"), str(ROOT)]),
        "HEARD": str(tmp_path / "hosts.txt"),
    }

    def run(*words, **more):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environ | more, capture_output=True, text=True, check=False
        )
        done.hosts = set((tmp_path / "hosts.txt").read_text().split())
        return done

    return run


READS = """
import json, sys
from dlops.data import sources
from dlops.errors import DataError
for location in sys.argv[1:]:
    try:
        source = sources.open(location, seed=0)
        found = [[chunk.file, chunk.columns] for chunk in source.chunks(print)]
        print(json.dumps([source.name, source.origin["revision"], found]))
    except DataError as error:
        print(json.dumps(str(error)))
"""


def test_an_ingest_records_the_commit_it_read_and_asks_nobody_else(served, beside, tmp_path, initialised_store):
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    environ = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    done = beside("-m", "pipelines.ingest", "source=hub:ann/reviews@v1", "table=./table", "split=split", **environ)
    assert done.returncode == 0, done.stderr
    _, about = tables.read(str(tmp_path / "table"))
    commit = served.repositories["ann/reviews"].references["v1"]
    assert about["origin"] == {"kind": "hub", "uri": "hub:ann/reviews@v1", "revision": commit}
    assert (about["counts"]["rows"], set(about["label_shares"])) == (80, {"neg", "pos"})
    assert done.hosts == {"127.0.0.1"}


def test_revisions_configs_and_splits(served, beside, tmp_path):
    (tmp_path / "ann" / "reviews").mkdir(parents=True)  # a folder of the same name is not what was asked for
    (tmp_path / "ann" / "reviews" / "train.csv").write_text("text,label\nlocal,neg\n")
    known = served.repositories["ann/reviews"]
    first, second = known.commits
    asked = ("", f"@{first}", "#other", "@v1#plain/test")
    done = beside("-c", READS, *(f"hub:ann/reviews{end}" for end in asked))
    last, exact, other, test = map(json.loads, done.stdout.splitlines())
    assert [commit for _, commit, _ in (last, exact, other, test)] == [second, first, second, first]
    lengths = [sum(len(columns["text"]) for _, columns in found) for _, _, found in (last, exact, other, test)]
    assert lengths == [110, 80, 2, 20]
    expected = {"text": ["number 0", "number 1"], "label": [0, 1], "split": ["train"] * 2}
    assert other[2] == [["hub:ann/reviews#other/train", expected]]
    assert set(test[2][0][1]["label"]) == {"neg", "pos"}
    assert "split" not in test[2][0][1]
    assert done.hosts == {"127.0.0.1"}


def test_what_the_hub_does_not_have_is_told(beside):
    ends = ("/none", "/reviews@v9", "/reviews#none", "/reviews#plain/none")
    said = beside("-c", READS, *(f"hub:ann{end}" for end in ends)).stdout.splitlines()
    assert [json.loads(line).partition("cannot be read from the hub: ")[2] for line in said] == [
        "there is none of that name, or it is private and HF_TOKEN is not set.",
        "it has no revision v9.",
        "BuilderConfig 'none' not found. Available: ['plain', 'other'].",
        "Bad split: none. Available splits: ['train', 'test'].",
    ]


@pytest.mark.parametrize("broken", ["", "/"])
def test_a_hub_that_is_down_ends_the_step_with_an_error_of_two_lines(
    served, beside, tmp_path, broken, initialised_store
):
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    served.broken = broken
    environ = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    there = served.uri if broken else "http://127.0.0.1:9"
    done = beside("-m", "pipelines.ingest", "source=hub:ann/reviews", HF_ENDPOINT=there, **environ)
    assert done.returncode == 4, done.stderr
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: hub:ann/reviews cannot be read from the hub: ")
    assert ("500" if broken else "refused") in error
    assert "Is the network up?" in hint
    assert "Traceback" not in done.stderr


def test_what_the_library_kept_of_another_time_is_not_taken_for_the_hubs(served, beside):
    program = """
from dlops.data import hub
try:
    print([chunk.file for chunk in hub.chunks(hub.Dataset("ann/reviews"))])
except hub.DataError as error:
    print(error)
"""
    assert beside("-c", "import datasets; datasets.load_dataset('ann/reviews')").returncode == 0
    del served.repositories["ann/reviews"]
    assert "there is none of that name" in beside("-c", program).stdout
