from __future__ import annotations

import io

import pytest

from dlops.data import text_lines
from dlops.data.text_lines import Lines, TooLongError, check_encoding, misread
from dlops.errors import UsageError


def lines(content, encoding="utf-8", **options):
    opened = Lines(io.BytesIO(content), encoding, **options)
    opened.begin()
    return opened


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides(encoding):
    assert list(lines("é\nb".encode(encoding), "latin-1" if encoding != "utf-8" else "utf-8")) == ["é\n", "b"]


def test_without_a_mark_the_named_encoding_holds():
    assert list(lines("é\n".encode("cp1252"), "cp1252")) == ["é\n"]


def test_every_kind_of_line_end_and_only_one_of_them():
    assert list(lines(b"a\r\nb\rc\nd")) == ["a\r\n", "b\r", "c\n", "d"]
    assert list(lines(b"a\r\nb\rc\nd", newline="\n")) == ["a\r\n", "b\rc\n", "d"]


def test_bytes_that_are_no_text_are_found_where_they_stand():
    found = list(lines(b"fine\ncaf\xe9\n"))
    assert misread(found[0], "utf-8") == ""
    assert misread(found[1], "utf-8").startswith("byte 0xe9 is no UTF-8")
    assert misread("naïve", "utf-8") == ""


def test_lines_are_given_once_more():
    opened = lines(b"a\nb\nc\nd\n")
    assert [next(opened), next(opened), next(opened)] == ["a\n", "b\n", "c\n"]
    opened.rewind(1)
    assert opened.number == 1
    assert list(opened) == ["b\n", "c\n", "d\n"]
    assert opened.number == 4


def test_a_block_begins_with_what_was_taken_back():
    opened = lines(b"a\nb\nc\n")
    next(opened)
    opened.rewind(0)
    assert (opened.block(), opened.block(), opened.block()) == ("a\n", "b\nc\n", "")


@pytest.mark.parametrize("content", [b"x" * 5000 + b"\nnext\n", b"x\n" * 501 + b"next\n"])
def test_a_record_that_is_too_long_is_left_behind(monkeypatch, content):
    monkeypatch.setattr(text_lines, "LIMIT", 1000)
    opened = lines(content)
    with pytest.raises(TooLongError):
        list(opened)
    opened.begin()
    assert list(opened)[-1] == "next\n"


@pytest.mark.parametrize("name", ["utf-9", "rot13", "hex", "", "a\0b"])
def test_an_encoding_that_is_none(name):
    with pytest.raises(UsageError, match="no such encoding"):
        check_encoding(name)
