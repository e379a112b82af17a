"""What is asked of a Databricks workspace, and what its answers mean; against a stand-in that really runs it."""

from __future__ import annotations

import json
import random
import threading

import pytest

from dlops.errors import UnreachableError
from dlops.targets import following, stores
from dlops.targets.databricks import Databricks, _state
from dlops.targets.remote import Remote
from dlops.targets.workspace import DatabricksSettings
from dlops.worker.job import Job
from tests import processes
from tests.targets import databricks_workspace
from tests.targets.here import quietly

VOLUME = "/Volumes/main/ml/films"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABRICKS_TOKEN", databricks_workspace.TOKEN)
    monkeypatch.setattr("databricks.sdk.clock.RealClock.sleep", lambda clock, seconds: None)
    with databricks_workspace.running(tmp_path / "workspace") as running:
        yield running


def target(workspace, **settings):
    chosen = {"folder": VOLUME, "host": workspace.host, "cluster": databricks_workspace.CLUSTER, **settings}
    return Databricks("dbx", DatabricksSettings(**chosen))


def plain(run_id="a" * 32, **fields):
    texts = ("step", "entry_point", "target", "command", "folder", "experiment")
    return Job(**{**dict.fromkeys(texts, "x"), "tracking_uri": "http://x", "run_id": run_id, **fields})


@pytest.fixture
def package(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/worker.pyz").write_bytes(b"print('worker')")
    return tmp_path / "package"


def remote(workspace, cluster, variables):
    """The target that is a workspace, and sees the folder of the tests' store."""
    return Remote(cluster, shared=(str(workspace.folder.parent / "store"),), variables=variables)


def told(launched):
    return list(launched.events())


@pytest.mark.parametrize("folder", [VOLUME, "/Workspace/Users/ann/jobs"])
def test_a_job_from_its_launch_to_its_end(workspace, job, client, folder):
    place = remote(workspace, target(workspace, folder=folder), variables={"OF_TARGET": "set"})
    events = told(place.start(job("cat word; echo; echo $OF_TARGET; exit 3"), quietly))
    printed = "".join(event["text"] for event in events if event["event"] == "output")
    assert printed == "tracked\nset\n"
    assert (events[-1]["status"], events[-1]["exit_code"]) == ("FAILED", 3)
    run = client.get_run(events[0]["run_id"])
    assert run.data.tags["dlops.page"] == f"{workspace.host}/jobs/runs/1000"
    sent = {path.rpartition("/")[2] for path in workspace.received}
    assert sent == {"job.sealed", "project.tar.gz", "worker.pyz", "task.py"}
    assert not workspace.sent(), "what was sent is removed"
    assert "worker ended with status 1" in place._cluster.log(run.data.tags["dlops.handle"])


def test_what_is_asked_for_on_each_kind_of_compute(workspace, package):
    made = {"spark_version": "16.4.x-gpu-ml-scala2.13", "node_type_id": "g5.xlarge", "num_workers": 0}
    kinds = [
        {},
        {"cluster": "", "new_cluster": {**made, "docker_image": {"url": "image"}, "policy_id": "p"}},
        {"cluster": "", "serverless": True},
        {"cluster": "", "serverless": True, "accelerator": "GPU_1xA10", "time_limit_minutes": 30},
    ]
    for number, settings in enumerate(kinds):
        dbx, asked = target(workspace, **settings), plain(run_id=f"{number:032d}", packages=("torch==2.9",))
        assert dbx.problems(asked) == []
        dbx.submit(asked, package, "key")
    tasks = [asked["tasks"][0] for asked in workspace.submitted]
    assert tasks[0]["existing_cluster_id"] == databricks_workspace.CLUSTER
    assert tasks[0]["libraries"] == [{"pypi": {"package": "torch==2.9"}}]
    assert tasks[1]["new_cluster"]["node_type_id"] == "g5.xlarge"
    assert workspace.submitted[2]["environments"][0]["spec"]["dependencies"] == ["torch==2.9"]
    assert "libraries" not in tasks[2]
    assert tasks[3]["compute"] == {"hardware_accelerator": "GPU_1xA10"}
    assert workspace.submitted[3]["timeout_seconds"] == 1800
    assert workspace.submitted[0]["idempotency_token"] == f"{0:032d}"


def test_what_is_wrong_is_told_before(workspace, package):
    dbx = target(
        workspace,
        cluster="x",
        serverless=True,
        new_cluster={"node_typ_id": "x"},
        accelerator="GPU_1xA11",
        folder="dbfs:/films",
        secrets={"HF_TOKEN": "hub"},
    )
    found = dbx.problems(plain(params={"api_key": "***"}))
    assert [problem.partition(": ")[2] or problem for problem in found] == [
        "cluster, new_cluster, serverless are given",
        "new_cluster has no 'node_typ_id'",
        "accelerator is one of GPU_1xA10, GPU_1xH100, GPU_8xB300, GPU_8xH100",
        "folder is below /Volumes/ or /Workspace/, not dbfs:/films",
        "the secret HF_TOKEN is named SCOPE/KEY",
        "let the entry point read it from a variable (secrets:)",
    ]
    (found,) = target(workspace, cluster="").problems(plain())
    assert found.endswith("none is given")
    assert "accelerator is for serverless" in target(workspace, accelerator="GPU_1xA10").problems(plain())[0]


def test_secrets_are_read_where_it_runs(workspace, job, client):
    place = remote(workspace, target(workspace, secrets={"HUB_TOKEN": "films/hub"}), variables={})
    events = told(place.start(job("echo token $HUB_TOKEN | tr a-z A-Z; echo $HUB_TOKEN"), quietly))
    printed = "".join(event["text"] for event in events if event["event"] == "output")
    assert printed == "TOKEN HUNTER2-IN-SCOPE\n***\n"
    assert "hunter2" not in json.dumps(workspace.submitted)


@pytest.mark.parametrize("faults", [[503], [429, "cut"], ["lost"], ["cut", "lost", 503], [503, 429, "lost"]])
def test_a_job_begins_once_whatever_happens_on_the_way(workspace, package, faults):
    workspace.faults = [*faults]
    target(workspace).submit(plain(), package, "key")
    assert len(workspace.runs) == 1


def test_a_hundred_jobs_under_random_faults_begin_once_each(workspace, package):
    draw = random.Random(0)
    workspace.faults = [draw.choice([None, None, 503, 429, "cut", "lost"]) for _ in range(2000)]
    (package / "worker.pyz").write_text("")
    handles = {}

    def some(numbers):
        for number in numbers:
            handles[number] = target(workspace).submit(plain(run_id=f"{number:032d}"), package, "key")

    threads = [threading.Thread(target=some, args=(range(first, 100, 8),)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == len(set(handles.values())) == len(workspace.runs) == 100


def test_a_token_that_has_expired_is_told_and_leaves_no_open_run(workspace, job, client):
    workspace.expired = True
    with pytest.raises(UnreachableError, match="target dbx did not do as asked: Invalid access token") as caught:
        remote(workspace, target(workspace), variables={}).start(job("true"), quietly)
    assert "databricks auth login" in caught.value.hint
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "FAILED"


def test_a_cluster_that_does_not_exist_is_told(workspace, package):
    with pytest.raises(UnreachableError, match="Cluster none does not exist"):
        target(workspace, cluster="none").submit(plain(), package, "key")
    assert not workspace.sent(), "what was sent is removed"


@pytest.mark.parametrize("folder", [VOLUME, "/Workspace/Users/ann/jobs"])
def test_what_nobody_removed_there_is_removed_from_here(workspace, package, folder):
    dbx = target(workspace, folder=folder)
    (package / "worker.pyz").write_text("import time; time.sleep(600)")
    handle = dbx.submit(plain(), package, "key")
    workspace.runs[1000].lose("gone")
    assert workspace.sent()
    dbx.tidy(handle)
    assert not workspace.sent()
    dbx.tidy(handle)


@pytest.mark.parametrize(("how", "status"), [("cancel", "KILLED"), ("lose", "FAILED"), ("terminate", "KILLED")])
def test_a_job_that_ends_otherwise(workspace, job, client, how, status, monkeypatch):
    monkeypatch.setattr(following, "_ASK", 0.5)
    monkeypatch.setattr(following, "_GRACE", 8.0)
    launched = remote(workspace, target(workspace), variables={}).start(job("echo here; sleep 600"), quietly)
    for event in launched.events():
        if event["event"] == "output" and how == "terminate":
            launched.terminate()
        elif event["event"] == "output":
            (task,) = workspace.runs.values()
            task.cancel() if how == "cancel" else task.lose("the spot instance is gone")
        last = event
    assert last["event"] == ("lost" if how == "lose" else "ended")
    run = client.get_run(launched._run_id)
    assert run.info.status == status
    if how == "lose":
        assert "CLUSTER_ERROR" in run.data.tags["dlops.error"]
    assert not workspace.sent(), "what was sent is removed"
    assert not processes.left(databricks_workspace.MARK, workspace.mark)


def test_states_of_older_workspaces_and_of_none():
    from databricks.sdk.service.jobs import Run

    old = Run.from_dict(
        {"state": {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED", "state_message": "m"}}
    )
    assert (_state(old).over, _state(old).text) == (True, "The job is INTERNAL_ERROR (FAILED). m")
    ended = Run.from_dict({"state": {"life_cycle_state": "TERMINATED", "result_state": "CANCELED"}})
    assert _state(ended).cancelled
    assert _state(Run()).over is False


def test_a_run_that_nobody_knows_any_more_is_over(workspace):
    state = target(workspace).state(json.dumps({"run": 7}))
    assert (state.over, state.text) == (True, "The workspace knows nothing of this job.")


def test_the_target_is_tried_by_a_job_that_looks_round(workspace, store, monkeypatch):
    place = remote(workspace, target(workspace), variables={})
    monkeypatch.setattr(stores, "problems", lambda *known: [])
    found = {name: state for name, state, _ in place.examine(store)}
    assert found["target dbx"] == "ok"
    assert found["there: tracking store"] == "ok"
    workspace.expired = True
    assert next(iter(place.examine(store)))[1] == "problem"
