from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dlops.data import files
from dlops.data.files import Form, find, form, split, stem
from dlops.errors import DataError, UsageError
from tests.data import ugly


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (
        "b.csv",
        "a.jsonl.gz",
        "read.me",
        ".hidden.csv",
        "in/c.CSV",
        "in/deep/d.zip",
        ".git/e.csv",
        "_tmp/f.csv",
    ):
        ugly.written(tmp_path, name, b"text,label\na,b\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(location, **options):
    return [file.name.removeprefix(f"{Path.cwd()}/") for file in find(location, **options)]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a.csv", Form("csv")),
        ("a.b.TSV.GZ", Form("tsv", "gzip")),
        ("a.parquet.zst", Form("parquet", "zstd")),
        ("a.tgz", Form("tar", "gzip")),
        ("a.tar.zst", Form("tar", "zstd")),
        ("a.zip", Form("zip")),
        ("a.zip.gz", Form("", "gzip")),
        ("a.gz", Form("", "gzip")),
        ("csv", Form("")),
        ("a.txt", Form("")),
        ("", Form("")),
    ],
)
def test_a_name_says_what_is_in_a_file(name, known):
    assert form(name) == known


def test_a_stem_has_no_suffix_that_is_known():
    assert [stem(name) for name in ("a.csv.gz", "a.b.tar.zst", "a.tgz", "a.v2")] == ["a", "a.b", "a", "a.v2"]


def test_folders_globs_and_lists(folder):
    inner = ["a.jsonl.gz", "b.csv", "in/c.CSV", "in/deep/d.zip"]
    assert names(".") == names(str(folder)) == names(f"file://{folder}") == inner
    assert names("*") == ["a.jsonl.gz", "b.csv"]
    assert names("in/**/*.[Cz]*") == ["in/c.CSV", "in/deep/d.zip"]
    assert names("b.csv, in") == ["b.csv", "in/c.CSV", "in/deep/d.zip"]
    assert names("b.csv,b.csv,*.csv") == ["b.csv"]


def test_names_that_look_like_lists_and_globs(folder):
    for name in ("x,y.csv", "[1].csv"):
        ugly.written(folder, name, b"text,label\n")
        assert names(name) == [name]
    assert split("https://h/a.csv?x=1,2,https://h/b.csv") == ["https://h/a.csv?x=1,2", "https://h/b.csv"]


def test_a_file_uri_is_decoded(folder):
    file = ugly.written(folder, "ä b.csv", b"text,label\n")
    assert find(file.as_uri())[0].path == file


@pytest.mark.parametrize(
    ("location", "error", "message"),
    [
        ("none.csv", DataError, "none.csv does not exist"),
        ("bb.csv", DataError, "did you mean"),
        ("read.me", DataError, r"kind that is not known \(\.me\)"),
        ("*.parquet", DataError, "no file matches"),
        ("*.me", DataError, "none is a file of a known kind"),
        ("/dev/null", DataError, "a pipe or a device"),
        (".git/none", DataError, "does not exist"),
        (" , ", UsageError, "No source is named"),
        ("x" * 5000, DataError, "does not exist"),
    ],
)
def test_what_is_no_source_is_told(folder, location, error, message):
    with pytest.raises(error, match=message) as caught:
        find(location)
    assert caught.value.hint


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="holds no file of a known kind"):
        find(str(tmp_path))


def test_a_checksum_of_a_file_here(folder):
    right = hashlib.sha256(b"text,label\na,b\n").hexdigest()
    assert names("b.csv", checksum=f"sha256:{right}") == names("b.csv", checksum=right.upper()) == ["b.csv"]
    with pytest.raises(DataError, match="is not the file"):
        find("b.csv", checksum="sha256:" + "0" * 64)
    for location, checksum in (("b.csv", "md5:1"), ("b.csv,in", right), (".", right)):
        with pytest.raises(UsageError, match="checksum="):
            find(location, checksum=checksum)


def test_a_pipe_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="a pipe"):
        find(str(tmp_path / "a.csv"))


def test_every_kind_is_told_in_the_hint(tmp_path):
    with pytest.raises(DataError) as caught:
        find(str(tmp_path))
    assert all(f".{kind}" in caught.value.hint for kind in (*files.ARCHIVES, "csv", "tsv", "jsonl", "json", "parquet"))


def test_plain_texts_are_known_only_where_they_are_asked_for(folder):
    ugly.written(folder, "notes.txt", b"a")
    ugly.written(folder, "in/more.txt.gz", b"a")
    with pytest.raises(DataError, match=r"not known \(\.txt\)") as caught:
        names("notes.txt")
    assert "target=none" in caught.value.hint
    assert not [name for name in [*names("."), *names("*")] if "txt" in name]
    assert names("notes.txt", plain=True) == names("*.txt", plain=True) == ["notes.txt"]
    assert [name for name in names(".", plain=True) if "txt" in name] == ["in/more.txt.gz", "notes.txt"]
    assert form("a.txt.zst", plain=True) == Form("txt", "zstd")
    assert stem("notes.txt.gz") == "notes"
