"""`python -m pipelines.serve` on a real Ray cluster of several nodes: replicas behind one address, a node lost."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.data.test_cluster import LOOPBACK, nodes
from tests.pipelines.conftest import ROOT
from tests.pipelines.serving import serving, under_load
from tests.pipelines.test_predict import log_words, words
from tests.pipelines.test_serve import register

__all__ = ["log_words", "nodes", "words"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:.*input example was not provided"),
]


REPORT = 2.0
"""Seconds after which what a replica has done is told by all."""


def replicas(server):
    """Count the texts that each replica says it has answered."""
    told = Counter()
    for family in text_string_to_metric_families(server.get("/metrics").text):
        for one in family.samples:
            if one.name == "dlops_rows_total":
                told[one.labels["replica"]] += int(one.value)
    return told


def answering(server):
    """Ask over one connection, thus at one node, and count the replicas that have answered meanwhile."""
    time.sleep(REPORT)
    before = replicas(server)
    with requests.Session() as session:
        session.headers.update(server.headers)
        assert all(session.post(f"{server.url}/predict", json={"text": "good"}).ok for _ in range(24))
    time.sleep(REPORT)
    return len(replicas(server) - before)


def busy(server):
    """Count the replicas that have answered anything."""
    return sum(count > 0 for count in replicas(server).values())


def until(condition, seconds=90, told=()):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "\n".join(told)
        time.sleep(0.2)


def test_replicas_answer_as_one_server_and_outlive_a_node(steps, log_words, nodes):
    first = register(steps, log_words())
    cluster = {"RAY_ADDRESS": nodes.address, "PYTHONPATH": str(ROOT), **LOOPBACK, "TOKEN": "open sesame"}
    asked = ("replicas=3", "path=/words", "token_variable=TOKEN", "watch_seconds=0.5", "probation_seconds=1")
    with serving(steps, "models:/words@champion", *asked, **cluster) as server:
        assert server.url.endswith("/words")
        assert server.post("/predict", {"texts": ["a good film"]}).status_code == 401
        server.headers = {"Authorization": "Bearer open sesame"}
        told = server.post("/predict", {"texts": ["a good film", "a dull one"]}).json()
        assert [one["label"] for one in told["predictions"]] == ["positive", "negative"]
        assert told["model"]["version"] == first
        assert server.post("/invocations", {"inputs": ["a good film"]}).json()["predictions"][0]["label"] == "positive"
        assert server.get("/", allow_redirects=True).text.startswith("<!doctype html>")
        assert server.get("/openapi.json").json()["paths"].keys() >= {"/predict", "/invocations"}
        # whichever replica answered, any of them takes the feedback
        ids = [server.post("/predict", {"text": "a good film"}).json()["predictions"][0]["id"] for _ in range(12)]
        told = [server.post("/feedback", {"id": one, "label": "positive"}).json() for one in ids]
        assert all(one["correct"] for one in told)
        until(lambda: answering(server) == 3)
        # all of them follow the alias, and nobody is turned away meanwhile
        moved = []

        def move():
            moved.append(register(steps, log_words()))
            until(lambda: sum(f"champion {moved[0]}" in line for line in server.lines) >= 3)
            time.sleep(1)

        seen = under_load(server, move)
        assert {status for status, *_ in seen} == {200}
        assert {version for _, version, *_ in seen} == {first, *moved}
        # a node is lost: what was under way there may be, and then all is as it was

        def lose():
            nodes.stdin.write("\n")
            nodes.stdin.flush()
            assert nodes.stdout.readline() == "removed\n"
            until(lambda: any(line.endswith(": ended") for line in server.lines), told=server.lines)
            until(lambda: server.post("/predict", {"text": "good"}).ok)
            lost.append(time.time())
            time.sleep(3)

        lost = []
        seen = under_load(server, lose)
        assert {status for status, _, began, _ in seen if began > lost[0]} == {200}
        until(lambda: answering(server) == 2)


def test_replicas_are_added_while_many_ask(steps, words, nodes):
    cluster = {"RAY_ADDRESS": nodes.address, "PYTHONPATH": str(ROOT), **LOOPBACK}
    with serving(steps, words, "max_replicas=2", **cluster) as server:
        server.wait_for("^Replica ")
        assert sum(line.startswith("Replica ") for line in server.lines) == 1
        found = under_load(server, lambda: until(lambda: busy(server) == 2, 240, server.lines), clients=6, text="slow")
        assert {status for status, *_ in found} == {200}
        assert sum(line.startswith("Replica ") for line in server.lines) == 2


def test_who_launched_it_is_killed_and_it_goes(steps, words, nodes):
    cluster = {"RAY_ADDRESS": nodes.address, "PYTHONPATH": str(ROOT), **LOOPBACK}
    with serving(steps, words, **cluster, ends_with=-signal.SIGKILL) as server:
        assert server.post("/predict", {"text": "a good film"}).ok
        server.process.kill()
        server.process.wait()

        def gone():
            try:
                return requests.get(f"{server.url}/ping", timeout=5).status_code == 404
            except requests.ConnectionError:
                return True

        until(gone)
    (run,) = [run for run in steps.runs() if run.info.status == "RUNNING"]
    steps.client.set_terminated(run.info.run_id, "KILLED")
