"""`dlops evaluate`: its parameters, and what is wrong with them before a run exists."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_lists_its_parameters(typed):
    shown = typed("evaluate", "--uri", ROOT, "--help")[0]
    assert "Judge a model" in shown
    names = [line.split()[0] for line in shown.partition("Parameters of evaluate")[2].splitlines() if line.split()]
    assert {"model", "dataset", "split", "against", "slice_by", "require"} <= set(names)


def test_a_model_must_be_named(shell, listing):
    before = listing()
    told = shell.run("evaluate", "split=tset", "--uri", ROOT, exit_code=2).stderr
    assert "'model' needs a value" in told
    assert "'split'" in told
    assert listing() == before
