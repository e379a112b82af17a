from __future__ import annotations

import pytest

from dlops.data import columns
from dlops.data.columns import Wanted
from dlops.errors import DataError


def choose(names, **wanted):
    return columns.choose(names, Wanted(**wanted), where="reviews.csv")


def text_and_label(names, **wanted):
    roles = choose(names, **wanted)
    return roles.text, roles.label


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
    assert text_and_label(names) == expected


def test_named_columns_are_taken():
    assert text_and_label(["said", "mood", "text"], text="said", label="mood") == ("said", "mood")


def test_a_column_with_another_role_is_not_taken_for_the_text():
    roles = choose(["text", "comment", "label", "author", "day"], text_pair="comment", group="author", keep=("day",))
    assert roles.named() == {
        "text": "text",
        "text_pair": "comment",
        "label": "label",
        "group": "author",
        "keep day": "day",
    }


def test_every_role_is_checked_at_once():
    with pytest.raises(DataError) as caught:
        choose(["text", "label", "id"], text_pair="text", group="grup", split="fold", keep=("id", "x"))
    assert len(caught.value.problems) == 5


def test_what_is_missing_is_told_with_what_there_is():
    with pytest.raises(DataError) as caught:
        choose(["title", "stars"])
    assert "no column has a usual name of a text" in str(caught.value)
    assert "title, stars" in caught.value.hint
    assert "text=title label=stars" in caught.value.hint


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


def test_a_column_that_is_kept_too_can_still_be_the_text():
    found = columns.choose(("review", "sentiment", "src"), Wanted(keep=("src", "review", "sentiment")), where="f")
    assert (found.text, found.label) == ("review", "sentiment")
    assert columns.choose(("review", "comment", "label"), Wanted(keep=("comment",)), where="f").text == "review"


def test_the_example_can_be_pasted_and_names_a_label_that_is_there():
    with pytest.raises(DataError) as caught:
        columns.choose(("premise", "hypo\nthesis", "label"), Wanted(), where="f")
    assert caught.value.hint.endswith("text=premise label=label")
    with pytest.raises(DataError) as caught:
        columns.choose(("hypo\nthesis", "a b"), Wanted(), where="f")
    assert "'text=hypo\nthesis' 'label=a b'" in caught.value.hint


def test_without_labels_none_is_looked_for():
    for names in (["text"], ["text", "label", "class"], ["text", "rating"]):
        roles = choose(names, labelled=False)
        assert (roles.text, roles.label, list(roles.named())) == ("text", "", ["text"])
    roles = choose(["headline", "author", "day"], labelled=False, group="author", keep=("day",))
    assert roles.text == "headline", "what stands alone need not have a usual name"


def test_what_is_told_without_labels_speaks_of_none():
    with pytest.raises(DataError) as caught:
        choose(["a", "b"], labelled=False)
    assert [str(problem).split(" (")[0] for problem in caught.value.problems] == [
        "no column has a usual name of a text"
    ]
    assert caught.value.hint.endswith("Name it, for example: text=a")


def test_where_no_label_is_found_the_hint_says_how_to_do_without():
    with pytest.raises(DataError, match="no column has a usual name of a label") as caught:
        choose(["text"])
    assert caught.value.hint.endswith("target=none.")
    with pytest.raises(DataError) as caught:
        choose(["title", "stars"])
    assert "target=none" not in caught.value.hint
