from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pyarrow.parquet
import pytest

from dlops.data import files, readers
from dlops.errors import DataError
from tests.data import ugly


def read(folder, name, content, encoding="utf-8"):
    rejects, rows = [], []
    (file,) = files.find(str(ugly.written(folder, name, content)))
    chunks = list(readers.read(file, rejects.append, encoding=encoding))
    for chunk in chunks:
        rows += zip(chunk.lines, *ugly.plain(chunk.columns).values(), strict=True)
    return chunks, rows, [(reject.file.rpartition("/")[2], reject.line, reject.reason) for reject in rejects]


def parquet(**columns):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def test_parquet_keeps_types_and_counts_rows(tmp_path):
    content = parquet(text=["a", None], label=[1, 0], tags=[["x"], []], more=[{"k": 1.5}, None])
    _, rows, rejects = read(tmp_path, "a.parquet", content)
    assert rows == [(1, "a", 1, ["x"], {"k": 1.5}), (2, None, 0, [], None)]
    assert not rejects


def test_parquet_comes_in_parts_that_fit(tmp_path):
    content = parquet(text=[f"{number} " * 1000 for number in range(5000)], label=["x"] * 5000)
    chunks, rows, _ = read(tmp_path, "a.parquet", content)
    assert len(chunks) > 3
    assert [row[0] for row in rows] == list(range(1, 5001))


def test_a_value_of_parquet_that_is_no_text_is_its_rows_own_problem(tmp_path):
    texts = pa.array([b"fine", b"caf\xe9", b"good"]).view(pa.string())
    _, rows, rejects = read(tmp_path, "a.parquet", parquet(text=texts, label=["x", "y", "z"]))
    assert rows == [(1, "fine", "x"), (3, "good", "z")]
    assert rejects[0][:2] == ("a.parquet", 2)


@pytest.mark.parametrize("content", [b"", b"PAR1 not at all PAR1", ugly.parquet()[:-20], ugly.parquet()[20:]])
def test_what_is_no_parquet(tmp_path, content):
    _, rows, ((_, _, reason),) = read(tmp_path, "a.parquet", content)
    assert not rows
    assert reason.startswith("no Parquet file, or a damaged one")


def test_a_parquet_file_without_rows_is_no_problem(tmp_path):
    assert read(tmp_path, "a.parquet", parquet(text=pa.array([], pa.string())))[1:] == ([], [])


def test_tsv_is_separated_by_tabs_whatever_the_header_says(tmp_path):
    assert read(tmp_path, "a.tsv", b"text,a\tlabel,b\nx,1\ty,2\n")[1] == [(2, "x,1", "y,2")]


def test_an_encoding_that_the_user_names(tmp_path):
    assert read(tmp_path, "a.csv", "text,label\ncafé,x\n".encode("latin-1"), "latin-1")[1] == [(2, "café", "x")]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_utf16_that_is_cut_off_is_told_after_what_could_be_read(tmp_path, name):
    text = {
        "a.csv": "text,label\n" + "a,b\n" * 3,
        "a.jsonl": '{"text": 1}\n' * 3,
        "a.json": '[{"text": 1}, {"text": 1}]',
    }
    _, _, rejects = read(tmp_path, name, text[name].encode("utf-16")[:-1])
    assert "utf-16" in rejects[0][2].lower() or "truncated" in rejects[0][2]


def test_a_member_is_named_with_its_archive_and_its_line(tmp_path):
    chunks, _, rejects = read(tmp_path, "a.zip", ugly.zipped(b__csv=b"text,label\na\nb,c\n"))
    assert chunks[0].file.endswith("/a.zip:b.csv")
    assert rejects == [("a.zip:b.csv", 2, "1 field, where the header names 2 columns")]


def test_a_damaged_member_is_named_and_the_next_is_read(tmp_path):
    content = bytearray(ugly.zipped(b__csv=ugly.csv(), c__csv=b"text,label\na,b\n"))
    content[content.index(b"PK\1\2") + 16] ^= 1  # the checksum of the first
    _chunks, rows, rejects = read(tmp_path, "a.zip", bytes(content))
    assert rows[-1] == (2, "a", "b")
    assert rejects[0][0] == "a.zip:b.csv"
    assert "CRC" in rejects[0][2]


def test_rows_before_the_place_where_a_packed_file_breaks_are_kept(tmp_path):
    rows = [(f"review {number} {number**7}", "x") for number in range(60_000)]
    content = gzip.compress(ugly.csv(rows))
    _, found, rejects = read(tmp_path, "a.csv.gz", content[: len(content) // 2])
    assert 20_000 < len(found) < 40_000
    assert [row[1:] for row in found] == rows[: len(found)]
    assert "Truncated" in rejects[0][2]
    assert rejects[0][1] == found[-1][0] + 1


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip", "a.tar.zst", "a.parquet", "a.json"])
def test_the_position_grows_to_the_size(tmp_path, name):
    rows = [(f"review {number} " + "word " * 150, "x") for number in range(6000)]
    made = {
        "a.csv": ugly.csv,
        "a.csv.gz": lambda rows: gzip.compress(ugly.csv(rows)),
        "a.zip": lambda rows: ugly.zipped(b__csv=ugly.csv(rows)),
        "a.tar.zst": lambda rows: ugly.zstd(ugly.tarred(("b.csv", ugly.csv(rows)))),
        "a.parquet": ugly.parquet,
        "a.json": ugly.json_array,
    }
    content = made[name](rows)
    chunks, found, _ = read(tmp_path, name, content)
    positions = [chunk.position for chunk in chunks]
    assert len(found) == 6000
    assert positions == sorted(positions)
    assert 0 < positions[0] <= positions[-1] <= len(content)
    assert positions[-1] > 0.8 * len(content)


def test_a_file_that_is_gone_by_then(tmp_path):
    (file,) = files.find(str(ugly.written(tmp_path, "a.csv", b"text,label\na,b\n")))
    file.path.unlink()
    rejects = []
    assert list(readers.read(file, rejects.append, encoding="utf-8")) == []
    assert rejects[0].reason == "No such file or directory"


def test_a_file_that_is_written_to_meanwhile_is_refused(tmp_path):
    file = tmp_path / "growing.csv"
    file.write_text("text,label\n" + "a text,x\n" * 10)
    found = readers.read(files.find(str(file))[0], rejected, encoding="utf-8")
    next(found)
    with file.open("a") as more:
        more.write("another,y\n")
    with pytest.raises(DataError, match="changed while it was read"):
        list(found)


def rejected(reject):
    raise AssertionError(reject)


def test_plain_texts_are_read_where_they_are_asked_for(tmp_path):
    members = {"b__txt": b"one\ncaf\xe9\n", "c__csv": b"text\ntwo\n"}
    path = str(ugly.written(tmp_path, "a.zip", ugly.zipped(**members)))
    found = {}
    for plain in (False, True):
        rejects = []
        (file,) = files.find(path, plain=plain)
        chunks = list(readers.read(file, rejects.append, encoding="utf-8"))
        texts = [text for chunk in chunks for text in ugly.plain(chunk.columns)["text"]]
        found[plain] = texts, [reject.line for reject in rejects]
    assert found == {False: (["two"], []), True: (["one", "two"], [2])}
    (file,) = files.find(str(ugly.written(tmp_path, "d.txt.gz", gzip.compress(b"a\nb"))), plain=True)
    (chunk,) = readers.read(file, rejected, encoding="utf-8")
    assert (chunk.lines, chunk.columns) == ([1, 2], {"text": ["a", "b"]})
