"""Every value has one text: checked, canonical, the same however it was written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.config.parameters import TYPES, Parameter, known_type, suggestion

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def of(kind, **limits):
    return Parameter(name="p", type=kind, **limits)


@pytest.mark.parametrize(
    ("kind", "written", "text"),
    [
        *[("int", written, "5") for written in ("5", " 5 ", "+5", "05", 5)],
        *[("int", written, "1000") for written in ("1_000", "1000")],
        *[("float", written, "0.001") for written in ("1e-3", "0.001", ".001", "1E-3", 0.001)],
        *[("float", written, "1000") for written in ("1000", "1_000", "+1000", 1000)],
        *[("float", written, "2e-05") for written in ("2e-5", "0.00002", 2e-5)],
        *[("bool", written, "true") for written in ("true", "True", "YES", "on", "1", True, 1)],
        *[("bool", written, "false") for written in ("false", "off", "No", "0", False, 0)],
        *[("str", written, written) for written in ("", " a ", "a'b\"c", "x\ny", "ünïcödé 🙂", "[red]")],
        ("uri", "s3://bucket/key", "s3://bucket/key"),
        ("uri", "models:/m/3", "models:/m/3"),
        *[("list[int]", written, "1,2,3") for written in ("1,2,3", "1, 2,3 ", "[1, 2, 3]", [1, "2", 3], (1, 2, 3))],
        ("list[float]", "[1e-3, .5]", "0.001,0.5"),
        ("list[str]", "[yes, 1.10, 007, null]", "yes,1.10,007,null"),
        ("list[str]", ["a,b", "c"], '["a,b", "c"]'),
        ("list[str]", [" a"], '[" a"]'),
        ("list[str]", ["[a"], '["[a"]'),
        ("list[str]", [], ""),
    ],
)
def test_one_text_for_each_value(kind, written, text):
    assert of(kind).canonical(written) == text


@pytest.mark.parametrize(
    ("kind", "written", "why"),
    [
        *[("int", written, "whole number") for written in ("1.0", "1e3", "x", "--1", "0x10", True, 2.0)],
        *[("float", written, "number") for written in ("x", "1,5", "--5", "0x1p3", True)],
        *[("float", written, "finite") for written in ("nan", "inf", "-Infinity", "1e400")],
        *[("bool", written, "true or false") for written in ("2", "y", "tru", 1.5)],
        ("uri", "file.csv", "URI"),
        ("uri", "s3:", "URI"),
        ("int", [1], "not a list"),
        ("str", {"a": 1}, "not a mapping"),
        ("list[int]", "1,,2", "whole number"),
        ("list[int]", "[1, [2]]", "not a list"),
        ("list[str]", "[a", "takes a list"),
        ("str", "a\0b", "null character"),
        ("str", "caf\udce9", "no UTF-8"),
        ("path", "", "needs a value"),
        ("int", None, "needs a value"),
    ],
)
def test_what_is_not_of_the_type_says_why(kind, written, why):
    with pytest.raises(ValueError, match=why):
        of(kind).canonical(written)


@given(st.sampled_from(TYPES), TEXT)
def test_canonical_is_idempotent(kind, written):
    parameter = of(kind, default="")
    try:
        text = parameter.canonical(written)
    except ValueError:
        return
    assert parameter.canonical(text) == text


@given(st.lists(TEXT))
def test_a_list_of_any_texts_comes_back(items):
    parameter = of("list[str]", default="")
    text = parameter.canonical(items)
    assert parameter.canonical(text) == text
    assert parameter.value(text) == tuple(items)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(number):
    text = of("float").canonical(number)
    assert float(text) == number
    assert of("float").canonical(text) == text


@given(st.integers())
def test_a_whole_number_stays_whole(number):
    for kind in ("int", "float"):
        assert of(kind).canonical(str(number)) == str(number) or abs(number) > 1e308


def test_limits_hold_at_their_ends_and_say_what_was_given():
    parameter = of("int", minimum=1, maximum=2**32 - 1)
    assert parameter.canonical("1") == "1"
    assert parameter.canonical(2**32 - 1) == "4294967295"
    with pytest.raises(ValueError, match="at least 1, not 0"):
        parameter.canonical("0")
    with pytest.raises(ValueError, match="at most 4294967295, not 1000"):
        parameter.canonical("1" + "0" * 400)
    with pytest.raises(ValueError, match="at most 1, not 2"):
        of("list[float]", maximum=1).canonical("0.5,2")


def test_choices_of_a_value_and_of_each_item():
    assert of("str", choices=("freeze", "no_freeze")).canonical("freeze") == "freeze"
    with pytest.raises(ValueError, match="did you mean 'freeze'"):
        of("str", choices=("freeze", "no_freeze")).canonical("frieze")
    with pytest.raises(ValueError, match="'d' is not one of a, b"):
        of("list[str]", choices=("a", "b")).canonical("a,d")


def test_an_optional_may_be_left_empty():
    assert of("int", default="").canonical("") == ""
    assert of("int", default="").value("") is None
    assert of("list[int]", default="").value("") == ()
    with pytest.raises(ValueError, match="needs a value"):
        of("int", default="3").canonical("")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "3", 3),
        ("float", "3", 3.0),
        ("bool", "true", True),
        ("bool", "false", False),
        ("str", "3", "3"),
        ("list[float]", "0.7,0.1", (0.7, 0.1)),
        ("list[str]", '["a,b"]', ("a,b",)),
    ],
)
def test_python_values(kind, text, value):
    found = of(kind).value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("stated", "ours"),
    [("string", "str"), ("Float", "float"), ("integer", "int"), ("path", "path"), ("dataframe", "str"), (None, "str")],
)
def test_a_strangers_type_is_a_text(stated, ours):
    assert known_type(stated) == ours


def test_suggestion_is_near_or_nothing():
    assert suggestion("epchs", ["epochs", "strategy"]) == "; did you mean 'epochs'?"
    assert suggestion("zzz", ["epochs"]) == ""
    assert suggestion("x", []) == ""


def test_infinity_is_no_default():
    with pytest.raises(ValueError, match="finite"):
        of("float").canonical(math.inf)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("{a: {uniform: [1e-5, 1]}}", '{"a": {"uniform": ["1e-5", "1"]}}'),
        ('{"a": [1.10, true, "x"]}', '{"a": ["1.10", "true", "x"]}'),
        ({"a": [0.5, True, 3]}, '{"a": ["0.5", "true", "3"]}'),
    ],
)
def test_a_structure_is_json_with_every_leaf_as_it_was_written(written, canonical):
    space = Parameter(name="space", type="space", default="{}")
    assert space.canonical(written) == canonical
    assert space.canonical(canonical) == canonical


@pytest.mark.parametrize(
    ("written", "problem"),
    [("[", "takes YAML or JSON"), ("[" * 3000, "nested too deep"), ({"a": [None]}, "a value that is empty")],
)
def test_what_is_no_structure_is_refused(written, problem):
    with pytest.raises(ValueError, match=problem):
        Parameter(name="space", type="space", default="{}").canonical(written)
