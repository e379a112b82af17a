"""Each line of a plain file is a text, and one that is none costs no other."""

from __future__ import annotations

import io

import pytest

from dlops.data import plain_texts, text_lines
from dlops.data.text_lines import Lines


def read(content, encoding="utf-8"):
    found, problems = [], []
    with Lines(io.BytesIO(content), encoding, newline="\n") as lines:
        chunks = list(plain_texts.chunks(lines, lambda *problem: problems.append(problem)))
    for numbers, columns in chunks:
        assert list(columns) == ["text"]
        found += zip(numbers, columns["text"], strict=True)
    return chunks, found, problems


def test_a_line_is_a_text_and_a_blank_one_is_none():
    _, found, problems = read("one, two\r\n\n \t\n  “three”\nfour".encode())
    assert found == [(1, "one, two"), (4, "  “three”"), (5, "four")]
    assert not problems


def test_lines_that_are_no_texts_are_told_and_the_others_stay():
    _, found, problems = read(b"fine\ncaf\xe9\na\0b\ngood\n")
    assert found == [(1, "fine"), (4, "good")]
    assert [(line, raw) for line, _, raw in problems] == [(2, "caf\udce9"), (3, "a\0b")]
    assert "byte 0xe9 is no UTF-8" in problems[0][1]
    assert "NUL" in problems[1][1]


def test_a_line_that_is_too_long_is_left_behind(monkeypatch):
    monkeypatch.setattr(text_lines, "LIMIT", 1000)
    _, found, problems = read(b"a\n" + b"x" * 5000 + b"\nb\n")
    assert [text for _, text in found] == ["a", "b"]
    assert problems[0][0] == 2
    assert "longer than" in problems[0][1]


def test_what_is_cut_off_is_told_after_what_could_be_read():
    _, found, problems = read("one\ntwo\n".encode("utf-16")[:-1])
    assert found == [] or found[0] == (1, "one")
    assert len(problems) == 1


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_file_without_a_text_has_no_rows(content):
    assert read(content) == ([], [], [])


def test_many_lines_come_in_parts():
    chunks, found, _ = read(b"".join(b"text number %d\n" % number for number in range(45_000)))
    assert len(chunks) > 2
    assert found[-1] == (45_000, "text number 44999")
