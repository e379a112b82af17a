from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from dlops.data import sample, sources
from dlops.errors import DataError

PAIRS = [("fine, really", "pos"), ('a "bad" one\nof two lines', "neg")]


def read(path, text="text", label="label"):
    return [(row.line, row.text, row.label) for row in sources.open(str(path), seed=0).rows(text, label)]


def test_csv_with_quotes_line_breaks_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_bytes(
        b'\xef\xbb\xbftext,label\r\n"fine, really",pos\r\n"a ""bad"" one\nof two lines",neg\r\n\r\nlast,pos\r\n'
    )
    source = sources.open(str(file), seed=0)
    assert (source.name, source.columns, source.synthetic) == ("reviews", ("text", "label"), False)
    assert read(file) == [(2, *PAIRS[0]), (3, *PAIRS[1]), (6, "last", "pos")]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json"])
def test_json_lines(tmp_path, suffix):
    file = tmp_path / f"reviews{suffix}"
    file.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in PAIRS) + "\n\n")
    assert read(file) == [(1, *PAIRS[0]), (2, *PAIRS[1])]


def test_a_json_array(tmp_path):
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps([{"text": text, "label": label} for text, label in PAIRS], indent=1))
    assert read(file) == [(1, *PAIRS[0]), (2, *PAIRS[1])]


def test_parquet(tmp_path):
    file = tmp_path / "reviews.parquet"
    pyarrow.parquet.write_table(pa.table({"text": ["a", None, "c"], "label": [1, 0, None], "n": [1, 2, 3]}), file)
    assert read(file) == [(1, "a", "1"), (2, "", "0"), (3, "c", "")]


def test_labels_of_any_kind_become_class_names(tmp_path):
    file = tmp_path / "reviews.jsonl"
    labels = [1, 1.0, 0.5, True, "1 ", None]
    file.write_text("\n".join(json.dumps({"text": "a", "label": label}) for label in labels))
    assert [label for _, _, label in read(file)] == ["1", "1", "0.5", "true", "1", ""]


def test_a_missing_key_is_an_empty_value(tmp_path):
    file = tmp_path / "reviews.jsonl"
    file.write_text('{"text": "a"}\n{"label": "x"}\n')
    assert read(file) == [(1, "a", ""), (2, "", "x")]


def test_the_sample_says_that_it_is_synthetic():
    source = sources.open(sample.NAME, seed=5)
    assert source.synthetic
    assert "synthetic" in source.where
    assert [(row.text, row.label) for row in source.rows("text", "label")] == sample.generate(5)


def test_a_very_long_field_is_read(tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_text(f"text,label\n{'x' * 500_000},pos\n")
    assert len(read(file)[0][1]) == 500_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\na,b\nc\n", r"a\.csv:3: 1 fields, where the header names 2"),
        ("a.csv", b"text,label\nok,x\ncaf\xe9,y\n", r"a\.csv:3: byte 0xe9 is no UTF-8"),
        ("a.csv", b'text,label\n"open,x\n', r"a\.csv:2: unexpected end of data"),
        ("a.csv", b"", r"a\.csv is empty"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": \n', r"a\.jsonl:2: no valid JSON"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n[1]\n', r"a\.jsonl:2: an object"),
        ("a.jsonl", b'{"text": ["a"], "label": 1}\n', r"a\.jsonl:1: column 'text' holds a list"),
        ("a.jsonl", b'{"text": "a", "label": {}}\n', r"a\.jsonl:1: column 'label' holds a dict"),
        ("a.jsonl", b"\n", r"a\.jsonl is empty"),
        ("a.parquet", b"PAR1 not at all", r"a\.parquet is no Parquet file"),
        ("a.xlsx", b"", r"a\.xlsx is of a kind that is not known"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name)
    assert caught.value.hint or ":" in caught.value.message


@pytest.mark.parametrize(
    ("place", "message"), [("none.csv", "does not exist"), (".", "a folder"), ("s3://a/b.csv", "not on this")]
)
def test_what_is_not_there_is_told_with_what_to_do(tmp_path, place, message):
    with pytest.raises(DataError, match=message) as caught:
        sources.open(place if "://" in place else str(tmp_path / place), seed=0)
    assert caught.value.hint
