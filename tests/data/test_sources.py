from __future__ import annotations

import json

import pytest

from dlops.data import downloads, sample, sources, tables
from dlops.errors import DataError, UsageError
from tests.data import loopback, ugly


def rows(source, reject=None):
    rejects = []
    found = [
        (chunk.file, line, values)
        for chunk in source.chunks(reject or rejects.append)
        for line, *values in zip(chunk.lines, *ugly.plain(chunk.columns).values(), strict=True)
    ]
    assert not rejects
    return found


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file(home):
    file = ugly.written(home, "reviews.csv.gz", ugly.VALID["a.csv.gz"])
    source = sources.open("reviews.csv.gz", seed=0)
    assert (source.name, source.where, source.size) == ("reviews", str(file), file.stat().st_size)
    assert (source.columns, source.synthetic) == (("text", "label"), False)
    assert source.origin == {"kind": "files", "uri": str(file), "size": str(source.size), "files": "1"}
    assert [tuple(values) for _, _, values in rows(source)] == ugly.ROWS
    assert rows(source) == rows(source), "it may be read more than once"


def test_several_files_and_how_far_they_are_read(home):
    for name in ("data/b.csv", "data/a.jsonl"):
        ugly.written(home, name, ugly.VALID[f"a.{name.rpartition('.')[2]}"])
    for location in ("data", "data/", "data/*", "data/a.jsonl,data/b.csv", f"file://{home}/data"):
        source = sources.open(location, seed=0)
        assert source.name == "data", location
        assert len(rows(source)) == 2 * len(ugly.ROWS)
        assert source.origin["files"] == "2"
        assert str(home / "data") in source.where
        positions = [chunk.position for chunk in source.chunks(print)]
        assert positions == sorted(positions)
        assert positions[-1] == source.size


@pytest.mark.parametrize(
    ("name", "called"), [("my reviews (1).csv", "my_reviews_1"), ("-.csv", "data"), ("a" * 200 + ".csv", "a" * 100)]
)
def test_a_name_that_a_table_can_have(home, name, called):
    ugly.written(home, name, b"text,label\na,b\n")
    assert sources.open(name, seed=0).name == called


def test_the_sample_says_that_it_is_synthetic():
    source = sources.open(sample.NAME, seed=5)
    assert source.synthetic
    assert "synthetic" in source.where
    assert [tuple(values) for _, _, values in rows(source)] == sample.generate(5)
    assert source.columns == ("text", "label")


def test_a_delta_table_at_a_version_and_by_name(home):
    place = home / "home" / "data" / "tables" / "reviews"
    made = {"id": ["1", "2"], "text": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]}
    tables.write(str(place), made, {})
    tables.write(str(place), made | {"text": ["c", "d"], "id": ["3", "4"]}, {})
    for location, texts in (("reviews", "cd"), ("reviews@0", "ab"), (str(place), "cd"), (f"{place}@1", "cd")):
        source = sources.open(location, seed=0)
        assert source.name == "reviews"
        assert sorted(values[1] for _, _, values in rows(source)) == list(texts)
        assert source.origin["version"] == ("0" if "@0" in location else "1")
        assert source.columns == tables.COLUMNS
    with pytest.raises(DataError, match="has no version 7"):
        sources.open("reviews@7", seed=0)
    ugly.written(home, "reviews/a.csv", b"text,label\na,b\n")
    assert sources.open("reviews", seed=0).origin["kind"] == "files", "what lies here comes first"


def test_a_download(home, monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_S", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with loopback.running() as server:
        server.answers = [loopback.file(ugly.VALID["a.csv.gz"])]
        source = sources.open(server.uri("/x/reviews.csv.gz?token=hidden", "ann:hidden@"), seed=0)
        assert source.name == "reviews"
        assert source.origin["etag"] == 'etag:"1"'
        assert len(source.origin["sha256"]) == 64
        assert "hidden" not in json.dumps(source.origin) + source.where
        found = rows(source)
        assert len(found) == len(ugly.ROWS)
        assert "hidden" not in found[0][0]


def test_rejects_may_end_it(home):
    ugly.written(home, "a.csv", b"text,label\na\n")

    def stop(reject):
        raise DataError(f"{reject.file}:{reject.line}: {reject.reason}")

    source = sources.open("a.csv", seed=0)
    with pytest.raises(DataError, match=r"a\.csv:2: 1 field"):
        rows(source, stop)
    assert source.columns == ()


@pytest.mark.parametrize(
    ("location", "options", "error"),
    [
        ("none.csv", {}, DataError),
        ("a\0b", {}, UsageError),
        ("hub:", {}, UsageError),
        ("nowhere://a/b.csv", {}, UsageError),
        ("sample", {"encoding": "utf-9"}, UsageError),
        ("http://", {}, UsageError),
        ("none@3", {}, DataError),
    ],
)
def test_what_is_no_source(home, location, options, error):
    with pytest.raises(error):
        sources.open(location, seed=0, **options)
