"""Labels of every kind have one canonical text, and what is none is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.data import labels
from dlops.data.labels import Labels
from dlops.errors import UsageError
from tests.data import ugly


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("classes", " pos ", "pos"),
        ("classes", 1.0, "1"),
        ("classes", 1, "1"),
        ("classes", True, "true"),
        ("classes", 0.5, "0.5"),
        ("classes", "", None),
        ("classes", None, None),
        ("classes", float("nan"), None),
        ("multilabel", ["b", "a", "b"], '["a", "b"]'),
        ("multilabel", "b; a", '["a", "b"]'),
        ("multilabel", '["b", 1]', '["1", "b"]'),
        ("multilabel", [], "[]"),
        ("multilabel", "", "[]"),
        ("number", "4", "4.0"),
        ("number", -0.0, "0.0"),
        ("number", " ", None),
        ("number", float("nan"), None),
    ],
)
def test_canonical(kind, value, text):
    assert Labels(kind=kind, separator=";").canonical(value) == text


@pytest.mark.parametrize(("kind", "value", "said"), ugly.LABELS)
def test_what_is_no_label_is_told(kind, value, said):
    with pytest.raises(ValueError, match=said):
        Labels(kind=kind).canonical(value)


def test_classes_are_renamed():
    renamed = labels.reader("auto", "0", ",", ("0=negative", "1=positive"))
    assert [renamed.canonical(value) for value in ("0", 1.0, "2")] == ["negative", "positive", "2"]
    several = labels.reader("auto", ["0"], ",", ("0=negative",))
    assert several.canonical(["0", "2"]) == '["2", "negative"]'


@pytest.mark.parametrize("entry", ["a", "=b", "a="])
def test_a_renaming_needs_both_names(entry):
    with pytest.raises(UsageError, match="label_map"):
        labels.reader("classes", None, ",", (entry,))


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name == name.strip())))
def test_several_classes_in_any_order_are_one_text(names):
    read = Labels(kind="multilabel")
    text = read.canonical(names)
    assert text == read.canonical(names[::-1])
    assert set(json.loads(text)) == set(names)
