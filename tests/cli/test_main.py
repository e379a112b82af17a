"""The command itself: its overview, its errors, its exit codes."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time

import pytest

from dlops.cli import status
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
        (["status", "--foo"], "No such option --foo"),
        (["status", "--cuont", "3"], "No such option --cuont; did you mean --count?"),
        (["--verson"], "No such option --verson; did you mean --version?"),
        (["status", "-n", "0"], "'--count' / '-n'"),
        (["status", "a", "b"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_document(typed, words, said):
    out, err = typed(*words, exit_code=2)
    assert err.startswith("usage ")
    assert said in err
    assert "--help` tells more." in err or "`dlops --help` lists them." in err
    assert out == ""
    document = json.loads(typed(*words, "--json", exit_code=2)[0])
    assert said in document["error"]["message"]
    assert document["error"]["kind"] == "usage"


def test_a_bug_is_one_document_and_its_traceback_is_told(typed, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("no https://me:secret-word@host")

    monkeypatch.setattr(status, "Runs", broken)
    out, err = typed("status", "--json", exit_code=1)
    message, hint = "ZeroDivisionError: no https://***@host", "Its traceback is on stderr."
    assert json.loads(out) == {"status": None, "error": {"kind": "bug", "message": message, "hint": hint}}
    assert "Traceback (most recent call last)" in err
    monkeypatch.setattr(sys, "argv", ["dlops", "status"])
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("dlops.cli.main").main()


def test_an_interrupt_is_exit_130_and_one_document(typed, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "Runs", interrupted)
    assert typed("status", exit_code=130) == ("", "interrupted Ended by Ctrl-C or a signal.\n")
    assert json.loads(typed("status", "--json", exit_code=130)[0])["error"]["kind"] == "interrupted"


def test_ctrl_c_ends_a_command_that_waits(shell):
    shell.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "9"  # minutes
    waiting = shell.start("status", "--tracking-uri", "http://127.0.0.1:9")
    time.sleep(2)
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate(timeout=20) == ("", "interrupted Ended by Ctrl-C or a signal.\n")
    assert waiting.returncode == 130


@pytest.mark.parametrize("words", [("status",), ("params", "finetune"), ("--help",)])
def test_a_deleted_folder_is_told(shell, words):
    gone = shell.folder / "gone"
    command = [*("sh", "-c", 'rmdir ../gone && exec "$@"', "sh"), sys.executable, "-m", "dlops.cli.main"]
    for last, stream in (((), "stderr"), (("--json",), "stdout")):
        gone.mkdir()
        done = subprocess.run([*command, *words, *last], cwd=gone, env=shell.environ, capture_output=True, text=True)
        assert done.returncode == 2
        assert "The current folder was deleted." in getattr(done, stream)
        assert "Traceback" not in done.stderr


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
