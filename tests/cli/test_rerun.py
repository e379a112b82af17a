"""`dlops rerun`: what a run did, once more, from another folder and after the project has changed."""

from __future__ import annotations

import os

import pytest

from tests.project.test_source import Repository

PROJECT = {
    "MLproject": """
name: again
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2}
      api_key: {type: str, default: ""}
    command: "python step.py {epochs}"
""",
    "step.py": "import sys; print(open('word').read(), 'epochs', sys.argv[1])\n",
    "word": "one\n",
}


@pytest.fixture
def launched(shell):
    """Launch from a work tree that differs from its commit, which goes on meanwhile; gives the run's id."""
    shell.environ |= {"GIT_CONFIG_GLOBAL": os.devnull}
    work = Repository(shell.folder / "films")
    work.commit(**PROJECT)
    work.write("word", "changed\n")

    def launch(*words):
        run = shell.json("finetune", "--uri", "films", "epochs=7", *words)["run_id"]
        work("checkout", "-q", "word")
        work.commit(word="later\n", **{"configs/finetune.yaml": "epochs: 9\n"})
        return run

    return launch


def test_it_does_what_was_done(shell, launched):
    run = launched()
    again = shell.run("rerun", run[:10])
    document = shell.json("status", "-n", "1")[0]
    assert document["rerun_of"] == run
    assert document["params"]["epochs"] == "7"
    assert document["dirty"] is True
    assert "changed\n epochs 7" in shell.run("logs", document["run_id"]).stdout
    assert "note:" not in again.stderr
    assert "rerun of" in shell.run("status", document["run_id"]).stdout
    third = shell.json("rerun", document["run_id"], "epochs=1")
    assert "changed\n epochs 1" in shell.run("logs", third["run_id"]).stdout


def test_other_code_only_when_it_is_asked_for(shell, launched):
    run = launched()
    document = shell.json("rerun", run, "--uri", "films")
    assert "later\n epochs 7" in shell.run("logs", document["run_id"]).stdout


def test_secrets_are_asked_for(shell, launched):
    run = launched("api_key=hunter2-secret")
    refused = shell.run("rerun", run, exit_code=2)
    assert "'api_key' needs its value again" in refused.stderr
    assert shell.json("rerun", run, "api_key=hunter2-secret")["status"] == "FINISHED"


def test_a_dry_run_starts_nothing(shell, launched):
    run = launched()
    plan = shell.json("rerun", run, "--dry-run")["plan"]
    assert (plan["dirty"], plan["params"]["epochs"], plan["target"]) == (True, "7", "local")
    assert len(shell.statuses()) == 1
