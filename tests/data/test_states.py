"""What data is in, told by content or by its server, and never by its name."""

from __future__ import annotations

import shutil

import deltalake
import pyarrow as pa
import pytest

from dlops.data import downloads, states, tables
from dlops.errors import DataError
from tests.data import loopback
from tests.data.test_tables import ROWS


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSE_S", 0.001)
    with loopback.running() as running:
        yield running


def test_the_name_of_a_file_does_not_count(tmp_path, monkeypatch):
    for name, text in {"a.csv": "text\n1\n", "b.csv": "text\n1\n", "c.csv": "text\n2\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert (
        states.of_location("a.csv")
        == states.of_location(f"{tmp_path}/b.csv")
        == states.of_location(f"file://{tmp_path}/a.csv")
    )
    assert states.of_location("a.csv") != states.of_location("c.csv")


def test_a_file_is_its_content_by_its_uri_too(tmp_path):
    (tmp_path / "my reviews.csv").write_text("text\n")
    plain = states.of_location(str(tmp_path / "my reviews.csv"))
    assert states.of_location(f"file://{tmp_path}/my%20reviews.csv") == plain


def test_a_glob_and_a_list_are_the_files_they_find(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(name)
    found = states.of_location(f"{tmp_path}/*.csv")
    assert states.of_location(f"{tmp_path}/a.csv,{tmp_path}/b.csv") == found
    (tmp_path / "notes.txt").write_text("")
    assert states.of_location(f"{tmp_path}/*.csv") == found
    (tmp_path / "b.csv").write_text("other")
    changed = states.of_location(f"{tmp_path}/*.csv")
    (tmp_path / "c.csv").write_text("more")
    assert len({found, changed, states.of_location(f"{tmp_path}/*.csv")}) == 3


def test_a_folder_is_its_files_wherever_it_lies(tmp_path):
    (tmp_path / "one/deep").mkdir(parents=True)
    (tmp_path / "one/deep/a.csv").write_text("a")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first = states.of_location(str(tmp_path / "one"))
    assert states.of_location(str(tmp_path / "two")) == first
    (tmp_path / "two/deep/a.csv").rename(tmp_path / "two/a.csv")
    assert states.of_location(str(tmp_path / "two")) != first


def test_a_table_is_its_rows(tmp_path):
    uri, other = str(tmp_path / "table"), str(tmp_path / "other")
    digest = tables.write(uri, ROWS, {}).digest
    tables.write(other, {name: column[::-1] for name, column in ROWS.items()}, {"source": "elsewhere"})
    assert states.of_location(uri) == states.of_location(f"{uri}@0") == states.of_location(other) == digest
    tables.write(uri, {**ROWS, "label": ["x", "x"]}, {})
    assert states.of_location(uri) == states.of_location(f"{uri}@1") != digest
    assert states.of_location(f"{uri}@0") == digest


def test_a_table_of_another_making_is_its_versions(tmp_path):
    uri = str(tmp_path / "table")
    deltalake.write_deltalake(uri, pa.table({"text": ["a"]}))
    first = states.of_location(uri)
    deltalake.write_deltalake(uri, pa.table({"text": ["b"]}), mode="append")
    assert states.of_location(uri) != first
    assert states.of_location(f"{uri}@0") == first


def test_a_version_that_is_not_there(tmp_path):
    tables.write(str(tmp_path / "table"), ROWS, {})
    with pytest.raises(DataError):
        states.of_location(f"{tmp_path}/table@7")


def test_a_server_tells_the_state_of_a_file_which_is_not_read(server):
    server.answers = [loopback.file(b"x" * 10_000_000, stop=1000, etag='"1"')]
    first = states.of_location(server.uri())
    assert '"1"' in first
    assert states.of_location(server.uri()) == first
    server.answers = [loopback.file(b"x", etag='"2"')]
    assert states.of_location(server.uri()) != first
    server.answers = [loopback.file(b"x", etag="", modified="Mon, 05 Jan 2026 10:00:00 GMT")]
    assert "05 Jan 2026" in states.of_location(server.uri())


def test_a_server_that_tells_no_state(server):
    server.answers = [loopback.file(b"x", etag="")]
    with pytest.raises(DataError, match="does not tell one state of it from another"):
        states.of_location(server.uri())


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_does_not_answer(server, status):
    server.answers = [loopback.code(status)]
    with pytest.raises(DataError):
        states.of_location(server.uri())


def test_a_word_stands_for_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert states.of_location("sample") == "sample"
    (tmp_path / "sample").write_text("a file of that name")
    assert states.of_location("sample") != "sample"
