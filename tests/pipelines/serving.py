"""A server of the step `serve`, as the tests hold it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import requests


@dataclass
class Served:
    """A server that runs, and what it has printed."""

    url: str
    process: subprocess.Popen
    lines: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Of every request."""

    def post(self, path, json=None, headers=None, **more):
        headers = {**self.headers, **(headers or {})}
        return requests.post(f"{self.url}{path}", json=json, headers=headers, timeout=60, **more)

    def get(self, path, headers=None, **more):
        return requests.get(f"{self.url}{path}", headers={**self.headers, **(headers or {})}, timeout=60, **more)

    def workers(self):
        """Give the processes that answer."""
        children = psutil.Process(self.process.pid).children()
        return [one for one in children if "dlops.ml.engines.process" in one.cmdline()]

    def wait_for(self, pattern, seconds=60):
        """Wait until it has printed something."""
        end = time.monotonic() + seconds
        while not any(re.search(pattern, line) for line in self.lines):
            assert time.monotonic() < end, "\n".join(self.lines)
            assert self.process.poll() is None, "\n".join(self.lines)
            time.sleep(0.05)


@contextmanager
def serving(steps, model, *words, ends_with=130, **environ):
    """Serve a model on a free port; at the end ask the server to end, and hold it to doing so, and to its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.serve", f"model={model}", "port=0", *words],
        cwd=steps.folder,
        env={**steps.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    found = Served("", process)

    def read():
        for line in process.stdout:
            found.lines.append(line.rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        found.wait_for("^Serving .* on http", 120)
        (line,) = [line for line in found.lines if line.startswith("Serving ")]
        found.url = line.split()[-1]
        yield found
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        assert code == ends_with, "\n".join([*found.lines, f"exit code {code}"])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(10)
        process.stdout.close()


def under_load(server, work, *, clients=3, text="good"):
    """Let clients ask while something is done; give the statuses, and for each answer its version and its moments."""
    over = threading.Event()
    found = []

    def ask():
        with requests.Session() as session:
            session.headers.update(server.headers)
            while not over.is_set():
                began = time.time()
                try:
                    told = session.post(f"{server.url}/predict", json={"text": text}, timeout=60)
                    found.append((told.status_code, told.headers.get("X-Model-Version"), began, time.time()))
                except requests.ConnectionError:
                    found.append((0, None, began, time.time()))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return found
