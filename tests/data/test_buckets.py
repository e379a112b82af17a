from __future__ import annotations

import fsspec
import pytest

from dlops.data import buckets, downloads, files
from dlops.errors import DataError, UsageError

CONTENT = b"text,label\n" + b"a,pos\n" * 500_000


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(downloads, "PAUSE_S", 0.001)
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("/b/one.csv", "/b/two.csv", "/b/read.me"):
        memory.pipe(name, CONTENT)
    yield memory
    memory.store.clear()


def found(uri):
    return [item.name for item in buckets.items(uri, lambda name: bool(files.form(name).kind))]


def test_a_file_a_glob_and_a_folder(store):
    assert found("memory://b/one.csv") == ["one.csv"]
    assert found("memory://b/*.csv") == found("memory://b") == ["one.csv", "two.csv"]


def test_another_file_system(tmp_path):
    (tmp_path / "a.csv").write_bytes(CONTENT)
    assert found(f"local://{tmp_path}/a.csv") == ["a.csv"]


def test_a_file_is_fetched_once_and_again_when_it_changed(store, monkeypatch):
    (item,) = buckets.items("memory://b/one.csv", bool)
    first = downloads.fetch(item)
    assert (first.uri, first.path.read_bytes()) == ("memory:///b/one.csv", CONTENT)
    opened = []
    real = type(store).open
    monkeypatch.setattr(
        type(store), "open", lambda self, path, *a, **k: opened.append(path) or real(self, path, *a, **k)
    )
    assert downloads.fetch(item) == first
    assert not opened
    store.pipe("/b/one.csv", b"text,label\n")
    assert downloads.fetch(item).path.read_bytes() == b"text,label\n"


def test_what_breaks_off_goes_on(store, monkeypatch):
    offsets = []
    real = type(store).open

    class Line:
        """A file on a line that dies once."""

        def __init__(self, content):
            self.content = content

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.content.close()

        def seek(self, place):
            offsets.append(place)
            self.content.seek(place)

        def read(self, count):
            if len(offsets) == 1 and self.content.tell() > 1_500_000:
                raise OSError("the line is dead")
            return self.content.read(count)

    monkeypatch.setattr(type(store), "open", lambda *args, **options: Line(real(*args, **options)))
    (item,) = buckets.items("memory://b/one.csv", bool)
    assert downloads.fetch(item).path.read_bytes() == CONTENT
    assert offsets[0] == 0
    assert offsets[1] > 1_000_000


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("memory://b/none.csv", DataError, "does not exist"),
        ("memory://b/*.parquet", DataError, "no file of a known kind"),
        ("nowhere://b/a.csv", UsageError, "no address that is known"),
    ],
)
def test_what_cannot_be_is_told(store, uri, error, message):
    with pytest.raises(error, match=message):
        downloads.fetch(buckets.items(uri, lambda name: False)[0])


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(DataError, match="driver") as caught:
        buckets.items("s3://bucket/a.csv", bool)
    assert caught.value.hint == "pip install s3fs"
