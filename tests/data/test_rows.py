"""Rows on their way know where they stood."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.data import rows
from dlops.data.rows import Chunk, Reject


def test_what_was_read_does_not_change_on_its_way():
    chunk, reject = Chunk("a.csv", [2], {"text": ["a"]}), Reject("a.csv", 3, "ragged")
    assert (chunk.position, reject.raw) == (0, "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        chunk.file = "b.csv"
    with pytest.raises(dataclasses.FrozenInstanceError):
        reject.line = 4


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_texts_stay_in_arrow(kind):
    values = rows.values(pa.array(["a", None, "é"]).cast(kind))
    assert isinstance(values, pa.StringArray)
    assert values.to_pylist() == ["a", None, "é"]


@pytest.mark.parametrize(
    "column", [pa.array([1, None]), pa.array([["a"], []]), pa.array([1, 2]).dictionary_encode(), pa.array([b"a"])]
)
def test_all_else_becomes_python_values(column):
    assert rows.values(column) == column.to_pylist()


def test_a_text_that_is_no_utf8_is_refused():
    with pytest.raises(pa.ArrowInvalid):
        rows.values(pa.array([b"caf\xe9"]).view(pa.string()))


@given(st.lists(st.sampled_from(["a", "b", "", None])), st.integers(0, 3))
def test_different_values_and_their_places(texts, start):
    array = pa.array(texts, pa.string()).slice(start)
    for found in (array, texts[start:]):
        places, different = rows.distinct(found)
        assert np.array(different, object)[places].tolist() == texts[start:]
        assert different == list(dict.fromkeys(texts[start:]))


def test_values_that_are_equal_but_not_the_same_are_told_apart():
    found = [1, True, "1", 1.0, [1], [True], {"a": 1}, {"a": 1.0}, 1, [1], None]
    places, different = rows.distinct(found)
    assert places.tolist() == [*range(8), 0, 4, 8]
    assert list(map(repr, different)) == list(map(repr, [*found[:8], None]))
