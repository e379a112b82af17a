"""`dlops serve`: its parameters, and what is wrong with them before a run exists."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_lists_its_parameters(typed):
    shown = typed("serve", "--uri", ROOT, "--help")[0]
    assert "Answer over HTTP" in shown
    names = [line.split()[0] for line in shown.partition("Parameters of serve")[2].splitlines() if line.split()]
    assert {"model", "port", "engine", "queue", "challenger", "log_to"} <= set(names)


def test_a_model_must_be_named(shell, listing):
    before = listing()
    told = shell.run("serve", "engine=fast", "--uri", ROOT, exit_code=2).stderr
    for problem in ("'model' needs a value", "'engine'"):
        assert problem in told
    assert listing() == before
