"""What is asked of a Ray cluster and what its answers mean; a real one is in `tests/e2e/test_targets.py`."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dlops.errors import UnreachableError
from dlops.targets import ray
from dlops.targets.ray import Ray, RaySettings
from dlops.worker import sealed
from dlops.worker.job import Job
from tests.data.loopback import serving


class Head(ThreadingHTTPServer):
    """Answers as a cluster's head does, and goes wrong as a test tells it to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.jobs: dict[str, dict] = {}
        self.faults: list[object] = []
        """For each request that begins a job: a status, `lost` (taken, not answered), `cut` (not taken), or None."""
        self.headers: list[str | None] = []
        self.token = ""
        """What every request must show, if it is not empty."""
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """A connection that is broken off is no news here."""


class Handler(BaseHTTPRequestHandler):
    def _answer(self, document, status=200):
        body = json.dumps(document).encode() if not isinstance(document, str) else document.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._answer("Unauthorized: Missing authentication token", 401)
            return
        self.server.headers.append(self.headers.get("X-Gate"))
        if self.path == "/api/version":
            self._answer({"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "s"})
        elif self.path.startswith("/api/packages/"):
            self._answer("", 404)
        elif self.path.endswith("/logs"):
            self._answer({"logs": "printed\n"})
        elif job := self.server.jobs.get(self.path.rpartition("/")[2]):
            self._answer({"type": "SUBMISSION", "entrypoint": "x", "status": "RUNNING", "message": "fine", **job})
        else:
            self._answer(f"Job {self.path.rpartition('/')[2]} does not exist", 404)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/stop"):
            self._answer({"stopped": True})
            return
        with self.server.lock:
            fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            self._answer("busy", fault)
            return
        if fault != "cut":
            asked = json.loads(body)
            name = asked["submission_id"]
            if name in self.server.jobs:
                self._answer(f"Job with submission_id {name} already exists.", 500)
                return
            self.server.jobs[name] = {"submission_id": name, "runtime_env": asked["runtime_env"], "asked": asked}
        if fault in ("cut", "lost"):
            self.close_connection = True
            self.connection.close()
            return
        self._answer({"job_id": name, "submission_id": name})

    def log_message(self, *args):
        pass


@pytest.fixture
def head(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with serving(Head()) as server:
        server.address = f"http://127.0.0.1:{server.server_port}"
        yield server


def cluster(head, **settings):
    return Ray("gpu", RaySettings(address=head.address, **settings))


def job(run_id="a" * 32, **fields):
    texts = ("step", "entry_point", "target", "command", "folder", "tracking_uri", "experiment")
    return Job(**dict.fromkeys(texts, "x"), run_id=run_id, **fields)


@pytest.mark.parametrize("place", ["variable", "file", "home"])
def test_a_cluster_that_wants_a_token_gets_it(head, tmp_path, monkeypatch, place):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    head.token, head.jobs["x"] = "t-123456", {"status": "RUNNING"}
    handle = json.dumps({"kind": "ray", "address": head.address, "job": "x"})
    with pytest.raises(UnreachableError, match="Unauthorized") as refused:
        cluster(head).state(handle)
    assert "RAY_AUTH_TOKEN" in refused.value.hint
    match place:
        case "variable":
            monkeypatch.setenv("RAY_AUTH_TOKEN", "t-123456")
        case "file":
            (tmp_path / "token").write_text("t-123456\n")
            monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
        case _:
            (tmp_path / ".ray").mkdir()
            (tmp_path / ".ray/auth_token").write_text("t-123456")
    assert not cluster(head).state(handle).over
    with pytest.raises(UnreachableError):
        cluster(head, headers={"Authorization": "Bearer another"}).state(handle)


@pytest.fixture
def package(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/job.sealed").write_bytes(b"sealed")
    return tmp_path / "package"


def test_what_is_asked_for(head, package):
    gpu = cluster(head, cpus=2.0, gpus=0.5, memory_gb=1.5, resources={"A100": 1.0}, headers={"X-Gate": "open"})
    handle = gpu.submit(job(packages=("torch==2.9",)), package, "the-key")
    (asked,) = [taken["asked"] for taken in head.jobs.values()]
    assert asked["submission_id"] == f"dlops-{'a' * 32}"
    assert asked["entrypoint"] == "python worker.pyz"
    assert asked["runtime_env"]["env_vars"][sealed.KEY] == "the-key"
    assert asked["runtime_env"]["working_dir"].startswith("gcs://")
    assert asked["runtime_env"]["uv"]["packages"] == ["torch==2.9"]
    sizes = {name: asked[f"entrypoint_{name}"] for name in ("num_cpus", "num_gpus", "memory", "resources")}
    assert sizes == {"num_cpus": 2.0, "num_gpus": 0.5, "memory": 1_500_000_000, "resources": {"A100": 1.0}}
    assert asked["metadata"]["mlflow_run_id"] == "a" * 32
    assert json.loads(handle) == {"kind": "ray", "address": head.address, "job": asked["submission_id"]}
    assert set(head.headers) == {"open"}


@pytest.mark.parametrize("faults", [[503], [429, "cut", None], ["lost"], ["cut", "lost"], [500, 503, "lost"]])
def test_a_job_begins_once_whatever_happens_on_the_way(head, package, faults):
    head.faults = [*faults]
    cluster(head).submit(job(), package, "key")
    assert len(head.jobs) == 1


def test_many_jobs_under_many_faults_begin_once_each(head, package):
    import random

    draw = random.Random(0)
    head.faults = [draw.choice([None, 503, 429, "cut", "lost"]) for _ in range(1000)]
    begun = []

    def one(number):
        with contextlib.suppress(UnreachableError):
            cluster(head).submit(job(run_id=f"{number:032d}"), package, "key")
            begun.append(f"dlops-{number:032d}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) > 60
    assert set(begun) <= set(head.jobs)
    assert len(set(begun)) == len(begun)


def test_what_cannot_pass_is_told_at_once(head, package):
    head.faults = [400, None]
    with pytest.raises(UnreachableError, match="did not do as asked: Request failed with status code 400: busy"):
        cluster(head).submit(job(), package, "key")
    assert head.faults == [None]
    head.faults = [503] * 10
    with pytest.raises(UnreachableError, match="status code 503"):
        cluster(head).submit(job(), package, "key")
    assert len(head.faults) == 6, "not for ever"


@pytest.mark.parametrize(
    ("status", "over", "said"),
    [
        ("PENDING", False, "The job waits for resources, or for its environment. fine"),
        ("RUNNING", False, "The job runs. fine"),
        ("SUCCEEDED", True, "The job has ended. fine"),
        ("FAILED", True, "The job has failed. fine"),
        ("STOPPED", True, "The job was stopped. fine"),
    ],
)
def test_states(head, package, status, over, said):
    gpu = cluster(head)
    handle = gpu.submit(job(), package, "key")
    next(iter(head.jobs.values()))["status"] = status
    state = gpu.state(handle)
    assert (state.over, state.text) == (over, said)
    assert gpu.owns(handle)
    assert not gpu.owns(json.dumps({**json.loads(handle), "address": "http://127.0.0.1:9"}))
    assert not gpu.owns(json.dumps({"kind": "databricks", "run": 1}))
    gpu.stop(handle)
    assert gpu.log(handle) == "printed\n"


def test_a_cluster_that_was_started_anew_knows_nothing_of_it(head, package):
    gpu = cluster(head)
    handle = gpu.submit(job(), package, "key")
    head.jobs.clear()
    assert gpu.state(handle) == ray.State(over=True, text="The cluster knows nothing of this job: it was started anew.")


def test_the_users_own_cluster_is_not_taken_for_it(head, package, monkeypatch):
    """Ray's client prefers what these variables say to what it is told."""
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    cluster(head).submit(job(), package, "key")
    assert len(head.jobs) == 1
    import os

    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:9"


def test_one_that_is_not_there_is_told_with_its_address(package):
    gone = Ray("gpu", RaySettings(address="http://ann:hunter2-secret@127.0.0.1:9"))
    with pytest.raises(UnreachableError) as caught:
        gone.state(json.dumps({"job": "x"}))
    assert "The Ray cluster of target gpu (http://***@127.0.0.1:9) did not do as asked" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_what_is_too_large_is_not_sent(head, package, monkeypatch):
    monkeypatch.setattr(ray, "_LARGEST", 3)
    with pytest.raises(UnreachableError, match="tracked files take 0 MiB packed"):
        cluster(head).submit(job(), package, "key")
    assert head.jobs == {}


def test_the_address_of_rays_client_is_not_that_of_jobs():
    (problem,) = Ray("gpu", RaySettings(address="ray://head:10001")).problems(job())
    assert "http://HOST:8265" in problem


def test_what_it_cannot_install_is_a_problem(head, monkeypatch):
    assert cluster(head).problems(job(packages=("torch==2.9",))) == []
    monkeypatch.setattr(ray.importlib.util, "find_spec", lambda name: None)
    (problem,) = cluster(head).problems(job())
    assert problem == "the target gpu needs Ray's client: pip install 'ray[default]'"
