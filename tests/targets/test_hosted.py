"""A service that answers by itself: what a worker would write is written from here, and nobody takes it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlops.errors import Interrupted, UnreachableError
from dlops.targets import remote
from dlops.targets.hosted import Hosted
from dlops.targets.interface import State
from dlops.worker import reaper
from dlops.worker.job import Job
from tests.targets.here import quietly


class Service:
    """Takes what it is given, and answers from then on."""

    name = "far"
    on_loopback = False
    is_workspace = False

    def __init__(self):
        self.taken, self.stopped = [], []

    def problems(self, job):
        return [f"{name}={value}" for name, value in job.variables.items()]

    def submit(self, job, package, key):
        self.taken.append((job, package, key))
        return "h1"

    def page(self, handle):
        return "http://far/h1"

    def state(self, handle):
        return State(over=False, text="It answers.", ready=True, tags={"dlops.output.url": "http://far/films"})

    def stop(self, handle):
        self.stopped.append(handle)

    def log(self, handle):
        return ""


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def place(service):
    return Hosted(service, variables={"OF_TARGET": "set"})


@pytest.fixture
def job(store, tmp_path):
    """Of a folder that is in no repository, recorded in a database that no other machine sees."""
    texts = {"step": "serve", "entry_point": "serve", "target": "far", "command": "true", "experiment": "tests"}
    kept = {"params": {"model": "films", "long": "x" * 7000}, "artifacts": {"config.yaml": "model: films\n"}}
    return Job(**texts, **kept, folder=str(tmp_path), tracking_uri=store, lock_folder=str(tmp_path))


def test_what_a_worker_would_write_is_written_from_here(place, service, job, client):
    assert place.problems(job) == ["OF_TARGET=set"], "its own ones alone: nothing is sent, nothing there writes"
    assert (place.here, place.forgets, place.stays) == (False, False, True)
    launched = place.start(job, quietly)
    run = client.get_run(launched._run_id)
    assert run.data.params["model"] == "films"
    assert {file.path for file in client.list_artifacts(launched._run_id)} == {"config.yaml", "params"}
    ((taken, package, key),) = service.taken
    assert (taken.run_id, taken.variables, package, key) == (launched._run_id, {"OF_TARGET": "set"}, Path(), "")
    assert reaper.hosted(run)
    assert "dlops.heartbeat" not in run.data.tags, "no worker will give another sign"
    assert run.data.tags["dlops.page"] == "http://far/h1"


def test_it_is_ready_when_the_service_says_so(place, job, client, monkeypatch):
    monkeypatch.setattr("dlops.targets.following._ASK", 0.1)
    events = []
    for event in place.start(job, quietly).events():
        events.append(event)
        if event["event"] == "ready":
            break
    assert [event["event"] for event in events] == ["started", "waiting", "ready"]
    assert events[-1]["outputs"] == {"url": "http://far/films"}
    assert 0 < events[-1]["duration_s"] < 60
    client.set_terminated(events[0]["run_id"])


def test_what_others_may_use_is_not_taken_back(place, service, job, client, monkeypatch):
    def away(*parts):
        raise ConnectionError("away")

    monkeypatch.setattr(type(client), "delete_tag", away)
    monkeypatch.setattr("dlops.targets.hosted._PATIENCE", 0.2)
    with pytest.raises(UnreachableError, match="away") as caught:
        place.start(job, quietly)
    assert caught.value.hint == "What was begun there is left as it is; launch it again."
    assert service.stopped == []
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "FAILED"
    assert remote.HANDLE in run.data.tags


@pytest.mark.parametrize("where", ["set_tag", "delete_tag", "page"])
def test_whoever_is_interrupted_just_after_leaves_a_run_that_goes_on(place, service, job, client, monkeypatch, where):
    interrupts = [KeyboardInterrupt]
    owner = type(client) if where != "page" else type(service)
    original = getattr(owner, where)

    def interrupted(*parts):
        if service.taken and interrupts:
            raise interrupts.pop()
        return original(*parts)

    monkeypatch.setattr(owner, where, interrupted)
    with pytest.raises(Interrupted, match="the run goes on"):
        place.start(job, quietly)
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "RUNNING"
    assert reaper.hosted(run)
    assert "dlops.cancel" not in run.data.tags
    assert service.stopped == []
