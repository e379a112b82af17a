from __future__ import annotations

import pytest

from dlops.data import svg
from tests.data.test_page import Page


def test_a_histogram_has_a_bar_for_each_bin_as_tall_as_its_texts():
    seen = Page(svg.histogram([(1, 1, 5), (2, 9, 10), (10, 1200, 0)], "Histogram of words", "Words"))
    heights = [float(bar["height"]) for bar in seen.all("rect")]
    assert heights[0] * 2 == heights[1]
    assert heights[2] == 0
    assert all(float(bar["y"]) + float(bar["height"]) == pytest.approx(heights[1] + 10) for bar in seen.all("rect"))
    assert "1 words: 5 texts" in seen.text
    assert "10 to 1,200 words: 0 texts" in seen.text
    (drawn,) = seen.all("svg")
    assert (drawn["role"], drawn["aria-label"]) == ("img", "Histogram of words")


def test_a_bar_is_as_wide_as_the_page_and_its_pieces_are_the_shares():
    bars = {"train": (40, {"a": 10, "b": 20, "c": 10}), "<test>": (1000, {"b": 3})}
    seen = Page(svg.shares(bars, ["b", "a"], "Share of each class"))
    pieces = [(piece["class"], piece["x"], piece["width"]) for piece in seen.all("rect")]
    assert pieces == [
        ("piece c0", "0.00%", "50.00%"),
        ("piece c1", "50.00%", "25.00%"),
        ("piece cx", "75.00%", "25.00%"),
        ("piece c0", "0.00%", "100.00%"),
    ]
    (drawn,) = seen.all("svg")
    assert drawn["aria-label"] == ("Share of each class. train: b 50.0%, a 25.0%, others 25.0%; <test>: b 100.0%.")
    assert "1,000 rows" in seen.text


def test_a_figure_stands_in_a_piece_that_has_room_for_it():
    seen = Page(svg.shares({"all": (100, {"a": 90, "b": 10})}, ["a", "b"], "Share"))
    assert [attributes.get("class") for attributes in seen.all("text")].count("inside") == 1


def test_parts_without_rows_and_none_at_all():
    assert not Page(svg.shares({"empty": (0, {})}, ["a"], "Share")).all("rect")
    assert not Page(svg.shares({}, [], "Share")).all("rect")


def test_a_long_name_is_cut_and_can_be_read_by_pointing_at_it():
    name = "a name that is far too long for the room there is <here>"
    seen = Page(svg.shares({name: (1, {"a": 1})}, ["a"], "Share"))
    assert f"a name that is far too long for the roo…{name}" in seen.text


def test_the_legend_names_colours_and_counts_the_rest():
    labels = [f"<{place}>" for place in range(12)]
    own = svg.coloured(labels)
    seen = Page(svg.legend(own, len(labels) - len(own)))
    assert [key["class"] for key in seen.all("span")] == [*(f"key c{place}" for place in range(8)), "key cx"]
    assert "<0>" in seen.text
    assert "4 others" in seen.text
