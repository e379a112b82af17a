"""`dlops resume`: a run that was interrupted goes on in a new one, with what it was launched with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

PROJECT = {
    "MLproject": """
        name: goes-on
        entry_points:
          finetune:
            parameters:
              epochs: {type: int, default: 2}
              data: {type: path, default: data.csv}
              note: {type: str, default: ""}
              api_key: {type: str, default: ""}
              resume_from: {type: str, default: ""}
            command: "python step.py {epochs} {data} {note} {api_key} {resume_from}"
          ingest:
            command: "exit 3"
        """,
    "data.csv": "",
    "step.py": """
        import json, sys
        print(json.dumps(sys.argv[1:]), flush=True)
        sys.exit(0 if sys.argv[-1] else 5)
        """,
}


@pytest.fixture
def interrupted(shell, project):
    """Launch a step that fails unless it is resumed; gives its run's id."""

    def launched(*words):
        return shell.json(*(words or ("finetune", "epochs=7", "note=two words")), exit_code=4)["run_id"]

    project(**PROJECT)
    return launched


def test_it_goes_on_with_the_same_parameters_wherever_it_is_typed(shell, interrupted, tmp_path):
    run = interrupted()
    assert f"dlops resume {run}" in shell.run("status", run).stdout
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shell.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{shell.database}"
    there = type(shell)(elsewhere, shell.environ)
    document = there.json("resume", run[:10])
    assert document["status"] == "FINISHED"
    assert document["run_id"] != run
    expected = {"epochs": "7", "data": str(shell.folder / "data.csv"), "note": "two words", "resume_from": run}
    assert {name: value for name, value in document["params"].items() if value} == expected
    assert there.json("status", document["run_id"])["resumed_from"] == run
    shown = there.run("status", document["run_id"]).stdout
    assert "resumed from" in shown
    there.close()


def test_what_is_given_anew_wins_and_a_plan_is_shown(shell, interrupted):
    run = interrupted()
    planned = shell.json("resume", run, "note=other", "--dry-run")["plan"]
    assert (planned["params"]["note"], planned["params"]["epochs"]) == ("other", "7")
    assert planned["params"]["resume_from"] == run


def test_another_state_of_the_project_is_told(shell, interrupted):
    def git(*words):
        own = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *own, *words], cwd=shell.folder, check=True, capture_output=True)

    (shell.folder / ".gitignore").write_text("*.db\nmlruns\n")
    for words in (("init", "-q"), ("add", "MLproject", "data.csv", "step.py", ".gitignore"), ("commit", "-qm", "one")):
        git(*words)
    run = interrupted()
    with (shell.folder / "step.py").open("a") as step:
        step.write("# more\n")
    told = shell.run("resume", run).stderr
    assert re.search(r"note: The run was launched from (\w{12}), the project is at \1 and changes not committed", told)


def test_secrets_are_asked_for_again(shell, interrupted):
    run = interrupted("finetune", "api_key=k-123456789")
    refused = shell.json("resume", run, exit_code=2)["error"]
    assert "secrets, which no record holds" in refused["message"]
    assert f"dlops resume {run} api_key=…" in refused["hint"]
    done = shell.run("resume", run, "api_key=k-987654321")
    assert "k-987654321" not in done.stdout + done.stderr


def test_what_cannot_go_on_is_refused_before_a_run_exists(shell, interrupted):
    ingested = shell.json("ingest", exit_code=4)["run_id"]
    assert "cannot go on" in shell.json("resume", ingested, exit_code=2)["error"]["message"]
    failed = interrupted()
    finished = shell.json("resume", failed)["run_id"]
    count = len(shell.statuses())
    assert "has finished" in shell.json("resume", finished, exit_code=2)["error"]["message"]
    assert "No run has the id" in shell.json("resume", "0" * 32, exit_code=2)["error"]["message"]
    assert len(shell.statuses()) == count


def test_a_run_that_was_killed_says_how_it_goes_on(shell, project, initialised_store):
    shutil.copy(initialised_store, shell.database)
    waits = "import time; print('working', flush=True); time.sleep(60)"
    project(**{**PROJECT, "step.py": waits})
    process = shell.start("finetune", "--json")
    run = shell.wait_for_run()
    shell.run("cancel", run)
    out, _ = process.communicate(timeout=60)
    assert f"`dlops resume {run}` goes on from its last checkpoint." in json.loads(out)["error"]["hint"]
