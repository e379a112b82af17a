from __future__ import annotations

import io
import json

import pytest

from dlops.data import json_records
from dlops.data.json_records import chunks
from dlops.data.text_lines import Lines


def read(content, array=False):
    problems, found = [], []
    content = content if isinstance(content, bytes) else content.encode()
    with Lines(io.BytesIO(content), newline="\n") as lines:
        for numbers, columns in chunks(lines, lambda line, reason, raw: problems.append((line, reason)), array=array):
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            found += zip(numbers, rows, strict=True)
    return found, problems


def test_values_stay_what_they_are_and_lacking_ones_are_none():
    found, problems = read('{"text": "a\\u2028b", "label": ["x", 1.5]}\r\n\n{"label": {"k": true}}\n')
    assert found == [(1, {"text": "a\u2028b", "label": ["x", 1.5]}), (3, {"text": None, "label": {"k": True}})]
    assert not problems


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": ', "no valid JSON: Expecting value"),
        ("[1]", "an object such as {…} should stand here, not a list"),
        ('{"text": "\0"}', "no valid JSON: Invalid control character at"),
        ('{"a": ' + "[" * 100_000, "no valid JSON: nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "no valid JSON: Exceeds the limit (4300 digits) for integer string conversion"),
        ('{"text": "caf\udce9"}', "byte 0xe9 is no UTF-8"),
    ],
)
def test_a_bad_line_is_told_and_the_rest_goes_on(line, reason):
    found, problems = read(f'{{"text": "a"}}\n{line}\n{{"text": "b"}}\n'.encode(errors="surrogateescape"))
    assert [(number, row["text"]) for number, row in found] == [(1, "a"), (3, "b")]
    ((number, told),) = problems
    assert (number, told.startswith(reason)) == (2, True), told


@pytest.mark.parametrize("content", ["", "\n \n"])
@pytest.mark.parametrize("array", [True, False])
def test_an_empty_file(content, array):
    found, ((line, reason),) = read(content, array)
    assert (found, line) == ([], 0)
    assert reason.startswith("the file is empty")


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_with_the_line_of_each_object(indent):
    rows = [{"text": "“a”, [b]", "label": 1}, {"text": "c\nd", "label": [2, {"e": None}]}]
    found, problems = read("\n" + json.dumps(rows, indent=indent, ensure_ascii=False) + "\n\n", array=True)
    assert [row for _, row in found] == rows
    assert [line for line, _ in found] == ([2, 2] if indent is None else [3, 7])
    assert not problems


def test_an_array_longer_than_a_block():
    rows = [{"text": "x" * 700 + str(number), "n": number} for number in range(5000)]
    found, problems = read(json.dumps(rows), array=True)
    assert [row for _, row in found] == rows
    assert not problems


def test_lines_are_no_array_and_an_array_may_be_lines():
    assert len(read('{"a": 1}\n{"a": 2}\n', array=True)[0]) == 2
    assert read('[{"a": 1}]\n', array=False)[1][0][0] == 1


@pytest.mark.parametrize(
    ("content", "rows", "reason"),
    [
        ('[{"a": 1}, 12, "x", {"a": 2}]', 2, "an object such as {…} should stand here, not a int"),
        ('[{"a": 1}, {"a": }, {"a": 2}]', 1, "no valid JSON: Expecting value"),
        ('[{"a": 1}, {"a": 2', 1, "no valid JSON"),
        ('[{"a": 1}', 1, "the array is not closed"),
        ('[{"a": 1} {"a": 2}]', 1, "a comma is missing"),
        ('[{"a": 1}] more', 1, "there is more after the end"),
        ('[{"a": ' + "[" * 100_000, 0, "nested too deeply"),
        ('[{"a": "caf\udce9"}, {"a": 2}]', 1, "byte 0xe9 is no UTF-8"),
        ("[", 0, "no valid JSON"),
    ],
)
def test_a_damaged_array_gives_what_comes_before(content, rows, reason):
    found, problems = read(content.encode(errors="surrogateescape"), array=True)
    assert len(found) == rows
    assert problems[0][1].startswith(reason)


def test_an_error_in_the_middle_does_not_read_the_rest(monkeypatch):
    monkeypatch.setattr(json_records, "LIMIT", 3_000_000)
    content = '[{"a": 1}, {"a" 2},' + '{"a": 3},' * 1_000_000
    _, problems = read(content, array=True)
    assert problems == [(1, "no valid JSON: Expecting ':' delimiter")]


def test_an_object_without_an_end(monkeypatch):
    monkeypatch.setattr(json_records, "LIMIT", 3_000_000)
    _, problems = read('[{"a": "' + "x" * 9_000_000, array=True)
    assert problems == [(1, "an object is longer than 3,000,000 characters, or is not closed")]


def test_an_array_on_a_line_beyond_the_limit(monkeypatch):
    monkeypatch.setattr("dlops.data.text_lines.LIMIT", 10_000)
    rows = [{"text": "x" * 100}] * 1000
    found, problems = read(json.dumps(rows), array=True)
    assert (len(found), problems) == (1000, [])


def test_objects_with_keys_of_their_own_end_it():
    _, problems = read("".join(f'{{"key{number}": 1}}\n' for number in range(2000)))
    assert problems == [(1001, "the objects have more than 1,000 different keys in all")]
