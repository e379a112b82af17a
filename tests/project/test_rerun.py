"""What is asked for when a run is done once more: its code, its parameters, its environment, its target."""

from __future__ import annotations

import os

import pytest

from dlops.errors import UsageError
from dlops.project import plan, rerun, source
from dlops.project.environment import Environment
from dlops.project.plan import Request
from dlops.targets.package import tracked
from dlops.worker import installed
from tests.project.test_resume import Kept, run
from tests.project.test_source import Repository

PROJECT = """
name: again
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2}
      resume_from: {type: str, default: ""}
    command: "true {epochs} {resume_from}"
"""


class Store(Kept):
    """Holds a run's texts too."""

    def __init__(self, texts=None, **values):
        super().__init__(**values)
        self.texts = texts or {}

    def text(self, run_id, name):
        return self.texts.get(name, "")


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    found = Repository(tmp_path / "theirs")
    found.commit(**{"MLproject": PROJECT, "sub/MLproject": PROJECT.replace("again", "below"), "word": "one\n"})
    monkeypatch.chdir(tmp_path)
    return found


def recorded(work, **more):
    """Describe a run as a launch from the repository's folder records it."""
    now = source.at_its_commit(source.of(str(work.folder)))
    known = {"project": str(work.folder), "commit": now.commit, "dirty": now.dirty, "environment": "local"}
    return run(**{**known, **more}), now.diff


def test_everything_of_the_run_is_asked_for_again(work):
    before, _ = recorded(work, target="gpu", entry_point="main", environment="uv")
    store = Store({"environment.lock": "torch==2.9\n"}, epochs="7", resume_from="x", note="")
    found = rerun.again(store, before, Request(step=""))
    assert (found.step, found.target, found.environment, found.entry_point) == ("finetune", "gpu", "uv", "main")
    assert found.lock == "torch==2.9\n"
    assert found.given == {"epochs": "7", "note": ""}, "what was left out then is left out, whatever files say now"
    assert found.tags == {"dlops.rerun_of": "r"}
    assert (found.uri, found.version) == (f"file://{work.folder}", before.commit)


def test_what_is_asked_for_wins(work, tmp_path):
    before, _ = recorded(work, target="gpu", environment="uv")
    asked = Request(
        step="", target="local", environment="local", given={"epochs": "1"}, experiment="e", uri=str(tmp_path)
    )
    found = rerun.again(Store({"environment.lock": "torch==2.9\n"}, epochs="7"), before, asked)
    assert (found.target, found.environment, found.experiment, found.uri) == ("local", "local", "e", str(tmp_path))
    assert found.lock == ""
    assert found.given == {"epochs": "1"}


def test_the_code_is_that_of_then_changes_included(work):
    work.write("word", "changed\n")
    work.write("untracked", "x")
    before, diff = recorded(work)
    work("checkout", "-q", "word")
    work.commit(word="later\n")
    request = rerun.again(Store({"source.diff": diff}), before, Request(step=""))
    planned = plan.with_commit(plan.make(request))
    assert (planned.source.folder / "word").read_text() == "changed\n"
    assert not (planned.source.folder / "untracked").exists()
    assert (planned.source.commit, planned.source.dirty, planned.source.diff) == (before.commit, True, diff)
    assert (work.folder / "word").read_text() == "later\n", "the user's own tree is nobody's"
    assert list(rerun.notes(before, request)) == []


def test_a_folder_below_the_top_is_found_again(work):
    below, _ = recorded(work, project=str(work.folder / "sub"), subfolder="sub")
    request = rerun.again(Store(), below, Request(step=""))
    assert request.uri == f"file://{work.folder}#sub"
    assert plan.make(request).project.name == "below"
    assert source.at_its_commit(source.of(str(work.folder / "sub"))).subfolder == "sub"


def test_from_another_machine_the_repository_is_that_of_the_remote(work):
    before, _ = recorded(work, project="/of/another/machine", remote="https://example.org/r.git", subfolder="sub")
    found = rerun.again(Store(), before, Request(step=""))
    assert (found.uri, found.version) == ("https://example.org/r.git#sub", before.commit)
    remote, _ = recorded(work, project="https://example.org/r.git#sub")
    found = rerun.again(Store(), remote, Request(step=""))
    assert (found.uri, found.version) == ("https://example.org/r.git#sub", before.commit)


def test_what_cannot_be_had_again_is_said(work):
    work.write("untracked", "x")
    before, _ = recorded(work)
    request = rerun.again(Store(), before, Request(step=""))
    assert list(rerun.notes(before, request)) == [
        "Beside its commit, the run had changes that are not recorded: files that Git did not track."
    ]
    bare = run(project=str(work.folder), environment="local")
    request = rerun.again(Store(), bare, Request(step=""))
    assert (request.uri, request.version) == (str(work.folder), "")
    assert next(rerun.notes(bare, request)).startswith("The run's project was in no Git repository")


def test_packages_that_are_others_now_are_told(work):
    before, _ = recorded(work)
    same = rerun.again(Store({"environment.lock": installed.packages()}), before, Request(step=""))
    assert list(rerun.notes(before, same)) == []
    lock = installed.packages() + "".join(f"gone-{number}==1\n" for number in range(6))
    (note,) = rerun.notes(before, rerun.again(Store({"environment.lock": lock}), before, Request(step="")))
    assert note.startswith("6 packages are not what the run had: gone-0 1 → none, ")
    assert "gone-5" not in note
    elsewhere = rerun.again(Store({"environment.lock": lock}), before, Request(step="", target="gpu"))
    assert list(rerun.notes(before, elsewhere)) == []


def test_changes_below_the_top_are_tracked_again_with_what_they_add(work):
    """Only files that Git tracks are sent to a target."""
    work.write("sub/MLproject", PROJECT.replace("again", "changed below"))
    work.write("sub/new.py", "x = 1\n")
    work("add", "-A")
    here = source.at_its_commit(source.of(str(work.folder / "sub")))
    before = run(project=str(work.folder / "sub"), subfolder="sub", commit=here.commit, dirty=True)
    planned = plan.make(rerun.again(Store({"source.diff": here.diff}), before, Request(step="")))
    assert planned.project.name == "changed below"
    assert tracked(planned.source.folder) == ["MLproject", "new.py"]


def test_changes_that_were_masked_are_not_run_as_something_else(work):
    work.write("word", "https://ann:hunter2-secret@example.org\n")
    planned = plan.with_commit(plan.make(Request(step="finetune", uri=str(work.folder))))
    job = planned.job(Environment("local", ()))
    assert job.tags["dlops.diff"] == "masked"
    assert "hunter2" not in job.artifacts["source.diff"]
    masked, _ = recorded(work, diff_masked=True)
    with pytest.raises(UsageError, match="hold secrets, and were not kept"):
        rerun.again(Store(), masked, Request(step=""))


def test_changes_that_were_lost_are_not_left_out(work):
    lost, _ = recorded(work, dirty=True, diff_kept=True)
    with pytest.raises(UsageError, match=r"has no artifact source\.diff"):
        rerun.again(Store(), lost, Request(step=""))


def test_a_commit_that_nobody_here_has_is_told(work):
    gone = run(project="/of/another/machine", commit="a" * 40)
    with pytest.raises(UsageError, match="Nobody here has commit aaaaaaaaaaaa of run r"):
        rerun.again(Store(), gone, Request(step=""))
    other = run(project=str(work.folder), commit="a" * 40, remote="https://***@example.org/r.git")
    assert rerun.again(Store(), other, Request(step="")).uri == "https://example.org/r.git"
    local = run(project="/gone", commit="a" * 40, remote="/srv/git/r.git")
    assert rerun.again(Store(), local, Request(step="")).uri == "file:///srv/git/r.git"
