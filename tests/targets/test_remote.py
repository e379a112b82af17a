"""A job that goes elsewhere: what is refused before, what travels, and no run that stays open."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from dlops.errors import ConfigError, UnreachableError
from dlops.targets import remote, stores
from dlops.targets.interface import State
from dlops.targets.remote import Remote
from dlops.worker import processes
from tests.targets.here import quietly

SECRET = "hunter2-secret"


def told(launched):
    return list(launched.events())


def printed(events):
    return "".join(event["text"] for event in events if event["event"] == "output")


def test_a_job_from_its_launch_to_its_end(target, far, job, client):
    events = told(
        target.start(job("cat word; echo; echo $OF_TARGET $HOME; echo m; exit 3", params={"epochs": "2"}), quietly)
    )
    assert events[0]["event"] == "started"
    assert printed(events) == f"tracked\nset there {far.folder}\nm\n"
    assert events[-1] | {"status": "FAILED", "exit_code": 3, "params": {"epochs": "2"}} == events[-1]
    run = client.get_run(events[0]["run_id"])
    assert run.data.tags["dlops.handle"] == run.info.run_id
    assert run.data.tags["dlops.target"] == "far"
    assert run.data.tags["dlops.page"] == f"http://far/{run.info.run_id}"
    assert far.sent == ["job.sealed", "project.tar.gz", "worker.pyz"]


def test_files_of_this_machine_go_with_the_run(target, job, client, tmp_path):
    (tmp_path / "a table" / "_log").mkdir(parents=True)
    (tmp_path / "a table/_log/0.json").write_text("rows")
    (tmp_path / "data.csv").write_text("text")
    places = {"@in:a:0@": str(tmp_path / "a table"), "@in:b:0@": str(tmp_path / "data.csv")}
    events = told(
        target.start(job("cat @in:a:0@/_log/0.json @in:b:0@; echo @in:a:0@@3 $DLOPS_ORIGINS", inputs=places), quietly)
    )
    assert events[-1]["status"] == "FINISHED", events
    assert printed(events).startswith("rowstext")
    assert "a table@3" in printed(events)
    assert str(tmp_path / "a table") in printed(events)
    run_id = events[0]["run_id"]
    assert [file.path for file in client.list_artifacts(run_id, "inputs/1")] == ["inputs/1/data.csv"]


def test_secrets_that_the_job_needs_travel_and_others_do_not(target, far, job, client, tmp_path):
    needed = job(f"echo {SECRET} | wc -c; echo {SECRET}", secrets=(SECRET, "of-this-machine-only"))
    events = told(target.start(needed, quietly))
    assert printed(events).endswith("***\n")
    assert printed(events).startswith("15\n")
    travelled = remote._needed(needed)
    assert travelled == (SECRET,)
    for file in [*far.folder.rglob("*"), *(tmp_path / "store").rglob("*")]:
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_every_problem_is_told_before_anything_is_made(target, job, tmp_path, client):
    (tmp_path / "big").write_bytes(b"")
    with (tmp_path / "big").open("r+b") as file:
        file.truncate(3 * 1024**3)
    (tmp_path / "bare").mkdir()
    wrong = job(
        "true",
        grace=0.0,
        inputs={"@a@": str(tmp_path / "big"), "@b@": str(tmp_path / "none*.csv"), "@c@": "/shared/data.csv"},
        outputs={"@d@": str(tmp_path), "@e@": "/shared/table"},
        folder=str(tmp_path / "bare"),
    )
    found = target.problems(wrong)
    assert len(found) == 6
    assert found[0] == "no time to end"
    assert found[1].startswith(f"the tracking store sqlite:///{tmp_path}/store/mlflow.db is on this machine")
    assert found[2].startswith(f"{tmp_path} is a place on this machine, which far does not have: name a URI")
    assert "big has 3.0 GiB, and at most 2 are uploaded" in found[3]
    assert found[4].startswith(f"{tmp_path}/none*.csv is a place on this machine")
    assert "is in no Git repository" in found[5]
    assert client.search_runs(["0"]) == []


@pytest.mark.parametrize("kind", ["", "RSA ", "ENCRYPTED "])
def test_a_private_key_is_never_uploaded(target, job, tmp_path, kind, monkeypatch):
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    key, public = tmp_path / "key.pem", tmp_path / "cert.pem"
    key.write_text(f"{certificate}-----BEGIN {kind}PRIVATE KEY-----\nMIIE\n-----END {kind}PRIVATE KEY-----\n")
    public.write_text(certificate)
    (problem,) = target._of_inputs(job("true", inputs={"@cert@": str(public), "@key@": str(key)}))
    assert problem.startswith(f"{key} is a private key, which all who see the run could read: put it on the machines")
    monkeypatch.setattr(target, "_shared", (str(tmp_path),))
    assert target._of_inputs(job("true", inputs={"@key@": str(key)})) == []


def test_a_job_that_is_not_taken_leaves_a_run_that_says_so(target, far, job, client):
    far.full = True
    with pytest.raises(UnreachableError, match="far takes no more jobs"):
        target.start(job("true"), quietly)
    experiment = client.get_experiment_by_name("tests").experiment_id
    (run,) = client.search_runs([experiment])
    assert (run.info.status, run.data.tags["dlops.error"]) == ("FAILED", "far takes no more jobs")


def test_a_store_that_is_none_starts_nothing(target, job, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnreachableError):
        target.start(job("true", tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db"), quietly)


def test_until_it_is_handed_over_the_run_is_the_launchers(target, far, job, client, monkeypatch):
    seen = {}

    def interrupted(taken, package, key):
        seen.update(client.get_run(taken.run_id).data.tags)
        raise KeyboardInterrupt

    monkeypatch.setattr(far, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        target.start(job("true"), quietly)
    assert json.loads(seen["dlops.launcher"]) == json.loads(processes.this())
    assert "dlops.worker" not in seen
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert (run.info.status, run.data.tags["dlops.error"]) == ("KILLED", "ended before it was handed over")


def test_nothing_of_this_machine_is_left_in_a_job(target, far, job, monkeypatch):
    taken = []
    monkeypatch.setattr(far, "submit", lambda job, package, key: taken.append(job) or far.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "RemoteRun", lambda *parts: parts)
        target.start(dataclasses.replace(job("true"), path=("/home/ann/bin",), tree="/home/ann/tree"), quietly)
    (sent,) = taken
    assert (sent.path, sent.tree, sent.lock_folder) == ((), "", "")
    assert sent.client.startswith("mlflow-skinny==")


def test_a_target_is_tried_by_a_job_that_looks_round(target, far, store, client, monkeypatch):
    monkeypatch.setattr(stores, "problems", lambda *known: [])
    found = {name: (state, text) for name, state, text in target.examine(store)}
    assert found["target far"] == ("ok", "takes jobs")
    assert found["there: tracking store"] == ("ok", "answers")
    assert client.search_runs(["0"]) == [], "no run is made"
    far.full = True
    assert list(target.examine(store)) == [("target far", "problem", "far takes no more jobs Wait.")]


def test_one_that_nothing_can_be_recorded_from_is_not_tried(target, store, far):
    (found,) = target.examine(store)
    assert found[:2] == ("target far", "problem")
    assert "is on this machine" in found[2]
    assert far.processes == {}


def test_a_job_that_does_not_begin_is_told_with_what_it_waits_for(target, far, store, monkeypatch):
    monkeypatch.setattr(stores, "problems", lambda *known: [])
    monkeypatch.setattr(remote, "_PATIENCE", 0.0)
    monkeypatch.setattr(far, "state", lambda handle: State(False, "waits for a GPU"))
    tidied = []
    monkeypatch.setattr(far, "tidy", tidied.append)
    ((name, state, said),) = target.examine(store)
    assert (name, state) == ("target far", "note"), "a cluster that only now starts is no problem"
    assert "(waits for a GPU)" in said
    assert len(tidied) == 1


def test_packages_that_others_would_see_or_not_find(target, job):
    assert "takes packages by name only" in "".join(target.problems(job("true", packages=("-e .",))))
    secret = "x @ git+https://ann:hunter2@host/x"
    problem = "".join(target.problems(job("true", packages=(secret,))))
    assert "would show the credentials" in problem


def test_of_a_folder_git_and_environment_files_stay_here(target, job, client, tmp_path):
    data = tmp_path / "data"
    for name in ("rows.csv", ".env", ".env.local", ".git/config", "deep/.env", "deep/.kept", "deep/more.csv"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(SECRET)
    (data / "deep/up").symlink_to(data)
    events = told(target.start(job("cd @in@; find . -type f | sort", inputs={"@in@": str(data)}), quietly))
    assert printed(events).split() == ["./deep/.kept", "./deep/more.csv", "./rows.csv"]


def test_the_projects_own_folder_is_no_data(target, job):
    project = job("true").folder
    problems = target.problems(job("true", inputs={"@in@": project}))
    assert any("holds the project itself" in problem for problem in problems)


def test_new_files_that_git_does_not_track_are_told_of(target, far, job):
    folder = Path(job("true").folder)
    (folder / "mine.py").write_text("x = 1")
    shown = []
    told(target.start(job("ls"), shown.append))
    assert [event["text"] for event in shown if event["event"] == "warning"] == [
        "what Git does not track stays here: mine.py (`git add` sends it)"
    ]


def test_this_machines_own_name_for_itself_means_another_one_there(target, job, monkeypatch, far):
    monkeypatch.setattr(far, "on_loopback", False)
    (problem,) = target.problems(job("true", tracking_uri="http://localhost:5000"))
    assert problem == "the tracking store http://localhost:5000 is this machine's own name for itself: name its host"


def test_a_store_whose_artifacts_are_on_its_own_disk_is_refused(far, job, client):
    with pytest.raises(ConfigError, match=r"keeps artifacts in .*, a folder, which a job on far does not see"):
        Remote(far, variables={}).start(job("true"), quietly)
    assert client.search_runs([client.get_experiment_by_name("tests").experiment_id]) == []
    assert far.processes == {}


def test_a_job_whose_run_cannot_be_told_is_taken_back(target, far, job, client, monkeypatch):
    """Handed over, and the store is gone at that moment: nobody would know the job."""
    monkeypatch.setattr(remote, "_PATIENCE", 0.5)

    def away(client, *parts):
        raise UnreachableError("gone")

    original = type(client).set_tag
    monkeypatch.setattr(
        type(client), "set_tag", lambda *parts: away(*parts) if "dlops.handle" in parts else original(*parts)
    )
    with pytest.raises(UnreachableError, match="gone"):
        target.start(job("sleep 600"), quietly)
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    (process,) = far.processes.values()
    assert process.wait(60) != 0
    assert run.info.status in ("FAILED", "KILLED")


def test_a_secret_that_the_shell_quotes_is_masked_too(target, job):
    secret = "ab'cd 1234"
    events = told(target.start(job(f"echo {shlex.quote(secret)}", secrets=(secret,)), quietly))
    assert printed(events) == "***\n"
