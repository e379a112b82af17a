"""Runs in a cluster: closed when the cluster has lost them, asked to end where they wait."""

from __future__ import annotations

import time

import pytest

from dlops.errors import UnreachableError
from dlops.project import jobs
from dlops.targets import following
from dlops.targets.interface import State


class Cluster:
    """Says of every job the same."""

    name = "gpu"

    def __init__(self, over=True):
        self.over, self.stopped, self.asked = over, [], []

    def owns(self, handle):
        return handle != "of another"

    def state(self, handle):
        self.asked.append(handle)
        if self.over is None:
            raise UnreachableError("does not answer")
        return State(self.over, "its node is gone")

    def stop(self, handle):
        self.stopped.append(handle)

    def tidy(self, handle):
        pass

    def log(self, handle):
        return "last words\n"


@pytest.fixture
def cluster(monkeypatch):
    found = Cluster()
    monkeypatch.setattr(jobs.names, "clusters", lambda name: [found] if name == "gpu" else [])
    monkeypatch.setattr(following, "_GRACE", 0.2)
    monkeypatch.setattr(following, "_POLL", 0.1)
    return found


@pytest.fixture
def run(client):
    def made(age=100.0, target="gpu", handle="h1"):
        tags = {"dlops.target": target, "dlops.heartbeat": str(int(time.time() - age)), "dlops.handle": handle}
        return client.create_run("0", tags={name: value for name, value in tags.items() if value})

    return made


def test_a_job_that_is_lost_has_its_run_closed(client, cluster, run):
    lost = run()
    assert jobs.look_after(client, lost, set()) is True
    closed = client.get_run(lost.info.run_id)
    assert (closed.info.status, closed.data.tags["dlops.error"]) == ("FAILED", "last words\nits node is gone")
    assert jobs.look_after(client, closed, set()) is False


def test_a_run_is_closed_where_its_log_cannot_be_kept(client, cluster, run, monkeypatch):
    def refused(*parts):
        raise PermissionError("/mlartifacts")

    lost = run()
    client.delete_tag(lost.info.run_id, "dlops.heartbeat")
    monkeypatch.setattr(type(client), "log_text", refused)
    assert jobs.look_after(client, client.get_run(lost.info.run_id), set()) is True
    closed = client.get_run(lost.info.run_id)
    assert (closed.info.status, closed.data.tags["dlops.error"]) == ("FAILED", "last words\nits node is gone")


@pytest.mark.parametrize(
    "of", [{"age": 1.0}, {"target": "unknown"}, {"handle": ""}, {"target": ""}, {"handle": "of another"}]
)
def test_nobody_is_asked_of_a_run_that_lives_or_is_not_known_here(client, cluster, run, of):
    kept = run(**of)
    assert jobs.look_after(client, kept, set()) is False
    assert cluster.asked == []
    assert client.get_run(kept.info.run_id).info.status == "RUNNING"


@pytest.mark.parametrize("over", [False, None])
def test_a_job_that_waits_or_that_nobody_can_tell_of_stays_open(client, cluster, run, over):
    cluster.over = over
    kept = run()
    assert jobs.look_after(client, kept, set()) is False
    assert client.get_run(kept.info.run_id).info.status == "RUNNING"


def test_a_cluster_that_does_not_answer_is_asked_once(client, cluster, run):
    cluster.over, away = None, set()
    assert [jobs.look_after(client, run(), away) for _ in range(3)] == [False] * 3
    assert (len(cluster.asked), away) == (1, {"gpu"})


def test_an_end_is_asked_of_the_cluster_that_has_the_job(client, cluster, run):
    waiting = run(handle="h7")
    unknown = run(target="unknown")
    for one in (waiting, run(handle=""), unknown):
        jobs.ask_to_end(client, one)
    assert client.get_run(unknown.info.run_id).info.status == "KILLED", "its job will find it so"
    ended = client.get_run(waiting.info.run_id)
    assert (ended.info.status, ended.data.tags["dlops.error"]) == ("KILLED", "cancelled before it began")
    jobs.ask_to_end(client, ended)
    assert cluster.stopped == ["h7"]
    begun = run(handle="h8")
    client.set_tag(begun.info.run_id, "dlops.worker", "{}")
    jobs.ask_to_end(client, begun)
    assert cluster.stopped == ["h7", "h8"]
    assert client.get_run(begun.info.run_id).info.status == "RUNNING", "its worker ends it"
