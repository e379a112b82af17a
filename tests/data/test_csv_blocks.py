"""Whatever stands in a file and wherever its blocks end: the rows and problems of the slow reader, only sooner."""

from __future__ import annotations

import gzip
import io
import zlib

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlops.data import csv_blocks, csv_records
from dlops.data.text_lines import Lines
from tests.data import ugly


class Breaking(io.RawIOBase):
    """A stream that gives some bytes, then an error."""

    def __init__(self, content, error):
        self._content, self._error = io.BytesIO(content), error

    def readable(self):
        return True

    def readinto(self, room):
        count = self._content.readinto(room)
        if not count:
            raise self._error
        return count


def read(stream, encoding="utf-8", delimiter=",", block=64):
    """Give rows with their lines, what was wrong with the others, and the kinds of column they came in."""
    problems, rows, kinds = [], [], []
    parts = csv_blocks.chunks(stream, encoding, lambda *said: problems.append(said), delimiter=delimiter, block=block)
    for numbers, columns in parts:
        kinds.append({type(values) for values in columns.values()})
        rows += zip(numbers, *ugly.plain(columns).values(), strict=True)
    return rows, problems, kinds


def slowly(stream, encoding="utf-8", delimiter=","):
    """Give the rows and problems of the reader of records."""
    problems, rows = [], []
    with Lines(stream, encoding) as lines:
        for numbers, columns in csv_records.chunks(lines, lambda *said: problems.append(said), delimiter=delimiter):
            rows += zip(numbers, *columns.values(), strict=True)
    return rows, problems


def check(content, block=64, encoding="utf-8", delimiter=","):
    found = read(io.BytesIO(content), encoding, delimiter, block)[:2]
    assert found == slowly(io.BytesIO(content), encoding, delimiter)
    return found


BOM = b"\xef\xbb\xbf"
PIECES = st.sampled_from(
    [
        *(b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"a", b"bc", b" ", b"\t", "é".encode(), b"\xe9", BOM),
        *(b"a,b\n", b"a,b\r\n", b'"a",b\n', b'"a,\n""b""",c\n', b"a,b,c\n", b"\n\n", b"\r\n\r\n", b",\n", b'"",""\n'),
        *(b'"' + b"long " * 9 + b'",x\n', b"long" * 11, b"NA,null\n", b"1,2.0\n"),
    ]
)
HEADERS = st.sampled_from(
    [*[b"text,label\n"] * 6, b"text,label\r\n", BOM + b"text,label\n", b'"te\nxt",b\n', b"a\n", b""]
)
CONTENTS = st.builds(lambda header, pieces: header + b"".join(pieces), HEADERS, st.lists(PIECES, max_size=40))


@given(CONTENTS, st.one_of(st.integers(16, 80), st.integers(16, 4096)))
@settings(max_examples=300, deadline=None)
def test_rows_lines_and_problems_are_those_of_the_slow_reader(content, block):
    check(content, block)


@given(CONTENTS, st.sampled_from([zlib.error("invalid distance"), EOFError("cut off"), OSError(5, "broken disk")]))
@settings(max_examples=100, deadline=None)
@example(b"text,label\n" + b"a,b\n" * 50, EOFError("between two rows"))
@example(b"text,label\n" + b"a,b\n" * 50 + b"c", EOFError("in a row"))
def test_a_stream_that_breaks_gives_what_came_before(content, error):
    if content:
        assert read(Breaking(content, error))[:2] == slowly(Breaking(content, error))


def test_a_stream_that_breaks_at_once():
    assert read(Breaking(b"", zlib.error("no stream"))) == ([], [(0, "no stream", "")], [])


SOUND = {
    "quoted line breaks": b'text,label\n"one\ntwo\n\nthree",x\nlast,y\n' * 4,
    "doubled quotes": b'text,label\n"a ""good"" one",x\n"""",y\n"""a""",""\n',
    "windows": b'text,label\r\n"one\r\ntwo",x\r\n\r\nlast,y\r\n',
    "without a last line end": b"text,label\na,b\nc,d",
    "a quote at the end": b'text,label\na,b\nc,"d"',
    "blank lines": b"\n\ntext,label\n\n\na,b\n\n\n\nc,d\n\n",
    "a mark": BOM + b"text,label\na,b\n",
    "words that are numbers or null elsewhere": b"text,label\nNA,1\nnull,2.50\n,true\n",
    "letters of several bytes": "text,label\né,ü\n😀,ﬁ\n".encode() * 9,
}


@pytest.mark.parametrize("content", SOUND.values(), ids=SOUND)
@pytest.mark.parametrize("block", [csv_blocks.BLOCK, 64])
def test_a_sound_file_comes_in_arrow_texts(content, block):
    rows, problems, kinds = read(io.BytesIO(content), block=block)
    assert (rows, problems) == slowly(io.BytesIO(content))
    assert kinds
    assert all(kind == {pa.StringArray} for kind in kinds)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"", "utf-8"),
        (b"\n\n", "utf-8"),
        (b"text,label\n", "utf-8"),
        (b"text,label", "utf-8"),
        (b"text,text\na,b\n", "utf-8"),
        (b"te\xe9t,label\na,b\n", "utf-8"),
        (b"text,label\ra,b\rc,d\r", "utf-8"),
        (b'text,label\n"open,x\nplain,y\n', "utf-8"),
        (b"text,label\n" + b"word " * 100 + b",x\nlast,y\n", "utf-8"),
        ("text,label\ncafé,x\n".encode("latin-1") * 20, "utf-8"),
        ("text,label\ncafé,x\n".encode("latin-1") * 20, "latin-1"),
        ("text,label\ncafé,x\n".encode("utf-16"), "utf-8"),
        ("text,label\ncafé,x\n".encode("utf-16")[:-1], "utf-8"),
        ("text,label\ncafé,x\n".encode(), "utf-8-sig"),
        (b"text,label\na,b\n" + BOM + b"c,d\n" * 20, "utf-8"),
    ],
)
def test_what_else_files_hold(content, encoding):
    for block in (16, 18, 64, csv_blocks.BLOCK):
        check(content, block, encoding)


@pytest.mark.parametrize("delimiter", ["", ";", "\t", "|"])
def test_delimiters(delimiter):
    content = b"text,label\n" + b'"a, b; c | d\te",x\n' * 20
    rows, _ = check(content.replace(b'",', b'"' + (delimiter or ",").encode()), 200, delimiter=delimiter)
    assert rows or delimiter


ROW = b'"a good, long row",x\n'


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        (b"ragged\n", "1 field, where the header names 2 columns"),
        (b"a,b,c\n", "3 fields, where the header names 2 columns"),
        (b"n\0l,x\n", "a NUL byte"),
        (b"caf\xe9,x\n", "byte 0xe9 is no UTF-8"),
        (b'"a"b,x\n', "a quote inside a quoted field must be written twice"),
    ],
)
def test_the_slow_reader_goes_on_from_the_block_with_a_flaw(flaw, reason):
    block = 10 * len(ROW)
    content = b"text,label\n" + ROW * 25 + flaw + ROW * 25
    rows, ((line, told, _),), kinds = read(io.BytesIO(content), block=block)
    assert (line, told[: len(reason)]) == (27, reason)
    assert [row[0] for row in rows] == [*range(2, 27), *range(28, 53)]
    assert kinds == [{pa.StringArray}] * 2 + [{list}]
    check(content, block)


def test_a_quote_that_is_never_closed_takes_no_row_before_it():
    content = b"text,label\n" + ROW * 25 + b'"open,x\n'
    rows, problems = check(content, 10 * len(ROW))
    assert len(rows) == 25
    assert problems[0][:2] == (27, "a quote is opened and never closed")


def test_a_packed_stream_that_is_cut_off():
    content = b"text,label\n" + b"".join(b"review %d,x\n" % number**5 for number in range(5_000))
    packed = gzip.compress(content, mtime=0)[:-2_000]
    rows, ((line, reason, _),), kinds = read(pa.CompressedInputStream(io.BytesIO(packed), "gzip"), block=4096)
    assert "Truncated" in reason
    assert line == rows[-1][0] + 1
    assert len(rows) > 1_000
    assert {pa.StringArray} in kinds
