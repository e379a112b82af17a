"""A parameter in one row."""

from __future__ import annotations

import pytest
from rich.console import Console

from dlops.cli import parameter_table
from dlops.config.parameters import Parameter


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"type": "int"}, "int"),
        ({"type": "int", "minimum": 1}, "int ≥ 1"),
        ({"type": "float", "maximum": 0.5}, "float ≤ 0.5"),
        ({"type": "int", "minimum": 0, "maximum": 2**32 - 1}, "int 0..4294967295"),
        ({"choices": ("a", "b")}, "a | b"),
    ],
)
def test_what_a_parameter_takes(fields, shown):
    assert parameter_table.kind(Parameter(name="p", **fields)) == shown


@pytest.mark.parametrize(
    ("name", "default", "shown"),
    [("api_key", "k-1", "***"), ("api_key", "", ""), ("api_key", None, None), ("max_tokens", "9", "9")],
)
def test_the_default_of_a_secret_is_masked(name, default, shown):
    assert parameter_table.shown(Parameter(name=name, default=default)).default == shown


def test_odd_texts_are_shown_as_they_are_and_required_is_said():
    odd = Parameter(name="[red]n", default="[/x]\\", description=":smile: [b]", choices=("[i]",))
    console = Console(width=200)
    with console.capture() as captured:
        console.print(parameter_table.table([odd, Parameter(name="data")], title="[t]"))
    title, _, row, required = captured.get().splitlines()
    assert title.strip() == "[t]"
    assert row.split() == ["[red]n", "[i]", "[/x]\\", ":smile:", "[b]"]
    assert required.split() == ["data", "str", "required"]
