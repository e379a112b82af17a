"""Bytes of texts, wherever in an array they lie, are those that Python would give one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dlops.data import raw_bytes, splits

TEXTS = st.lists(st.none() | st.text(max_size=6) | st.sampled_from(["", "é" * 40, "\0"]), max_size=12)
KINDS = st.sampled_from([pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])


@st.composite
def arrays(draw, kinds=KINDS):
    """Give an array, or a part of one, with what it holds as bytes."""
    texts = [text if text is None else text.encode() for text in draw(TEXTS)]
    start = draw(st.integers(0, len(texts)))
    length = draw(st.integers(0, len(texts) - start))
    array = pa.array(texts, pa.binary()).cast(draw(kinds)).slice(start, length)
    return array, [text or b"" for text in texts[start : start + length]]


@given(arrays())
def test_bytes_and_bounds(drawn):
    array, texts = drawn
    data, bounds = raw_bytes.of(array)
    assert data.tobytes() == b"".join(texts)
    assert [data[start:end].tobytes() for start, end in pairwise(bounds.tolist())] == texts


@given(arrays())
def test_texts_are_made_of_them_again(drawn):
    array, texts = drawn
    made = raw_bytes.texts(*raw_bytes.of(array))
    made.validate(full=True)
    assert made.type == pa.string()
    assert [text.encode() for text in made.to_pylist()] == texts


def test_nothing_is_copied():
    array = pa.array(["a", "b" * 100, "c"]).slice(1)
    assert raw_bytes.of(array)[0].ctypes.data == array.buffers()[2].address + 1


def test_arrays_without_any_memory():
    for kind in (pa.string(), pa.large_string()):
        for array in (pa.array([], kind), pa.nulls(0, kind), pa.nulls(3, kind)):
            data, bounds = raw_bytes.of(array)
            assert (len(data), bounds.tolist()) == (0, [0] * (len(array) + 1))
    assert len(raw_bytes.hashes(pa.array([], pa.string()))) == 0


@given(arrays(), st.integers(0, 2**32 - 1))
def test_hashes_are_those_of_xxhash(drawn, seed):
    array, texts = drawn
    expected = [int.from_bytes(xxhash.xxh3_64_digest(text, seed=seed), "big") for text in texts]
    assert raw_bytes.hashes(array, seed=seed).tolist() == expected


@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**64 - 1]), max_size=8))
def test_numbers_are_written_with_sixteen_digits(numbers):
    written = raw_bytes.hexadecimal(np.array(numbers, np.uint64))
    assert written.to_pylist() == [f"{number:016x}" for number in numbers]


def test_a_hash_is_written_as_the_rows_identity():
    texts = pa.array(["größe", ""])
    assert raw_bytes.hexadecimal(raw_bytes.hashes(texts)).to_pylist() == [splits.identity("größe"), splits.identity("")]


@given(st.lists(st.lists(st.booleans(), max_size=40), max_size=12))
def test_marks_are_counted_text_by_text(texts):
    marked = np.array([mark for text in texts for mark in text], bool)
    bounds = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    assert raw_bytes.count(np.packbits(marked), bounds).tolist() == [sum(text) for text in texts]
