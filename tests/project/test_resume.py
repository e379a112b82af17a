"""What is asked for when a run is to go on."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from dlops.errors import UsageError
from dlops.project import resume
from dlops.project.plan import Request
from dlops.project.runs import Run
from tests.project.test_source import Repository

RESUMABLE = """
name: goes-on
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2}
      resume_from: {type: str, default: ""}
    command: "true {epochs} {resume_from}"
  ingest: {command: "true"}
"""


class Kept:
    """Stands for a store that holds the parameters of a run."""

    def __init__(self, **values):
        self._values = values

    def given_up(self, run_id):
        """Nothing is closed here: a run that goes on does."""
        return run("RUNNING")

    def parameters(self, run_id):
        return {"of": run_id, **self._values} if run_id != "r" else self._values


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "MLproject").write_text(RESUMABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def run(status="FAILED", **more):
    known = {"run_id": "r", "name": "n", "step": "finetune", "target": "local", "started": 0.0, "duration_s": 1.0}
    return Run(**{**known, "status": status, "heartbeat_s": None, "experiment": "films", **more})


def test_the_runs_own_project_and_experiment_are_taken_unless_others_are_named(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "MLproject").write_text(RESUMABLE)
    found = resume.again(Kept(epochs="7"), run(project=str(elsewhere)), Request(step=""))
    assert (found.step, found.uri, found.experiment) == ("finetune", str(elsewhere), "films")
    assert found.given == {"epochs": "7", "resume_from": "r"}
    assert found.tags == {"dlops.resumed_from": "r"}
    asked = Request(step="", uri=str(folder), experiment="other", given={"epochs": "8"})
    found = resume.again(Kept(epochs="7"), run(project=str(elsewhere)), asked)
    assert (found.uri, found.experiment, found.given["epochs"]) == (str(folder), "other", "8")


def test_names_are_taken_for_what_they_stood_for_then(folder):
    then = run(resolved={"dataset": "/tables/t@3", "model": "tiny@abc"})
    known = Kept(dataset="t", model="tiny")
    assert resume.again(known, then, Request(step="")).given == {**then.resolved, "resume_from": "r"}
    anew = resume.again(known, then, Request(step="", given={"dataset": "t@4"})).given
    assert (anew["dataset"], anew["model"]) == ("t@4", "tiny@abc")
    assert "model" not in resume.again(Kept(dataset="t"), then, Request(step="")).given, "what it was not launched with"


def test_a_project_that_is_not_here_is_looked_for_in_the_folder_one_is_in(folder):
    assert resume.again(Kept(), run(project="/of/another/machine"), Request(step="")).uri == "."
    assert resume.again(Kept(), run(), Request(step="")).uri == "."


def test_a_run_from_a_remote_goes_on_from_its_commit(folder):
    work = Repository(folder.parent / "theirs")
    work.commit(MLproject=RESUMABLE)
    before = work("rev-parse", "HEAD")
    work.commit(MLproject="name: another\n")
    theirs = run(project=f"file://{work.folder}", commit=before)
    found = resume.again(Kept(epochs="7"), theirs, Request(step=""))
    assert (found.uri, found.version) == (theirs.project, before)
    assert resume.changed(theirs, found.uri, found.version) is None
    asked = Request(step="", uri=str(folder))
    assert resume.again(Kept(), theirs, asked).uri == str(folder)


@pytest.mark.parametrize("status", ["RUNNING", "FINISHED"])
def test_what_is_not_interrupted_does_not_go_on(folder, status):
    with pytest.raises(UsageError, match=r"still running|has finished"):
        resume.again(Kept(), run(status), Request(step=""))


def test_every_masked_value_is_asked_for_at_once(folder):
    with pytest.raises(UsageError) as caught:
        resume.again(Kept(key="***", url="https://me:***@host", epochs="2"), run(), Request(step=""))
    assert list(caught.value.problems) == ["'key' needs its value again", "'url' needs its value again"]


def test_an_entry_point_that_takes_no_run_cannot_go_on(folder):
    with pytest.raises(UsageError, match="cannot go on"):
        resume.again(Kept(), run(step="ingest"), Request(step=""))


def test_another_state_of_the_project_is_told(folder):
    def git(*words):
        own = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD").strip()
    assert resume.changed(run(commit=commit), ".") is None
    assert resume.changed(run(), ".") is None, "nobody knows"
    (folder / "MLproject").write_text(RESUMABLE + "# more\n")
    found = resume.changed(run(commit=commit), ".")
    assert found is not None
    assert (found.commit, found.dirty) == (commit, True)


def test_a_silent_run_is_told_as_such_until_it_is_taken_for_lost(folder):
    with pytest.raises(UsageError, match=r"still running\. Its machine gave no sign for 75 s") as caught:
        resume.again(Kept(), run("RUNNING", heartbeat_s=75.0), Request(step=""))
    assert "After 180 s it is taken for lost" in caught.value.hint
    done = Kept()
    done.given_up = lambda run_id: run("FINISHED")
    with pytest.raises(UsageError, match="has finished"):
        resume.again(done, run("RUNNING", heartbeat_s=200.0), Request(step=""))
    lost = Kept()
    lost.given_up = lambda run_id: run("FAILED")
    assert resume.again(lost, run("RUNNING", heartbeat_s=200.0), Request(step="")).step == "finetune"


def test_what_a_reproduction_had_beside_its_commit_goes_on_with_it(folder):
    class Texts(Kept):
        def text(self, run_id, name):
            return {"source.diff": "the patch", "environment.lock": "torch==2.9\n"}[name]

    work = Repository(folder.parent / "patched")
    work.commit(MLproject=RESUMABLE)
    commit = work("rev-parse", "HEAD")
    project = f"file://{work.folder}"
    theirs = run(project=project, commit=commit, dirty=True, diff_kept=True, rerun_of="q", environment="uv")
    code = resume.of_its_project(Texts(), theirs, Request(step=""))
    assert (code.uri, code.version, code.diff) == (project, commit, "the patch")
    clean = replace(theirs, dirty=False, diff_kept=False)
    found = resume.again(Texts(), clean, Request(step=""))
    assert (found.lock, found.tags["dlops.rerun_of"]) == ("torch==2.9\n", "q")
    assert resume.again(Texts(), clean, Request(step="", environment="local")).lock == ""
    assert resume.again(Texts(), replace(clean, rerun_of=""), Request(step="")).lock == "", "its file may be mended"
