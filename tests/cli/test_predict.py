"""`dlops predict`: its parameters, and what is wrong with them before a run exists."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_lists_its_parameters(typed):
    shown = typed("predict", "--uri", ROOT, "--help")[0]
    assert "Answer every row of a source" in shown
    names = [line.split()[0] for line in shown.partition("Parameters of predict")[2].splitlines() if line.split()]
    assert {"model", "source", "output", "engine", "format", "shard_rows"} <= set(names)


def test_model_source_and_output_must_be_named(shell, listing):
    before = listing()
    told = shell.run("predict", "engine=fast", "--uri", ROOT, exit_code=2).stderr
    for problem in ("'model' needs a value", "'source' needs a value", "'output' needs a value", "'engine'"):
        assert problem in told
    assert listing() == before
