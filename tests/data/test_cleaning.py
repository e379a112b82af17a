from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dlops.data.cleaning import clean
from dlops.data.sources import Row


def rows(*pairs):
    return [Row(line, text, label) for line, (text, label) in enumerate(pairs, start=1)]


def test_empty_rows_and_repeats_go_and_are_counted():
    cleaned = clean(rows(("a", "x"), (" \n", "x"), ("b", ""), ("a", "x"), ("a", "y"), ("b", "y")))
    assert cleaned.labels == {"a": "x", "b": "y"}
    assert (cleaned.rows_in, cleaned.empty, cleaned.duplicates, cleaned.conflicting) == (6, 2, 2, 1)


def test_texts_stay_as_they_are():
    assert list(clean(rows((" a ", "x"), ("a", "x"))).labels) == [" a ", "a"]


@given(st.lists(st.tuples(st.sampled_from(["", " ", "a", "b", "c"]), st.sampled_from(["", "x", "y"]))))
def test_every_row_is_accounted_for(pairs):
    cleaned = clean(rows(*pairs))
    assert cleaned.rows_in == len(cleaned.labels) + cleaned.empty + cleaned.duplicates
    assert cleaned.conflicting <= cleaned.duplicates
