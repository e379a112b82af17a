"""The hub is not asked: a folder on this machine is a dataset to the same library."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet
import pytest

from dlops.data import hub
from dlops.data.hub import Dataset, parse
from dlops.errors import DataError, UsageError
from tests.data import ugly


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
def folder(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
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


def test_classes_are_given_by_name(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"text": ["a", "b", "c"], "label": [1, 0, -1]},
        features=datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
        ),
    )
    (tmp_path / "d").mkdir()
    rows.to_parquet(str(tmp_path / "d" / "train.parquet"))
    (chunk,) = hub.chunks(Dataset(str(tmp_path / "d"), split="train"))
    assert chunk.columns["label"] == ["pos", "neg", None]


@pytest.mark.parametrize("dataset", [{"split": "none"}, {"config": "none"}])
def test_what_is_not_there_is_told(folder, dataset):
    with pytest.raises(DataError, match="cannot be read from the hub"):
        list(hub.chunks(Dataset(str(folder), **dataset)))


def test_code_of_a_dataset_is_not_run(tmp_path):
    pytest.importorskip("datasets")
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


def test_pictures_stay_undecoded(tmp_path):
    datasets = pytest.importorskip("datasets")
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        pa.table({"text": ["a"], "label": ["x"], "picture": [{"bytes": b"no picture", "path": None}]}), file
    )
    ugly.written(tmp_path, "d/train.parquet", file.getvalue())
    assert datasets.__version__
    (chunk,) = hub.chunks(Dataset(str(tmp_path / "d"), split="train"))
    assert chunk.columns["picture"][0]["bytes"] == b"no picture"
