"""A command that was imported ahead is the command itself: what it sees, what it prints, how it ends."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import pytest

from dlops.worker import processes
from tests.worker.test_supervisor import of, printed

PATH = (str(Path(sys.executable).parent),)
SEES = """
import sys
early = "wave" in sys.modules
import json, os, subprocess
told = {
    "argv": sys.argv, "name": __name__, "spec": __spec__.name, "package": __package__, "file": __file__,
    "main": sys.modules["__main__"].__dict__ is globals(), "path": sys.path[0], "folder": os.getcwd(),
    "session": os.getsid(0) == os.getpid(), "input": sys.stdin.read(),
    "variables": {name: os.environ[name] for name in os.environ if name not in ("_", "PS1", "SHLVL", "DLOPS_PROGRESS")},
}
seen = open("/proc/self/environ").read() if os.path.exists("/proc") else os.environ["DLOPS_ATTEMPT"]
told["marked"] = "DLOPS_ATTEMPT=" + os.environ["MLFLOW_RUN_ID"] in seen
told["inherited"] = subprocess.check_output(["sh", "-c", "echo $DLOPS_ATTEMPT"], text=True).strip()
print(json.dumps({"early": early, **told}))
"""


@pytest.fixture
def module(tmp_path):
    """Write a module into the project's folder."""

    def write(text, name="seeing"):
        (tmp_path / f"{name}.py").write_text(text)
        return f"python -m {name}"

    return write


def test_it_is_the_command_itself(work, module, tmp_path):
    words = [shlex.quote(word) for word in ("one", "two words", "three=$HOME", "it's")]
    command = f"{module(SEES)} {' '.join(words)} four='a b'"
    told = []
    for ahead in ((), ("wave", "not_there")):
        events = work(command, ahead=ahead, path=PATH)
        assert events[-1]["status"] == "FINISHED", events
        told.append(json.loads(printed(events)))
        for name in ("DLOPS_ATTEMPT", "MLFLOW_RUN_ID"):
            assert told[-1]["variables"].pop(name) == events[0]["run_id"]
        assert told[-1].pop("inherited") == events[0]["run_id"]
    usual, early = told
    assert (usual.pop("early"), early.pop("early")) == (False, True)
    assert early["argv"][1:] == ["one", "two words", "three=$HOME", "it's", "four=a b"]
    assert early == usual


@pytest.mark.parametrize(
    ("text", "status", "exit_code", "error"),
    [
        ("import sys; sys.exit(3)", "FAILED", 3, ""),
        ("raise ValueError('wrong number')", "FAILED", 1, "ValueError: wrong number"),
        ("import os; os.kill(os.getpid(), 9)", "FAILED", 137, ""),
        ("import importlib; importlib.import_module('not_there')", "FAILED", 1, "No module named 'not_there'"),
    ],
)
def test_it_ends_as_the_command_would(work, module, text, status, exit_code, error):
    last = work(module(text), ahead=("json",), path=PATH)[-1]
    assert (last["status"], last["exit_code"]) == (status, exit_code)
    assert error in last["error"]


@pytest.mark.parametrize("more", ["; echo done", " && echo done", " one | cat", " $HOME", " *"])
def test_what_needs_a_shell_has_one(work, module, more):
    command = module("import sys; print('early' if 'wave' in sys.modules else 'late', sys.argv[1:])") + more
    events = work(command, ahead=("wave",), path=PATH)
    assert events[-1]["status"] == "FINISHED"
    assert printed(events).startswith("late")


def test_nothing_is_collected_while_it_imports_and_what_comes_later_is(work, module):
    module("import gc; told = gc.isenabled()", "importing")
    text = "import gc, importing; print(importing.told, gc.isenabled(), gc.get_freeze_count() > 0)"
    assert printed(work(module(text), ahead=("importing",), path=PATH)).split() == ["False", "True", "True"]


def test_a_long_command_for_a_shell_is_told_from_a_plain_one_at_once(work, module):
    command = module("import sys; print(len(sys.argv))") + f" {'a' * 5000} {'b' * 5000} > there"
    began = time.monotonic()
    assert work(command, ahead=("wave",), path=PATH)[-1]["status"] == "FINISHED"
    assert time.monotonic() - began < 60


def test_what_it_has_started_ends_with_it(work, module, tmp_path):
    text = (
        "import subprocess; open('pid', 'w').write(str(subprocess.Popen(['sleep', '300']).pid)); import os; os._exit(1)"
    )
    module(text, "starting")
    began = time.monotonic()
    events = work(module("print('here')"), ahead=("starting",), path=PATH)
    assert (printed(events), events[-1]["status"]) == ("here\n", "FINISHED")
    assert time.monotonic() - began < 60
    assert not processes.started(int((tmp_path / "pid").read_text()))


def test_where_it_dies_of_what_it_imports_the_command_begins_without(work, module):
    module("import os; os._exit(7)", "deadly")
    command = module("print('here')")
    events = work(command, ahead=("deadly",), path=PATH)
    assert (printed(events), events[-1]["status"]) == ("here\n", "FINISHED")


def test_it_ends_with_a_run_that_never_begins(work, module, tmp_path):
    module("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)", "slow")
    command = module("print('here')")
    events = work(command, ahead=("slow",), path=PATH, tracking_uri="http://127.0.0.1:9")
    assert of(events, "failed")
    if (tmp_path / "pid").exists():
        assert not processes.started(int((tmp_path / "pid").read_text()))


def test_it_is_found_by_its_mark_once_it_has_begun(work, module, tmp_path):
    """Who ends what a killed worker left knows no process group of it."""
    text = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(0.5)"
    events = work(module(text), ahead=("json",), path=PATH)
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 10
    while processes.started(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not processes.started(pid)
    assert not processes.members(events[0]["run_id"])


@pytest.mark.parametrize("ahead", [(), ("wave",)])
def test_it_reads_what_is_given_and_nobody_else_sees_it(work, module, ahead):
    text = "secret " * 100_000
    command = module("import os, sys; print(len(sys.stdin.read()), 'secret' in str(os.environ))")
    assert printed(work(command, ahead=ahead, path=PATH, given=text)).strip() == f"{len(text)} False"
    assert printed(work(command, ahead=ahead, path=PATH)).strip() == "0 False"
