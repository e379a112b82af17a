"""Three spellings, one meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.config import overrides
from dlops.errors import UsageError

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)


@given(NAMES, st.text())
def test_three_spellings_of_any_value(name, value):
    option = f"--{name.replace('_', '-')}"
    assert overrides.parse([f"{name}={value}"]) == {name: value}
    assert overrides.parse([f"{option}={value}"]) == {name: value}
    if not value.startswith("--"):
        assert overrides.parse([option, value]) == {name: value}


@given(st.dictionaries(NAMES, st.text()))
def test_as_many_as_there_are(values):
    assert overrides.parse([f"{name}={value}" for name, value in values.items()]) == values


def test_split_at_the_first_equals():
    assert overrides.parse(["query=a=b=c"]) == {"query": "a=b=c"}


def test_a_negative_number_is_a_value():
    assert overrides.parse(["--offset", "-1"]) == {"offset": "-1"}


def test_dashes_inside_a_value_stay():
    assert overrides.parse(["--model-name=a-b--c"]) == {"model_name": "a-b--c"}


def test_every_problem_at_once():
    with pytest.raises(UsageError) as caught:
        overrides.parse(["reviews.csv", "--epochs", "--lr", "1", "lr=2", "-x", "=3", "--last"])
    text = str(caught.value)
    for piece in ("'reviews.csv'", "--epochs needs a value", "'lr' is given twice", "'-x'", "'=3'", "--last needs"):
        assert piece in text
    assert len(caught.value.problems) == 6


def test_nothing_is_nothing():
    assert overrides.parse([]) == {}
