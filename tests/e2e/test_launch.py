"""A launch from a folder on this machine: what is recorded, what is shown, and with which exit code."""

from __future__ import annotations

import json
import sqlite3
import subprocess

import pytest

ECHO = {
    "MLproject": """
        name: echo
        entry_points:
          finetune:
            parameters:
              epochs: {type: int, default: 2, minimum: 1}
              learning_rate: {type: float, default: 2e-5}
              note: {type: str, default: ""}
              shuffle: {type: bool, default: "true"}
            command: "python step.py {epochs} {learning_rate} {note} {shuffle}"
        """,
    "step.py": """
        import os, sys
        from mlflow import MlflowClient
        print("arguments", sys.argv[1:])
        print("a word on stderr", file=sys.stderr)
        client = MlflowClient()
        client.log_metric(os.environ["MLFLOW_RUN_ID"], "test_accuracy", 0.875)
        client.set_tag(os.environ["MLFLOW_RUN_ID"], "dlops.output.model", "models:/m-1")
        """,
}
SAYS = {
    "MLproject": """
        name: says
        entry_points:
          finetune:
            parameters:
              text: {type: str, default: ""}
              api_token: {type: str, default: ""}
            command: "bash -c {text}"
        """
}


def says(command: str) -> dict[str, str]:
    """A project whose step is a shell command."""
    body = {"name": "says", "entry_points": {"finetune": {"command": command}}}
    return {"MLproject": json.dumps(body)}


def test_a_finished_run_is_one_json_document_and_is_recorded_as_such(shell, project):
    project(**ECHO)
    done = shell.run("finetune", "--epochs", "3", "learning_rate=1e-3", "note=two words", "--json")
    document = json.loads(done.stdout)
    assert {
        **document,
        "run_id": len(document["run_id"]),
        "duration_s": document["duration_s"] > 0,
    } == {
        "run_id": 32,
        "status": "FINISHED",
        "step": "finetune",
        "target": "local",
        "entry_point": "finetune",
        "params": {"epochs": "3", "learning_rate": "0.001", "note": "two words", "shuffle": "true"},
        "metrics": {"test_accuracy": 0.875},
        "outputs": {"model": "models:/m-1"},
        "tracking_uri": f"sqlite:///{shell.database}",
        "url": None,
        "duration_s": True,
    }
    assert "arguments ['3', '0.001', 'two words', 'true']" in done.stderr
    assert "a word on stderr" in done.stderr
    status = shell.json("status", document["run_id"])
    assert status["status"] == "FINISHED"
    assert status["params"] == document["params"]
    log = shell.run("logs", document["run_id"][:8]).stdout
    assert "arguments ['3', '0.001', 'two words', 'true']" in log
    assert "a word on stderr" in log


def test_the_run_carries_what_is_needed_to_know_it_again(shell, project):
    folder = project(**ECHO)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "MLproject", "step.py"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    (folder / "step.py").write_text("print('changed')\n")
    run = shell.json("finetune")["run_id"]
    with sqlite3.connect(shell.database) as connection:
        tags = dict(connection.execute("SELECT key, value FROM tags WHERE run_uuid = ?", [run]))
        (artifacts,) = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", [run]).fetchone()
    connection.close()
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()
    assert (tags["dlops.commit"], tags["mlflow.source.git.commit"], tags["dlops.dirty"]) == (commit, commit, "true")
    assert (tags["mlflow.source.type"], tags["mlflow.project.entryPoint"]) == ("PROJECT", "finetune")
    assert (tags["dlops.step"], tags["dlops.target"], tags["dlops.exit_code"]) == ("finetune", "local", "0")
    kept = shell.folder / artifacts.removeprefix("file://")
    assert "+print('changed')" in (kept / "source.diff").read_text()
    assert 'epochs: "2"' in (kept / "config.yaml").read_text()
    assert "mlflow==" in (kept / "environment.lock").read_text()
    again = shell.json("config", "finetune", "-c", kept / "config.yaml")
    assert again["epochs"]["value"] == "2"


@pytest.mark.parametrize(
    ("command", "exit_code", "said"),
    [
        ("echo before; python -c 'raise ValueError(7)'", 4, "ValueError: 7"),
        ("echo 'error: no such table' >&2; exit 7", 4, "error: no such table"),
        ("exit 3", 4, "exit code 3"),
        ("no-such-program", 4, "not found"),
        ("kill -9 $$", 4, "SIGKILL"),
        ("python gate.py", 3, "accuracy 0.5 is below 0.8"),
    ],
)
def test_a_step_that_does_not_succeed_says_how(shell, project, command, exit_code, said):
    gate = """
        import os, sys
        from mlflow import MlflowClient
        MlflowClient().set_tag(os.environ["MLFLOW_RUN_ID"], "dlops.gate", "failed")
        print("error: accuracy 0.5 is below 0.8")
        sys.exit(3)
        """
    project(**says(command), **{"gate.py": gate})
    document = shell.json("finetune", exit_code=exit_code)
    assert document["status"] == "FAILED"
    assert document["error"]["kind"] == ("gate" if exit_code == 3 else "step")
    assert said in document["error"]["message"]
    assert shell.json("status", document["run_id"])["error"]


def test_a_secret_is_found_nowhere(shell, project):
    project(**SAYS)
    secret, password = "hunter2-is-secret", "pass-in-the-url"
    shell.environ["HUB_TOKEN"] = "token-of-the-hub"
    in_pieces = "printf hunter2-; sleep 0.3; echo is-secret"
    text = f"echo {secret} https://me:{password}@example.org $HUB_TOKEN; sleep 0.1; {in_pieces}"
    document = shell.run("finetune", f"text={text}", f"api_token={secret}", "--json")
    assert '"api_token": "***"' in document.stdout
    told = document.stdout + document.stderr
    kept = b"".join(file.read_bytes() for file in shell.folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    kept += b"".join(file.read_bytes() for file in (shell.folder.parent / "home").rglob("*") if file.is_file())
    for hidden in (secret, password, "token-of-the-hub"):
        assert hidden not in told
        assert hidden.encode() not in kept


def test_a_value_too_long_for_the_store_is_kept_whole(shell, project):
    project(**SAYS)
    text = f"true {'x' * 7000}"
    document = shell.json("finetune", f"text={text}")
    assert document["params"]["text"].startswith("sha256:")
    assert [file.read_text() for file in shell.folder.rglob("params/text.txt")] == [text]


def test_detached_it_goes_on_alone(shell, project):
    project(**says("sleep 12; echo done after all"))
    run = shell.run("finetune", "--detach").stdout.strip()
    assert shell.json("status", run)["status"] == "RUNNING"
    assert "done after all" in shell.run("logs", run, "-f").stdout
    assert shell.json("status", run)["status"] == "FINISHED"


def test_what_a_step_leaves_running_is_ended_with_it(shell, project):
    project(**says("sleep 300 & setsid sleep 301 & echo started"))
    assert shell.json("finetune")["status"] == "FINISHED"
    assert shell.left() == {}


def test_quiet_prints_the_outcome_alone(shell, project):
    project(**ECHO)
    done = shell.run("finetune", "-q")
    assert done.stderr == ""
    assert "FINISHED" in done.stdout
    assert "models:/m-1" in done.stdout


def test_progress_reaches_whoever_looks(shell, project):
    step = """
        import json, os, time
        place = os.environ["DLOPS_PROGRESS"]
        for done in range(100):
            with open(place + ".new", "w") as file:
                json.dump({"done": done, "total": 100, "unit": "batch", "text": "epoch 1/1"}, file)
            os.replace(place + ".new", place)
            time.sleep(0.2)
        """
    project(**says("python step.py"), **{"step.py": step})
    run = shell.run("finetune", "--detach").stdout.strip()
    shown = {}
    while not shown:
        status = shell.json("status", run)
        assert status["status"] == "RUNNING", "the run ended before any progress was recorded"
        shown = status["progress"]
    assert (shown["total"], shown["text"]) == (100, "epoch 1/1")
    shell.run("logs", run, "-f")


def test_a_path_that_is_a_uri_is_fetched_first(shell, project):
    project(
        MLproject="""
            entry_points:
              ingest:
                parameters: {data: path}
                command: "cat {data} && pwd"
            """,
        **{"elsewhere/data.txt": "fetched"},
    )
    uri = (shell.folder / "elsewhere/data.txt").as_uri()
    assert "fetched" in shell.run("ingest", f"data={uri}").stderr
    assert "fetched" in shell.run("ingest", "data=elsewhere/data.txt").stderr


def test_nothing_is_recorded_when_the_store_does_not_answer(fresh_shell, project):
    project(**ECHO)
    document = fresh_shell.json("finetune", "--tracking-uri", "http://127.0.0.1:9", exit_code=5)
    assert document["error"]["kind"] == "unreachable"
    assert not fresh_shell.database.exists()
