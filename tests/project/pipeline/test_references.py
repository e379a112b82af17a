"""What is a reference in a text, and what is only one that is written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.project.pipeline import references
from dlops.project.pipeline.references import Reference

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_\-]{0,8}", fullmatch=True)
MADE = st.builds(Reference, NAMES, NAMES.filter(lambda name: name != "metrics"), st.booleans())


@given(st.lists(MADE, max_size=4), st.text(st.characters(exclude_characters="$")))
def test_what_is_written_is_read_back(held, between):
    text = between.join(["", *map(str, held), ""])
    assert list(references.found(text)) == held
    assert references.filled(text, lambda reference: f"<{reference}>") == between.join(
        ["", *(f"<{reference}>" for reference in held), ""]
    )


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${ingest.dataset}", Reference("ingest", "dataset")),
        ("runs:/${ fine-tune.run_id }/model", Reference("fine-tune", "run_id")),
        ("${evaluate.metrics.test/f1.macro}", Reference("evaluate", "test/f1.macro", metric=True)),
        ("${a.metrics}", Reference("a", "metrics")),
    ],
)
def test_outputs_and_metrics_are_told_apart(text, reference):
    assert list(references.found(text)) == [reference]


@given(MADE)
def test_two_dollars_stand_for_what_is_no_reference(reference):
    text = f"$${{{str(reference)[2:]}"
    assert list(references.found(text)) == []
    assert references.filled(text, lambda _: "filled") == str(reference)


@pytest.mark.parametrize("text", ["$HOME", "{a.b}", "$ {a.b}", "${a.b", "5$"])
def test_other_dollars_and_braces_are_left_alone(text):
    assert list(references.found(text)) == []
    assert references.filled(text, lambda _: "filled") == text


@pytest.mark.parametrize("text", ["${}", "${a}", "${a.}", "${.b}", "${1a.b}", "${a.b c}"])
def test_what_is_no_reference_is_said(text):
    with pytest.raises(ValueError, match=r"is no reference: write \$\{STEP.OUTPUT\}"):
        list(references.found(text))


def test_a_value_that_looks_like_a_reference_is_not_filled_again():
    assert references.filled("${a.b}", lambda _: "${c.d} $${") == "${c.d} $${"
