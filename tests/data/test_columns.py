from __future__ import annotations

import pytest

from dlops.data import columns
from dlops.errors import DataError


def choose(names, text=None, label=None):
    return columns.choose(names, text=text, label=label, where="reviews.csv")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["review", "sentiment"], ("review", "sentiment")),
        (["id", "Text", "LABEL"], ("Text", "LABEL")),
        (["text", "content", "label", "rating"], ("text", "label")),
        (["rating", "comment"], ("comment", "rating")),
    ],
)
def test_usual_names_are_recognised(names, expected):
    assert choose(names) == expected


def test_named_columns_are_taken():
    assert choose(["said", "mood", "text"], text="said", label="mood") == ("said", "mood")


def test_what_is_missing_is_told_with_what_there_is():
    with pytest.raises(DataError) as caught:
        choose(["title", "stars"])
    assert "no column has a usual name of a text" in str(caught.value)
    assert "title, stars" in caught.value.hint
    assert "text=COLUMN" in caught.value.hint


def test_a_misspelt_name_is_told_with_the_nearest():
    with pytest.raises(DataError, match="did you mean 'review'"):
        choose(["review", "sentiment"], text="reviwe")


def test_what_is_ambiguous_is_told_for_both_at_once():
    with pytest.raises(DataError) as caught:
        choose(["review", "comment", "class", "rating"])
    assert list(caught.value.problems) == [
        "several columns may hold the text: review, comment",
        "several columns may hold the label: class, rating",
    ]


def test_one_column_cannot_be_both():
    with pytest.raises(DataError, match="both the text and the label"):
        choose(["text"], label="text")
