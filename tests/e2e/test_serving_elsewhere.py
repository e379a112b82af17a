"""A server that is launched on a Ray cluster: found by its URL, looked after as any run, gone with its run."""

from __future__ import annotations

import os
import signal
import time

import mlflow
import pytest
import requests

from tests import processes, servers
from tests.pipelines.conftest import ROOT
from tests.pipelines.test_predict import log_words
from tests.targets import ray_clusters

__all__ = ["log_words"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:.*input example was not provided"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory, initialised_store):
    with servers.tracking(tmp_path_factory.mktemp("tracking"), initialised_store) as server:
        yield server


@pytest.fixture(scope="module")
def cluster():
    """Two nodes."""
    with ray_clusters.stopped_at_the_end() as found:
        found.start()
        found.join()
        yield found


@pytest.fixture
def steps(fresh_shell, store, cluster):
    """A shell with the cluster as a target; whatever is recorded lies on a server that both reach."""
    shell = fresh_shell
    shell.environ["MLFLOW_TRACKING_URI"] = store.uri
    (shell.folder / "configs").mkdir()
    (shell.folder / "configs/targets.yaml").write_text(
        f"there: {{kind: ray, address: '{cluster.address}', cpus: 0.5,"
        f" variables: {{DLOPS_HOME: '{shell.environ['DLOPS_HOME']}'}}}}\n"
    )
    yield shell
    assert cluster.served() == {}
    assert "RUNNING" not in store.statuses(), "a run was left open"


@pytest.fixture
def words(steps, log_words):
    """A model that is nowhere but on the server."""
    client = mlflow.MlflowClient(steps.environ["MLFLOW_TRACKING_URI"])
    return log_words(experiment=client.create_experiment(f"models of {steps.folder}"))


def asked(model, *more):
    return ("serve", f"model={model}", "port=0", "replicas=2", "--uri", ROOT, "--env", "local", "--on", "there", *more)


def served(shell):
    """Wait until the latest run tells its URL; give the run."""
    deadline = time.monotonic() + 240
    while True:
        (run,) = shell.json("status", "-n", "1") or [{"status": "not there"}]
        if run["status"] == "RUNNING" and run["outputs"]:
            return run
        assert time.monotonic() < deadline, shell.run("logs", run["run_id"]).stdout
        time.sleep(0.5)


def engines(shell):
    """List the processes of replicas, which answer for them."""
    return [command for command in shell.processes().values() if "dlops.ml.engines.process" in command]


def pid_of(cluster, word):
    """Find a process with a word in its command line, which is no shell's."""
    found = [command for name in cluster.names() for command in processes.carrying(ray_clusters.MARK, name).items()]
    (pid,) = [pid for pid, command in found if word in command and "sh -c" not in command]
    return pid


def until_gone(shell, cluster, seconds=60):
    deadline = time.monotonic() + seconds
    while (left := cluster.served() or engines(shell)) and time.monotonic() < deadline:
        time.sleep(0.3)
    assert not left


def test_it_is_found_asked_and_cancelled(steps, words, cluster):
    run_id = steps.json(*asked(words, "path=/films"), "--detach")["run_id"]
    run = served(steps)
    url = run["outputs"]["url"]
    assert (run["run_id"], run["target"]) == (run_id, "there")
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/films")
    told = requests.post(f"{url}/predict", json={"texts": ["a good film", "a dull one"]}, timeout=60).json()
    assert [one["label"] for one in told["predictions"]] == ["positive", "negative"]
    told = requests.post(f"{url}/invocations", json={"inputs": ["a good film"]}, timeout=60).json()
    assert told["predictions"][0]["label"] == "positive"
    assert list(cluster.served().values()) == ["RUNNING"]
    assert len(engines(steps)) == 2
    assert url in steps.run("status", run_id).stdout
    assert f"Serving {words} on {url}" in steps.run("logs", run_id).stdout
    assert steps.json("cancel", run_id)["status"] == "KILLED"
    log = steps.run("logs", run_id).stdout
    assert log.endswith("error: Ended by SIGTERM.\n"), "it was not left the time to end its server"
    assert "Traceback" not in log
    assert cluster.served() == {}
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/ping", timeout=5)


@pytest.mark.parametrize(
    ("killed", "told"),
    [("pipelines.serve", "failed with exit code 137"), ("worker.pyz", "The worker of serve was killed")],
)
def test_it_is_killed_and_its_replicas_go(steps, words, cluster, killed, told):
    launched = steps.start(*asked(words))
    run = served(steps)
    assert requests.post(f"{run['outputs']['url']}/predict", json={"text": "good"}, timeout=60).ok
    os.kill(pid_of(cluster, killed), signal.SIGKILL)
    _, err = launched.communicate(timeout=120)
    assert launched.returncode == 4, err
    assert told in err
    until_gone(steps, cluster)
    assert steps.json("status", run["run_id"])["status"] == "FAILED"
