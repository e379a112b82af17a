"""Every error has a kind and an exit code that a script can rely on."""

from __future__ import annotations

import pytest

from dlops import errors
from dlops.errors import DataError, DlopsError, StepFailed, UsageError

CODES = {
    "DlopsError": ("bug", 1),
    "UsageError": ("usage", 2),
    "ConfigError": ("config", 2),
    "GateFailed": ("gate", 3),
    "StepFailed": ("step", 4),
    "DataError": ("data", 4),
    "UnreachableError": ("unreachable", 5),
    "Interrupted": ("interrupted", 130),
}


def test_the_table_holds_every_error():
    drawn = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, DlopsError)}
    assert drawn == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_kind_and_exit_code(name):
    error = getattr(errors, name)("what happened")
    assert (error.kind, error.exit_code) == CODES[name]


@pytest.mark.parametrize("name", CODES)
def test_the_opening_docstring_draws_each_with_its_code(name):
    lines = [line for line in errors.__doc__.splitlines() if f" {name} " in f" {line} "]
    assert lines
    assert lines[0].replace(name, "").split("  ")
    assert str(CODES[name][1]) in lines[0]


def test_problems_are_listed_below_the_message():
    error = UsageError("Three things.", problems=["one", "two"], hint="mend them")
    assert str(error) == "Three things.\n  - one\n  - two"
    assert error.hint == "mend them"


def test_bad_data_is_a_failed_step():
    assert issubclass(DataError, StepFailed)
