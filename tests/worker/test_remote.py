"""The worker that was sent: alone in a folder, it runs its job, and says by its exit code how that ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlops.targets import package
from dlops.worker import sealed
from dlops.worker.job import Job
from tests.project.test_source import Repository

SECRET = "hunter2-secret"


@pytest.fixture
def sent(tmp_path, store):
    """Send a job to a folder and run it there, in a Python that cannot see this package."""
    work = Repository(tmp_path / "project")
    work.commit(**{"step.py": "import sys; print(open('data/word').read(), sys.argv[1:])", "data/word": "tracked"})
    work.write(".env", SECRET)

    def run(command, key=None, **fields):
        folder = tmp_path / "sent"
        folder.mkdir()
        texts = {"step": "finetune", "entry_point": "main", "target": "far", "experiment": "tests", "command": command}
        job = Job(**{**texts, "folder": str(work.folder), "tracking_uri": store, **fields})
        own = package.pack(folder, job)
        environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "tmp"), sealed.KEY: key or own}
        (tmp_path / "tmp").mkdir()
        return subprocess.run(
            [sys.executable, "-E", "worker.pyz"], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
        )

    return run


def only_run(client):
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return run


def test_it_runs_the_projects_files_and_leaves_nothing(sent, client, tmp_path):
    done = sent(f"python step.py {SECRET}; echo at $WHERE; ls -a; pwd", variables={"WHERE": "home"}, secrets=(SECRET,))
    assert done.returncode == 0, done.stderr
    assert "tracked ['***']\nat home\n" in done.stdout
    assert ".env" not in done.stdout
    assert Path(done.stdout.splitlines()[-1]).parent.parent == tmp_path / "tmp"
    assert [file.name for file in (tmp_path / "tmp").glob("[!.]*") if not file.name.startswith("dlops-store-")] == []
    run = only_run(client)
    assert run.info.status == "FINISHED"
    lock = Path(client.download_artifacts(run.info.run_id, "environment.lock", str(tmp_path))).read_text()
    assert "mlflow==" in lock
    assert SECRET not in done.stdout + done.stderr + lock


def test_a_command_that_fails_is_a_failed_job(sent, client):
    done = sent("echo error: no room; exit 7")
    assert done.returncode == 1
    assert done.stdout == "error: no room\n"
    run = only_run(client)
    assert (run.info.status, run.data.tags["dlops.exit_code"]) == ("FAILED", "7")


def test_it_goes_on_with_the_run_that_was_made_for_it(sent, client):
    made = client.create_run("0").info.run_id
    assert sent("true", run_id=made).returncode == 0
    run = only_run(client)
    assert (run.info.run_id, run.info.status) == (made, "FINISHED")
    assert "dlops.worker" in run.data.tags


@pytest.mark.parametrize("state", ["ended", "taken"])
def test_a_run_that_is_over_or_anothers_is_left_alone(sent, client, state, tmp_path):
    made = client.create_run("0", tags={"dlops.worker": "{}"} if state == "taken" else {}).info.run_id
    if state == "ended":
        client.set_terminated(made, "KILLED")
    done = sent(f"touch {tmp_path}/ran", run_id=made)
    assert done.returncode == 1
    assert ("is KILLED: there is nothing to do" if state == "ended" else "has a worker already") in done.stdout
    assert not (tmp_path / "ran").exists()
    assert only_run(client).info.status == ("KILLED" if state == "ended" else "RUNNING")
    client.set_terminated(made, "KILLED")


def test_without_the_key_nothing_is_done(sent, client, tmp_path):
    done = sent(f"touch {tmp_path}/ran {SECRET}", key=sealed.new_key())
    assert done.returncode == 1
    assert "sealed with another key" in done.stderr
    assert not (tmp_path / "ran").exists()
    for file in (tmp_path / "sent").iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_what_was_uploaded_and_what_is_shared_reach_the_command(sent, client, tmp_path):
    made = client.create_run("0").info.run_id
    client.log_text(made, "from far", "inputs/0/data.csv")
    (tmp_path / "shared file").write_text("from here")
    done = sent(
        "cat @a@ @b@/x; echo; echo $DLOPS_ORIGINS",
        run_id=made,
        downloads={"@a@": f"runs:/{made}/inputs/0/data.csv"},
        uploaded={"@a@": "/home/ann/data.csv"},
        inputs={"@b@/x": str(tmp_path / "shared file")},
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("from farfrom here\n")
    assert '"/home/ann/data.csv"' in done.stdout


def test_a_job_travels_whole():
    texts = ("step", "entry_point", "target", "command", "folder", "tracking_uri", "experiment")
    job = Job(**dict.fromkeys(texts, "x"), packages=("a==1",), variables={"A": "b"}, uploaded={"p": "q"})
    assert Job.from_json(job.to_json()) == job
