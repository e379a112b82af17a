"""`dlops register`: its parameters are those of evaluate, and what becomes of the model."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_lists_its_parameters(typed):
    shown = typed("register", "--uri", ROOT, "--help")[0]
    assert "Register a model that has earned it" in shown
    names = [line.split()[0] for line in shown.partition("Parameters of register")[2].splitlines() if line.split()]
    assert {"model", "name", "dataset", "require", "beat", "promote", "approval"} <= set(names)


def test_model_and_name_must_be_given(shell, listing):
    before = listing()
    told = shell.run("register", "beat=worse", "--uri", ROOT, exit_code=2).stderr
    for problem in ("'model' needs a value", "'name' needs a value", "'beat'"):
        assert problem in told
    assert listing() == before
