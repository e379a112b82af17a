"""`dlops explain`: its parameters, and what is wrong with them before a run exists."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_lists_its_parameters(typed):
    shown = typed("explain", "--uri", ROOT, "--help")[0]
    assert "Explain what of each text a model's answers rest on" in shown
    names = [line.split()[0] for line in shown.partition("Parameters of explain")[2].splitlines() if line.split()]
    assert {"model", "dataset", "method", "against", "require", "register_as"} <= set(names)


def test_a_model_must_be_named(shell, listing):
    before = listing()
    told = shell.run("explain", "method=guessing", "--uri", ROOT, exit_code=2).stderr
    for problem in ("'model' needs a value", "'method'"):
        assert problem in told
    assert listing() == before
