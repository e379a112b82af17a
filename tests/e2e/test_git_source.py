"""A project that lies in a Git remote is launched, recorded and resumed as one in a folder is."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.project import git_servers
from tests.project.test_source import Repository

SECRET = "s3cr3t-t0ken"
PROJECT = {
    "MLproject": """
name: remote-one
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 1}
      seconds: {type: float, default: 0}
      resume_from: {type: str, default: ""}
    command: "python step.py {epochs} {seconds} {resume_from}"
""",
    "step.py": """
import subprocess, sys, time
print("here", open("word").read(), sys.argv[1], flush=True)
time.sleep(float(sys.argv[2]))
sys.exit(0 if sys.argv[1] != "5" or sys.argv[3] else 5)
""",
    "word": "one",
    "configs/finetune.yaml": "epochs: 2\n",
}


@pytest.fixture
def served(tmp_path, shell):
    """A server that lets ann in, with a repository whose project is at the top and, with another word, in `sub`."""
    shell.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    work = Repository(tmp_path / "theirs")
    below = {f"sub/{name}": text.replace("remote-one", "below") for name, text in PROJECT.items()}
    work.commit(**PROJECT, **(below | {"sub/word": "below"}))
    work("tag", "v1.0")
    work.commit(word="two")
    (tmp_path / "served").mkdir()
    work("clone", "-q", "--bare", ".", str(tmp_path / "served/films.git"))
    with git_servers.web(tmp_path / "served", SECRET) as server:
        server.uri = f"http://ann:{SECRET}@{server.address}/films.git"
        server.work = work
        yield server


def trees(shell):
    found = Path(shell.environ["DLOPS_HOME"]).glob("cache/git/*/trees/*")
    return [tree.name for tree in found]


def test_what_ran_is_what_is_recorded(shell, served):
    done = shell.json("finetune", "--uri", f"{served.uri}#sub", "-v", "v1.0")
    assert (done["status"], done["params"]["epochs"]) == ("FINISHED", "2")
    assert "here below 2" in shell.run("logs", done["run_id"]).stdout
    run = shell.json("status", done["run_id"])
    assert run["commit"] == served.work("rev-parse", "v1.0")
    assert run["dirty"] is False
    assert run["project"] == f"{served.url}/films.git#sub"
    assert run["experiment"] == "below"
    assert trees(shell) == []
    plan = shell.json("finetune", "--uri", served.uri, "--dry-run")["plan"]
    assert (plan["commit"], plan["project"]) == (served.work("rev-parse", "HEAD"), f"{served.url}/films.git")
    assert "epochs" in shell.run("params", "finetune", "--uri", served.uri, "--version", "v1.0").stdout
    assert trees(shell) == []
    for place in (shell.folder, Path(shell.environ["DLOPS_HOME"])):
        for file in place.rglob("*"):
            assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_what_is_wrong_is_told_before_a_run_exists(shell, served):
    wrong = {
        ("--uri", served.uri, "-v", "v9"): (2, "has no revision v9"),
        ("--uri", f"{served.uri}#none"): (2, "has no folder none"),
        ("--uri", served.uri.replace(SECRET, "wr0ng-one")): (5, "refuses access"),
        ("--uri", f"{served.url}/films.git"): (5, "refuses access"),
        ("--uri", served.uri.replace("films", "books")): (5, "cannot be fetched"),
        ("-v", "v1.0"): (2, "is for Git remotes"),
    }
    for words, (code, message) in wrong.items():
        error = shell.json("finetune", *words, exit_code=code)["error"]
        assert message in error["message"]
        assert SECRET not in str(error)
        assert "wr0ng-one" not in str(error)
    assert shell.statuses() == []
    assert trees(shell) == []


def test_the_files_stay_until_the_run_has_ended_whoever_goes(shell, served):
    """The command line is killed, and a second launch comes and goes meanwhile."""
    launched = shell.start("finetune", "--uri", served.uri, "seconds=12", "epochs=7")
    run = shell.wait_for_run()
    deadline = time.monotonic() + 60
    while "here two 7" not in shell.run("logs", run).stdout:
        assert time.monotonic() < deadline
    launched.send_signal(signal.SIGKILL)
    launched.communicate()
    assert len(trees(shell)) == 2, "the tree and its lock"
    shell.json("finetune", "--uri", served.uri)
    assert len(trees(shell)) == 2
    while shell.json("status", run)["status"] == "RUNNING":
        assert time.monotonic() < deadline
    assert shell.json("status", run)["status"] == "FINISHED"
    while trees(shell):
        assert time.monotonic() < deadline


def test_a_run_is_resumed_from_its_own_commit(shell, served, tmp_path):
    failed = shell.json("finetune", "--uri", served.uri, "-v", "v1.0", "epochs=5", exit_code=4)
    shell.environ |= {"DLOPS_GIT_TOKEN": SECRET, "DLOPS_GIT_USERNAME": "ann"}
    done = shell.json("resume", failed["run_id"])
    assert done["status"] == "FINISHED"
    assert "here one 5" in shell.run("logs", done["run_id"]).stdout
    assert shell.json("status", done["run_id"])["commit"] == served.work("rev-parse", "v1.0")
    assert trees(shell) == []
