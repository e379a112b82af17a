from __future__ import annotations

import deltalake
import pytest

from dlops.data import tables
from dlops.errors import DataError

ROWS = {"id": ["1", "2"], "text": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]}


def test_a_stock_client_reads_every_version(tmp_path):
    uri = str(tmp_path / "table")
    first = tables.write(uri, ROWS, {"source": "first"})
    second = tables.write(uri, {**ROWS, "label": ["x", "x"]}, {"source": "second"})
    assert (first.number, second.number, second.reference) == (0, 1, f"{uri}@1")
    assert first.digest != second.digest
    assert deltalake.DeltaTable(uri, version=0).to_pyarrow_table().to_pydict() == ROWS
    assert deltalake.DeltaTable(uri).to_pyarrow_table()["label"].to_pylist() == ["x", "x"]


def test_the_same_rows_make_no_new_version_in_whatever_order(tmp_path):
    uri = str(tmp_path / "table")
    first = tables.write(uri, ROWS, {})
    again = tables.write(uri, {name: column[::-1] for name, column in ROWS.items()}, {})
    assert (first.new, again.new, again.number, again.digest) == (True, False, 0, first.digest)
    assert len(deltalake.DeltaTable(uri).history()) == 1


def test_a_description_stays_with_its_version(tmp_path):
    uri = str(tmp_path / "table")
    first = tables.write(uri, ROWS, {"source": "first"})
    tables.write(uri, {**ROWS, "label": ["x", "x"]}, {"source": "second"})
    assert tables.read(uri, 0)[1] == {"source": "first", "digest": first.digest}
    assert tables.read(uri)[1]["source"] == "second"


def test_a_table_of_another_making_has_no_description(tmp_path):
    import pyarrow as pa

    uri = str(tmp_path / "table")
    deltalake.write_deltalake(uri, pa.table({"text": ["a"]}))
    assert tables.read(uri)[1] == {}
    assert tables.write(uri, ROWS, {}).number == 1


def test_other_files_are_never_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="no Delta table"):
            tables.write(str(place), ROWS, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(DataError, match="There is no dataset") as caught:
        tables.read(str(tmp_path / "none"))
    assert "dlops ingest" in caught.value.hint
    uri = str(tmp_path / "table")
    tables.write(uri, ROWS, {})
    with pytest.raises(DataError, match="has no version 9") as caught:
        tables.read(uri, 9)
    assert "up to 0" in caught.value.hint
