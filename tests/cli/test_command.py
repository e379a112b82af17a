"""What commands add to Typer's: flags without a type, help without padding, near names for misspelt options."""

from __future__ import annotations

import json

import pytest

from dlops.cli.main import COMMANDS

NAMES = [name for group in COMMANDS.values() for name in group]


@pytest.mark.parametrize("name", NAMES)
def test_a_flag_shows_no_type_and_no_line_ends_in_spaces(typed, name):
    shown = typed(name, "--help")[0]
    assert "--help" in shown
    assert "<bool>" not in shown
    assert [line for line in shown.splitlines() if line.endswith(" ")] == []


@pytest.mark.parametrize("name", ["finetune", "ingest", "config finetune"])
def test_options_that_are_misspelt_are_told_at_once(typed, name):
    problem = json.loads(typed(*name.split(), "--trackin-uri=x", "epochs=3", "--bogus", "--json", exit_code=2)[0])
    told = problem["error"]["message"].splitlines()
    assert told[1:] == ["  - no such option --trackin-uri; did you mean --tracking-uri?", "  - no such option --bogus"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dry-rum"], "no such option --dry-rum; did you mean --dry-run?"),
        (["--dry-rum", "epochs=3"], "no such option --dry-rum; did you mean --dry-run?"),
        (["--dry_rum=yes"], "no such option --dry_rum; did you mean --dry-run?"),
        (["--epoch"], "no such option --epoch; did you mean --epochs?"),
        (["--epoch", "3"], "command line: 'epoch' is no parameter of this entry point; did you mean 'epochs'?"),
        (["--epoch=3"], "command line: 'epoch' is no parameter of this entry point; did you mean 'epochs'?"),
        (["--lr", "3"], "command line: 'lr' is no parameter of this entry point; it has epochs"),
        (["--epochs"], "--epochs needs a value: epochs=VALUE or --epochs VALUE"),
        (["--api-key"], "--api-key needs a value"),
    ],
)
def test_an_option_or_a_parameter_may_be_meant(typed, words, said):
    assert said in typed("finetune", *words, exit_code=2)[1]


def test_without_a_project_that_is_what_is_told(typed, shell):
    (shell.folder / "MLproject").unlink()
    assert "has no MLproject" in typed("finetune", "--dry-rum", "3", exit_code=2)[1]
