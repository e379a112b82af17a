"""The command itself: its overview, its errors, its exit codes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from dlops.cli.main import COMMANDS

SUMMARIES = {name: summary for group in COMMANDS.values() for name, summary in group.items()}


@pytest.mark.parametrize("name", SUMMARIES)
def test_each_command_is_the_function_of_its_module(name):
    function = getattr(importlib.import_module(f"dlops.cli.{name}"), name)
    assert function.__doc__


def test_the_overview_names_every_command(typed):
    for word in ("--help", "-h"):
        lines = [line.split(maxsplit=1) for line in typed(word)[0].splitlines()]
        for name, summary in SUMMARIES.items():
            assert [name, summary] in [[*map(str.strip, line)] for line in lines]


def test_alone_it_shows_the_overview(typed):
    assert "Launch a step" in typed(exit_code=2)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], "There is no command 'statsu'; did you mean 'status'?"),
        (["nothing-like-it"], "There is no command 'nothing-like-it'."),
        (["status", "--foo"], "--foo"),
        (["status", "-n", "0"], "'--count' / '-n'"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_document(typed, words, said):
    out, err = typed(*words, exit_code=2)
    assert said in err
    assert out == ""
    document = json.loads(typed(*words, "--json", exit_code=2)[0])
    assert said in document["error"]["message"]
    assert document["error"]["kind"] == "usage"


def test_help_beside_json_is_still_help(typed):
    assert "Usage: " in typed("finetune", "--json", "--help")[0]


def test_a_reader_that_leaves_is_no_bug(shell):
    command = [sys.executable, "-m", "dlops.cli.main", "params", "finetune", "--json"]
    with subprocess.Popen(
        command, cwd=shell.folder, env=shell.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_a_terminal_that_is_not_utf8_still_gets_a_document(shell):
    shell.environ["PYTHONIOENCODING"] = "ascii"
    planned = shell.json("finetune", "note=ünï🙂", "--dry-run")
    assert planned["params"]["note"] == "ünï🙂"


def test_each_document_stands_alone(shell):
    done = shell.run("finetune", "--dry-run", "--json")
    assert json.loads(done.stdout)["status"] == "PLANNED"
    assert done.stderr == ""
