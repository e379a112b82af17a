from __future__ import annotations

import io

import pytest

from dlops.data import csv_records
from dlops.data.csv_records import chunks
from dlops.data.text_lines import Lines


def read(content, delimiter="", encoding="utf-8"):
    """Give rows with their lines, and what was wrong with the others."""
    problems, rows = [], []
    content = content if isinstance(content, bytes) else content.encode()
    with Lines(io.BytesIO(content), encoding) as lines:
        for numbers, columns in chunks(
            lines, lambda line, reason, raw: problems.append((line, reason)), delimiter=delimiter
        ):
            rows += zip(numbers, *columns.values(), strict=True)
            assert all(isinstance(values, list) for values in columns.values())
    return rows, problems


def test_quotes_line_breaks_and_blank_lines():
    rows, problems = read(
        b'\xef\xbb\xbftext,label\r\n"fine, really",pos\r\n"a ""bad"" one\nof two lines",neg\r\n\r\nlast,pos\r\n'
    )
    assert rows == [(2, "fine, really", "pos"), (3, 'a "bad" one\nof two lines', "neg"), (6, "last", "pos")]
    assert not problems


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_recognised(delimiter):
    rows, problems = read(f'text{delimiter}label\n"a, b; c | d\te"{delimiter}x\nf{delimiter}y\n')
    assert [row[1:] for row in rows] == [("a, b; c | d\te", "x"), ("f", "y")]
    assert not problems


def test_commas_in_texts_do_not_outvote_the_header():
    rows, _ = read("text;label\n" + "one, two, three, four;x\n" * 60)
    assert rows[0] == (2, "one, two, three, four", "x")


def test_blank_lines_before_the_header():
    assert read("\n\ntext,label\na,b\n") == ([(4, "a", "b")], [])


def test_one_column():
    assert read("text\na\nb\n")[0] == [(2, "a"), (3, "b")]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends(ends):
    assert read(f"t,l{ends}a,b{ends}c,d")[0] == [(2, "a", "b"), (3, "c", "d")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c", "1 field, where the header names 2 columns"),
        ("c,d,e", "3 fields, where the header names 2 columns"),
        ('"c"c,d', "a quote inside a quoted field must be written twice"),
        ("c\0c,d", "a NUL byte"),
        ("caf\udce9,d", "byte 0xe9 is no UTF-8: save the file as UTF-8, or name its own encoding (encoding=latin-1)"),
        ("x" * (csv_records.FIELD_LIMIT + 1) + ",d", "a field is longer than 10,000,000 characters"),
        ('"c,d', "a quote is opened and never closed"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_row_is_told_with_its_line_and_the_rest_goes_on(row, reason, place):
    good = ["a,b", "e,f"]
    content = "\n".join(["text,label", *good[:place], row, *good[place:]]) + "\n"
    rows, problems = read(content.encode(errors="surrogateescape"))
    assert [row[1:] for row in rows] == [("a", "b"), ("e", "f")]
    assert problems == [(place + 2, reason)]


def test_a_bad_byte_is_told_with_the_line_it_stands_on():
    rows, problems = read(b'text,label\n"one\ntwo\ncaf\xe9",x\nb,y\n')
    assert problems[0][0] == 4
    assert rows == [(5, "b", "y")]


def test_an_open_quote_takes_in_no_row_that_begins_with_a_quote():
    rows, problems = read('text,label\n"open,x\nplain,y\n"two\nlines",z\n"last",x\n')
    assert [row[1:] for row in rows] == [("plain", "y"), ("two\nlines", "z"), ("last", "x")]
    assert [line for line, _ in problems] == [2]


def test_lines_of_a_text_with_a_bad_quote_are_no_rows():
    rows, problems = read('text,label\n"first\nsecond "word" here, and more",x\nlast,y\n')
    assert rows == [(4, "last", "y")]
    assert problems == [(2, "a quote inside a quoted field must be written twice (lines 2 to 3)")]


def test_a_long_field_is_read():
    rows, problems = read(f"text,label\n{'é' * 1_000_000},x\n")
    assert len(rows[0][1]) == 1_000_000
    assert not problems


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 0, "the file is empty: its first line should name the columns"),
        ("\n\n", 2, "the file is empty: its first line should name the columns"),
        ("text,label,text\na,b,c\n", 1, "the header names the column 'text' twice"),
        (",\na,b\n", 1, "the header names no column"),
        ("text,label\na,b\n".encode("utf-16-le"), 1, "the header has NUL bytes"),
        (b"t\xe9xt,label\n", 1, "byte 0xe9 is no UTF-8"),
    ],
)
def test_headers_that_are_none(content, line, reason):
    rows, problems = read(content)
    assert not rows
    assert problems[0][0] == line
    assert problems[0][1].startswith(reason)


def test_a_column_without_a_name_is_called_by_its_place():
    lines = Lines(io.BytesIO(b", text ,label\n0,a,b\n"))
    with lines:
        assert [list(columns) for _, columns in chunks(lines, print)] == [["column 1", "text", "label"]]


def test_rows_come_in_parts(monkeypatch):
    monkeypatch.setattr(csv_records, "CHUNK", 100)
    content = "text,label\n" + "".join(f"review {number},x\n" for number in range(100))
    with Lines(io.BytesIO(content.encode())) as lines:
        parts = list(chunks(lines, print))
    assert len(parts) > 10
    assert [line for numbers, _ in parts for line in numbers] == list(range(2, 102))
