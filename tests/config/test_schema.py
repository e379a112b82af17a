"""A settings dataclass and its parameters say the same, there and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.config import schema
from dlops.config.parameters import Parameter
from dlops.config.schema import Kind, Range
from dlops.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a step can be told."""

    dataset: Annotated[str, Kind("location")]
    """What is read;
    on two lines."""
    epochs: Annotated[int, Range(1, 1000)] = 2
    """Passes."""
    learning_rate: float = 2e-5
    shuffle: bool = True
    """Whether the rows are shuffled."""
    strategy: Literal["freeze", "no_freeze"] = "freeze"
    label: str | None = None
    rows: Annotated[int | None, Range(1)] = None
    note: str = ""
    splits: Annotated[tuple[float, ...], Range(0, 1)] = (0.7, 0.3)
    words: tuple[str, ...] = ()


def described(name):
    return next(parameter for parameter in schema.parameters(Settings) if parameter.name == name)


def test_each_field_is_a_parameter_in_order():
    assert [parameter.name for parameter in schema.parameters(Settings)] == list(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    "expected",
    [
        Parameter(name="dataset", type="location", description="What is read; on two lines."),
        Parameter(name="epochs", type="int", default="2", description="Passes.", minimum=1, maximum=1000),
        Parameter(name="learning_rate", type="float", default="2e-05"),
        Parameter(name="shuffle", type="bool", default="true", description="Whether the rows are shuffled."),
        Parameter(name="strategy", default="freeze", choices=("freeze", "no_freeze")),
        Parameter(name="label", default=""),
        Parameter(name="rows", type="int", default="", minimum=1),
        Parameter(name="note", default=""),
        Parameter(name="splits", type="list[float]", default="0.7,0.3", minimum=0, maximum=1),
        Parameter(name="words", type="list[str]", default=""),
    ],
    ids=lambda parameter: parameter.name,
)
def test_a_field_becomes_its_parameter(expected):
    assert described(expected.name) == expected


def test_parse_gives_values_of_their_types():
    assert schema.parse(Settings, ["dataset=sample"]) == Settings(dataset="sample")
    found = schema.parse(Settings, ["--dataset", "x", "rows=5", "--shuffle=no", "label=stars", "splits=[1, 0]"])
    assert found == Settings(dataset="x", rows=5, shuffle=False, label="stars", splits=(1.0, 0.0))


def test_an_empty_text_is_none_only_where_none_is_allowed():
    found = schema.parse(Settings, ["dataset=x", "label=", "note=", "rows=", "words="])
    assert (found.label, found.note, found.rows, found.words) == (None, "", None, ())


def test_all_problems_at_once():
    with pytest.raises(UsageError) as caught:
        schema.parse(Settings, ["epochs=0", "stratgy=x", "learning_rate=fast", "splits=0.5,2"])
    text = str(caught.value)
    for piece in ("did you mean 'strategy'", "at least 1", "takes a number", "at most 1", "'dataset' needs a value"):
        assert piece in text


@given(
    st.builds(
        Settings,
        dataset=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        epochs=st.integers(1, 1000),
        learning_rate=st.floats(allow_nan=False, allow_infinity=False),
        shuffle=st.booleans(),
        strategy=st.sampled_from(["freeze", "no_freeze"]),
        label=st.none() | st.text(st.characters(categories=["L", "P"]), min_size=1),
        rows=st.none() | st.integers(1),
        splits=st.lists(st.floats(0, 1), min_size=1).map(tuple),
        words=st.lists(st.text(st.characters(categories=["L", "P", "Z"]))).map(tuple),
    )
)
def test_settings_survive_a_command_line(settings):
    known = {parameter.name: parameter for parameter in schema.parameters(Settings)}
    words = [f"{name}={known[name].canonical(value)}" for name, value in asdict(settings).items()]
    assert schema.parse(Settings, words) == settings
