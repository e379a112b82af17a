"""Lengths, labels and slices are counted as a plain loop would count them."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.data import distributions
from dlops.data.distributions import Distributions, Lengths

TEXTS = st.lists(st.text(st.sampled_from("ab é \t\n"), max_size=12), max_size=20)


@given(TEXTS, st.integers(0, 5))
@settings(deadline=None)
def test_words_are_what_stands_between_blanks(texts, skipped):
    array = pa.array(texts, pa.string())[min(skipped, len(texts)) :]
    expected = [len(text.split()) for text in texts[min(skipped, len(texts)) :]]
    assert distributions.words(array).tolist() == expected
    assert distributions.words(pa.chunked_array([array, array])).tolist() == expected * 2


def test_lengths_in_any_number_of_parts():
    whole, parts = Lengths(), Lengths()
    texts = [" ".join(["w"] * count) for count in (1, 5, 5, 100, 1737)]
    whole.add(pa.array(texts))
    for text in texts:
        parts.add(pa.array([text]))
    assert whole.as_dict() == parts.as_dict()
    assert (whole.texts, whole.shortest, whole.longest, whole.quantile(0.5)) == (5, 1, 1737, 5)
    assert (whole.beyond(5), whole.beyond(4)) == (2, 4)
    assert sum(texts for _, _, texts in whole.histogram()) == 5


def test_nothing_has_no_lengths():
    assert (Lengths().shortest, Lengths().quantile(0.5), Lengths().histogram()) == (0, 0, [])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["x", "y", "x"], {"p": {"x": 2}, "q": {"y": 1}}),
        ([["x", "y"], [], ["y"]], {"p": {"x": 1, "y": 2}, "q": {}}),
    ],
)
def test_slices_count_labels(labels, expected):
    kind = pa.list_(pa.string()) if isinstance(labels[0], list) else pa.string()
    found = Distributions(slice_by=("by",))
    table = {"text": ["a", "b", "c"], "label": pa.array(labels, kind), "split": ["train"] * 3, "by": ["p", "q", "p"]}
    found.add(pa.table(table))
    assert dict(found.slices["by"].rows) == {"p": 2, "q": 1}
    assert {value: dict(found.slices["by"].labels[value]) for value in ("p", "q")} == expected
    assert found.slices["by"].largest(1) == ["p"]
    assert Counter(found.as_dict()["rows_by_split"]) == {"train": 3}
