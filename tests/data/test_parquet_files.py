"""What was written comes back as often as asked, and no error of the thread that writes is lost."""

from __future__ import annotations

import errno
import tempfile

import pyarrow as pa
import pytest

from dlops.data import parquet_files
from dlops.data.parquet_files import ParquetFiles


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir()), "nothing is left"


def rows(*numbers):
    return pa.table({"number": list(numbers), "text": [f"text {number}" for number in numbers]})


def given_back(files):
    return [number for table in files.tables() for number in table["number"].to_pylist()]


@pytest.mark.parametrize("size", [parquet_files._FILE_SIZE, 0])
def test_rows_come_back_in_their_order_as_often_as_asked(monkeypatch, size):
    monkeypatch.setattr(parquet_files, "_FILE_SIZE", size)
    tables = [rows(number, number + 1) for number in range(0, 40, 2)]
    with ParquetFiles() as files:
        assert list(files.through(tables)) == tables
        assert pa.concat_tables(files.tables()).equals(pa.concat_tables(tables))
        assert given_back(files) == list(range(40))
        assert files.schema == tables[0].schema
        assert files.bytes == sum(table.nbytes for table in tables)


def test_a_next_file_is_begun_where_one_is_large_enough(monkeypatch):
    monkeypatch.setattr(parquet_files, "_FILE_SIZE", 3_000)
    with ParquetFiles() as files:
        for number in range(60):
            files.add(rows(number))
        found = files.files()
        assert 2 < len(found) < 60
        assert [file.path for file in found] == sorted(file.path for file in found)
        assert [file.rows for file in found] == [pa.parquet.read_metadata(file.path).num_rows for file in found]
        assert sum(file.rows for file in found) == 60
        assert all(file.path.stat().st_size >= 3_000 for file in found[:-1])


def test_rows_are_grouped_so_that_they_can_be_read_apart(monkeypatch):
    monkeypatch.setattr(parquet_files, "_ROW_GROUP", 10)
    with ParquetFiles() as files:
        files.add(rows(*range(35)))
        assert [len(table) for table in files.tables()] == [10, 10, 10, 5]


def test_more_may_be_added_after_they_were_read():
    with ParquetFiles() as files:
        files.add(rows(1))
        assert given_back(files) == [1]
        files.add(rows(2))
        assert given_back(files) == [1, 2]


def test_no_table_makes_no_file_and_an_empty_one_makes_one():
    with ParquetFiles() as files:
        assert files.files() == []
        assert files.schema is None
        files.add(rows())
        (file,) = files.files()
        assert file.rows == 0
        assert given_back(files) == []


@pytest.mark.parametrize("other", [{"number": [1]}, {"number": ["1"], "text": ["a"]}, {"text": ["a"], "number": [1]}])
def test_other_columns_are_refused(other):
    with ParquetFiles() as files:
        files.add(rows(1))
        with pytest.raises(ValueError, match="came after rows of"):
            files.add(pa.table(other))
        assert given_back(files) == [1]


class FullDisk:
    def __init__(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_of_the_thread_is_the_callers(monkeypatch):
    monkeypatch.setattr(pa.parquet, "ParquetWriter", FullDisk)
    with ParquetFiles() as files:
        files.add(rows(1))
        with pytest.raises(OSError, match="No space left"):
            files.files()


def test_a_full_disk_ends_the_adding(monkeypatch):
    monkeypatch.setattr(pa.parquet, "ParquetWriter", FullDisk)
    taken = []
    with pytest.raises(OSError, match="No space left"), ParquetFiles() as files:
        taken.extend(files.through(rows(number) for number in range(100)))
    assert len(taken) < 10


def test_an_error_is_told_at_the_end_at_the_latest(monkeypatch):
    monkeypatch.setattr(pa.parquet, "ParquetWriter", FullDisk)
    with pytest.raises(OSError, match="No space left"), ParquetFiles() as files:
        files.add(rows(1))


def test_nothing_is_left_of_what_was_broken_off(folder):
    def broken_off():
        yield rows(1)
        assert list(folder.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ParquetFiles() as files:
        list(files.through(broken_off()))
