"""`when:` compares numbers as numbers and words as words, and never one as the other."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.project.pipeline import conditions
from dlops.project.pipeline.references import Reference

SIGNS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.sampled_from(sorted(SIGNS)), FINITE)
def test_numbers_are_compared_as_numbers(left, sign, right):
    condition = conditions.parse(f"${{a.metrics.m}} {sign} {right!r}")
    assert condition.holds(lambda _: repr(left)) is SIGNS[sign](left, right)


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("${a.m} == 1.0", "1", True),
        ("${a.m} >= 9", "10", True),
        ("${a.m}>=9", "8", False),
        ("${a.verdict} == passed", "passed", True),
        ("${a.verdict} != 'not passed'", "not passed", False),
        ('${a.verdict} == "passed"', "passed", True),
        ("passed == ${a.verdict}", "failed", False),
        ("${a.verdict} == 1", "one", False),
        ("${a.m} < 1e-3", "nan", False),
    ],
)
def test_what_holds(text, value, holds):
    assert conditions.parse(text).holds(lambda _: value) is holds


def test_both_sides_may_come_from_steps():
    condition = conditions.parse("${a.metrics.f1} > ${b.metrics.f1}")
    assert condition.references == [Reference("a", "f1", metric=True), Reference("b", "f1", metric=True)]
    values = {"a": "0.9", "b": "0.8"}
    assert condition.holds(lambda reference: values[reference.step])
    assert condition.told(lambda reference: values[reference.step]) == "0.9 > 0.8"


def test_words_have_no_size():
    with pytest.raises(ValueError, match=r"compares 'b' with 'a', which are not both numbers"):
        conditions.parse("${a.x} > a").holds(lambda _: "b")


@pytest.mark.parametrize("text", ["", "${a.x}", "${a.x} >=", ">= 1", "${a.x} = 1", "${a.x} => 1"])
def test_what_compares_nothing_is_said(text):
    with pytest.raises(ValueError, match="compares nothing"):
        conditions.parse(text)


def test_a_condition_depends_on_a_step():
    with pytest.raises(ValueError, match="does not depend on any step"):
        conditions.parse("1 < 2")
    with pytest.raises(ValueError, match="is no reference"):
        conditions.parse("${nothing} < 2")
