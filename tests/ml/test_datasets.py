from __future__ import annotations

import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from dlops.config import locations
from dlops.data import splits, tables
from dlops.errors import DataError
from dlops.ml import datasets, record


def write(uri, *rows, **about):
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("text", "label", "split"))}
    return tables.write(uri, {"id": [splits.identity(text) for text in columns["text"]], **columns}, about)


ROWS = (("a", "x", "train"), ("b", "y", "train"), ("c", "y", "val"), ("d", "x", "test"))


@pytest.fixture
def table(tmp_path):
    uri = str(tmp_path / "table")
    write(uri, *ROWS, source="reviews.csv")
    return uri


def test_a_dataset_is_its_splits_labels_and_origin(table):
    found = datasets.open(table)
    assert (found.labels, found.rows, found.version, found.source) == (("x", "y"), 4, 0, "reviews.csv")
    assert dict(zip(found.train.texts, found.train.labels, strict=True)) == {"a": "x", "b": "y"}
    assert (found.val.texts, found.test.labels) == (["c"], ["x"])
    assert (found.name, found.reference, found.synthetic) == ("table", f"{table}@0", False)


def test_versions_and_moments(table):
    time.sleep(0.01)
    between = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    write(table, *ROWS, ("e", "x", "train"))
    assert [datasets.open(f"{table}{at}").rows for at in ("", "@0", "@1", f"@{between}")] == [5, 4, 5, 4]


def test_the_order_of_rows_in_the_table_does_not_matter(tmp_path, table):
    write(str(tmp_path / "other"), *ROWS[::-1])
    other = datasets.open(str(tmp_path / "other"))
    assert (other.digest, other.train) == (datasets.open(table).digest, datasets.open(table).train)


def test_a_bare_word_is_a_table_of_the_users(tmp_path, monkeypatch):
    write(str(locations.table("sample")), *ROWS, synthetic=True)
    assert datasets.open("sample").synthetic
    assert datasets.open("sample@0").uri == str(locations.table("sample"))
    monkeypatch.chdir(tmp_path)
    write(str(tmp_path / "mine"), *ROWS)
    assert datasets.open("mine").uri == str(tmp_path / "mine")


def test_the_output_of_a_run(run, table):
    record.output("dataset", f"{table}@0")
    write(table, *ROWS, ("e", "x", "train"))
    assert datasets.open(f"runs:/{run.info.run_id}/dataset").rows == 4


def test_a_run_without_a_dataset(run):
    with pytest.raises(DataError, match="has no dataset among its outputs"):
        datasets.open(f"runs:/{run.info.run_id}/dataset")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.open("runs:/0123456789abcdef/dataset")


def test_a_table_of_another_making_is_read_if_it_has_the_columns(tmp_path, table):
    uri = str(tmp_path / "theirs")
    columns = {name: [row[place] for row in ROWS] for place, name in enumerate(("text", "label", "split"))}
    write_deltalake(uri, pa.table(columns))
    assert datasets.open(uri).digest == datasets.open(table).digest
    write_deltalake(str(tmp_path / "bare"), pa.table({"text": ["a"], "n": [1]}))
    with pytest.raises(DataError, match="no column label, split"):
        datasets.open(str(tmp_path / "bare"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((("a", "x", "train"), ("b", "x", "train"), ("c", "y", "test")), "all of one class"),
        ((("a", "x", "train"), ("b", "y", "train")), "no test rows"),
        ((("a", "x", "test"), ("b", "y", "test")), "all of one class"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path, rows, message):
    write(str(tmp_path / "table"), *rows)
    with pytest.raises(DataError, match=message) as caught:
        datasets.open(str(tmp_path / "table"))
    assert caught.value.hint


def test_a_missing_table_says_what_to_do():
    with pytest.raises(DataError) as caught:
        datasets.open("nothing")
    assert "dlops ingest" in caught.value.hint


def test_several_classes_numbers_and_pairs(tmp_path):
    splits_of = ["train", "train", "val", "test"]
    common = {"id": list("abcd"), "text": list("abcd"), "split": splits_of}
    several = pa.array([["x", "y"], [], ["z"], ["x"]], pa.list_(pa.string()))
    tables.write(str(tmp_path / "several"), {**common, "label": several}, {}, digest="several")
    found = datasets.open(str(tmp_path / "several"))
    assert (found.kind, found.labels) == ("multilabel", ("x", "y", "z"))
    assert dict(zip(found.train.texts, found.train.labels, strict=True)) == {"a": ["x", "y"], "b": []}
    tables.write(str(tmp_path / "numbers"), {**common, "label": [1.5, 2.0, 3.0, 4.0]}, {}, digest="numbers")
    found = datasets.open(str(tmp_path / "numbers"))
    assert (found.kind, found.labels, found.test.labels) == ("number", (), [4.0])
    tables.write(str(tmp_path / "pairs"), {**common, "text_pair": list("efgh"), "label": list("xyxy")}, {})
    found = datasets.open(str(tmp_path / "pairs"))
    assert dict(zip(found.train.texts, found.train.pairs, strict=True)) == {"a": "e", "b": "f"}
    assert datasets.open(str(tmp_path / "numbers")).train.pairs is None


def test_texts_are_read_alone_whether_they_have_labels_or_not(tmp_path, table):
    found = datasets.open(table, labelled=False)
    assert (found.kind, found.labels, found.train.labels, found.test.labels) == ("none", (), [], [])
    assert (sorted(found.train.texts), found.val.texts, found.rows) == (["a", "b"], ["c"], 4)
    assert found.digest == datasets.open(table).digest
    uri = str(tmp_path / "texts")
    tables.write(uri, {"id": list("ab"), "text": list("ab"), "split": ["train", "train"]}, {"labels": "none"})
    found = datasets.open(uri, labelled=False)
    assert (len(found.train), len(found.val), len(found.test)) == (2, 0, 0)


def test_without_labels_nothing_is_classified(tmp_path):
    uri = str(tmp_path / "texts")
    tables.write(uri, {"id": list("ab"), "text": list("ab"), "split": ["train", "test"]}, {"labels": "none"})
    with pytest.raises(DataError, match="has no labels") as caught:
        datasets.open(uri)
    assert "label=" in caught.value.hint
    assert "objective=mlm" in caught.value.hint


def test_without_train_rows_nothing_is_trained(tmp_path):
    uri = str(tmp_path / "texts")
    tables.write(uri, {"id": ["a"], "text": ["a"], "split": ["test"]}, {"labels": "none"})
    with pytest.raises(DataError, match="no train rows"):
        datasets.open(uri, labelled=False)


def test_a_table_of_another_making_needs_no_labels_either(tmp_path):
    write_deltalake(str(tmp_path / "theirs"), pa.table({"text": ["a", "b"], "split": ["train", "val"]}))
    found = datasets.open(str(tmp_path / "theirs"), labelled=False)
    assert found.digest == tables.digest(
        (splits.identity(text), split) for text, split in (("a", "train"), ("b", "val"))
    )
