"""Parts of the rows: which there are, what each is worth, which is the worst."""

from __future__ import annotations

import numpy as np
import pytest

from dlops.ml import slices
from dlops.ml.datasets import Split
from dlops.ml.evaluation import Classification, Regression


def judged(right):
    actual = np.arange(len(right)) % 2
    places = np.where(right, actual, 1 - actual)
    return Classification(("a", "b"), actual, np.eye(2)[places] * 0.8 + 0.1, 0.5)


def split(texts, **columns):
    return Split(texts, ["a"] * len(texts), None, columns)


def test_a_column_with_a_bad_part():
    author = ["ann"] * 100 + ["bob"] * 60 + [None] * 5
    right = np.array([True] * 90 + [False] * 10 + [True] * 30 + [False] * 30 + [False] * 5)
    found = slices.of(judged(right), split(["text"] * 165, author=author), ["author"], split(["text"]))
    assert [(part.value, part.judged.rows) for part in found.parts] == [("(none)", 5), ("ann", 100), ("bob", 60)]
    assert [part.judged.value for part in found.parts] == pytest.approx([0.0, 0.9, 0.5])
    assert found.worst("accuracy").name == "author = bob", "five rows say too little"
    assert found.gaps["accuracy"] == pytest.approx(0.4)
    assert found.figures()["worst_slice.accuracy"] == pytest.approx(0.5)
    assert found.figures()["gap.macro_f1"] == pytest.approx(0.4, abs=0.01)


def test_the_worst_calibration_is_the_highest():
    actual, predicted = np.zeros(80), np.r_[np.full(40, 1.0), np.full(40, 3.0)]
    site = ["x"] * 40 + ["y"] * 40
    found = slices.of(Regression(actual, predicted, 1.0), split(["t"] * 80, site=site), ["site"], split(["t"]))
    assert found.worst("rmse").value == "y"


def test_lengths_languages_and_rare_words():
    english, german = "this film was a great pleasure to watch", "dieser Film war leider eine große Enttäuschung"
    texts = [f"{english} {'very ' * (place % 40)}" for place in range(80)] + [german] * 40
    right = np.r_[np.full(80, True), np.full(40, False)]
    found = slices.of(judged(right), split(texts), slices.BUILT_IN, split([english, "very"]))
    named = {part.name: part for part in found.parts}
    assert named["language = en"].judged.rows == 80
    assert named["language = de"].judged.value == 0.0
    lengths = [part for part in found.parts if part.column == "length"]
    assert sum(part.judged.rows for part in lengths) == 120
    assert len(lengths) == 4
    begins = [int(part.value.split()[0]) for part in lengths]
    assert begins == sorted(begins)
    rare = {part.value: part.judged for part in found.parts if part.column == "rare_words"}
    assert rare["0 to 0 % unseen words"].rows == 80
    assert min(rare.values(), key=lambda one: one.value).value == 0.0


def test_many_numbers_are_told_apart_by_quarters_and_many_names_by_the_frequent_ones():
    year = [1900 + place for place in range(100)]
    found = slices.of(judged(np.full(100, True)), split(["t"] * 100, year=year), ["year"], split(["t"]))
    assert [part.value for part in found.parts] == ["1900 to 1924", "1925 to 1949", "1950 to 1974", "1975 to 1999"]
    names = [f"n{place % 50}" for place in range(100)]
    found = slices.of(judged(np.full(100, True)), split(["t"] * 100, who=names), ["who"], split(["t"]))
    assert len(found.parts) == 21
    assert sum(part.judged.rows for part in found.parts) == 100
    assert {part.value: part.judged.rows for part in found.parts}["(others)"] == 60


def test_values_of_any_kind_are_names():
    versions = ["1.2.3", "10.0.0.1", "2024.01.02"] * 10
    found = slices.of(judged(np.full(30, True)), split(["t"] * 30, version=versions), ["version"], split(["t"]))
    assert {part.value for part in found.parts} == set(versions)
    lists = [["a"], ["a", "b"]] * 15
    found = slices.of(judged(np.full(30, True)), split(["t"] * 30, kinds=lists), ["kinds"], split(["t"]))
    assert len(found.parts) == 2


def test_what_tells_no_rows_apart_is_told():
    found = slices.of(judged(np.full(30, True)), split(["t"] * 30, site=["x"] * 30), ["site"], split(["t"]))
    assert found.alike == ("slice_by=site tells no rows apart: all are x",)
    assert found.parts == ()
    assert found.figures() == {}
    assert found.worst("accuracy") is None
