"""A real Ray cluster of several nodes on loopback, whose nodes can be killed; it ends with the test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests import processes
from tests.servers import free_port, outside

MARK = "DLOPS_TEST_RAY_NODE"
"""Variable that every process of a node has, jobs included."""


class RayCluster:
    """A head, and nodes that join it; each is a `ray start --block` with processes below it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="r"))  # a socket's path has a hundred letters at most
        self.address = f"http://127.0.0.1:{free_port()}"
        self.gcs = f"127.0.0.1:{free_port()}"
        self.temporary = self.folder / "tmp"
        """What `tempfile` uses in its jobs."""
        self.temporary.mkdir()
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the head, and wait until its dashboard answers and knows it."""
        ports = {"port": self.gcs, "dashboard-port": self.address}
        words = [f"--{name}={value.rpartition(':')[2]}" for name, value in ports.items()]
        head = ["--head", "--dashboard-host=127.0.0.1", f"--temp-dir={self.folder}", "--include-dashboard=true"]
        self._begin([*head, f"--ray-client-server-port={free_port()}", *words], "{}")
        self._wait(lambda: self._answers("/api/version") and self.nodes() == 1)  # it answers before it counts its own

    def join(self, resources: str = "{}") -> str:
        """Add a node with resources of its own (JSON), and give its name."""
        before = self.nodes()
        name = self._begin([f"--address={self.gcs}"], resources)
        self._wait(lambda: self.nodes() > before)
        return name

    def nodes(self) -> int:
        """Count the nodes that live."""
        answer = urllib.request.urlopen(f"{self.address}/nodes?view=summary", timeout=20).read().decode()
        return answer.count('"state": "ALIVE"') or answer.count('"state":"ALIVE"')

    def served(self) -> dict[str, str]:
        """Give what Ray Serve has there, if it is there at all: the names of applications, and their states."""
        answer = urllib.request.urlopen(f"{self.address}/api/serve/applications/", timeout=60).read()
        return {name: found["status"] for name, found in json.loads(answer)["applications"].items()}

    def names(self) -> list[str]:
        """List the nodes that were started and not killed, the head first."""
        return list(self._nodes)

    def kill(self, name: str) -> None:
        """Kill a node as the loss of its machine would: every process of it, at once."""
        for pid in processes.carrying(MARK, name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._nodes.pop(name).wait()

    def stop(self) -> None:
        """Kill every node."""
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self, words: list[str], resources: str) -> str:
        name = uuid.uuid4().hex
        own = [f"--{port}={free_port()}" for port in ("dashboard-agent-listen-port", "metrics-export-port")]
        own += [f"--dashboard-agent-grpc-port={free_port()}", f"--runtime-env-agent-port={free_port()}"]
        limits = ["--node-ip-address=127.0.0.1", "--disable-usage-stats", "--num-cpus=2"]
        limits += [f"--resources={resources}", f"--object-store-memory={100 * 1024**2}"]
        environ = outside() | {MARK: name, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
        environ["RAY_AUTH_MODE"] = "disabled"  # whatever token this user has
        environ |= {
            "TMPDIR": str(self.temporary),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with (self.folder / f"{name}.log").open("w") as log:
            self._nodes[name] = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *limits, *own, *words],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return name

    def _answers(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self.address}{path}", timeout=5).close()
            return True
        return False

    def _wait(self, condition) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            logs = "\n".join(file.read_text() for file in self.folder.glob("*.log"))
            assert all(node.poll() is None for node in self._nodes.values()), logs
            assert time.monotonic() < deadline, logs
            time.sleep(0.3)


@contextlib.contextmanager
def stopped_at_the_end() -> Iterator[RayCluster]:
    """A cluster without nodes so far; those that are begun end with the context."""
    cluster = RayCluster()
    try:
        yield cluster
    finally:
        cluster.stop()
