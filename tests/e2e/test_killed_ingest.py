"""However an ingest is killed, its table stands at a whole version, and the next ingest completes and cleans up."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import deltalake
import pytest
from deltalake.exceptions import TableNotFoundError

from dlops.data import tables

ROOT = Path(__file__).parents[2]
ROWS, MORE = 4_000, 40
"""Rows of the first version, and how many more each next one has."""
FORKING = """
import json, os, signal, sys, time
from pathlib import Path
import deltalake, mlflow.store.tracking.sqlalchemy_store
from dlops.data import staging
from dlops.ml import step
from dlops.ml.settings import Ingest
from pipelines.ingest import ingest

staging._IN_MEMORY = staging._GATHERED = 256 << 10  # rows go to disk
table, said = Path(sys.argv[1]), Path("said.txt")

def size():
    return sum(1 for _ in table.rglob("*"))

def follow(child, event, wait_s):
    '''Give the seconds from the fork to each event and to the end; kill `wait_s` after the event.'''
    began, before, events = time.monotonic(), size(), {}
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        now = time.monotonic() - began
        events.setdefault("fork", now)
        if "reading" not in events and "Reading" in said.read_text():
            events["reading"] = now
        if "writing" not in events and size() != before:
            events["writing"] = now
        if event in events and now - events[event] >= wait_s:
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.001)
    return {**events, "end": time.monotonic() - began}

for line in sys.stdin:
    event, wait_s, words = line.split(maxsplit=2)
    said.write_text("")
    child = os.fork()
    if not child:
        for number in (1, 2):
            os.dup2(os.open(said, os.O_WRONLY | os.O_APPEND), number)
        os._exit(step.run(Ingest, ingest, words.split()))
    events = follow(child, event, float(wait_s))
    _, status = os.waitpid(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), events]), flush=True)
"""
"""Forks an ingest per line, from a process that has imported everything, and kills it at the moment the line says."""


def text(number):
    return f"<p>review {number} of a film, {'loved' if number % 2 else 'left'} {number * 7919 % 1000003} times</p>"


def version(table):
    """Give the last version as a stock client sees it; -1 where no ingest has completed."""
    try:
        return deltalake.DeltaTable(str(table)).version()
    except TableNotFoundError:
        return -1


def is_free(lock):
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


class Data:
    """Raw data with more rows for each version, and the table that is made of them."""

    def __init__(self, folder):
        self.folder, self.file, self.table = folder, folder / "raw.csv", folder / "table"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.count, self.version = ROWS, -1
        self._write()

    @property
    def words(self):
        return f"source={self.file}", f"table={self.table}"

    def check(self, why):
        """Hold the table to the version before or the next one; that made, go on to data for the one after it."""
        found = version(self.table)
        assert found in (self.version, self.version + 1), why
        if found > self.version:
            self.version, self.count = found, self.count + MORE
            self._write()
        assert found == -1 or self._stands(self.count - MORE), why

    def check_complete(self):
        """Hold the table to the next version; no lock is held, and those that were killed left no rows on disk."""
        before = self.version
        self.check("a repeat")
        assert self.version == before + 1
        assert all(is_free(lock) for lock in self.folder.rglob("*.lock"))
        assert not [left for left in self.temporary.rglob("*") if left.is_file()]

    def _write(self):
        with self.file.open("w") as out:
            out.write("text,label\n")
            out.writelines(f'"{text(number)}",{number % 2}\n' for number in range(self.count))

    def _stands(self, count):
        """Say whether a stock client finds just the rows of the version that has so many, and our digest of them."""
        found = deltalake.DeltaTable(str(self.table)).to_pyarrow_table().to_pydict()
        expected = {text(number)[3:-4]: str(number % 2) for number in range(count)}
        rows = zip(found["id"], found["label"], found["split"], strict=True)
        return (
            len(found["text"]) == count
            and dict(zip(found["text"], found["label"], strict=True)) == expected
            and tables.digest(rows) == tables.history(str(self.table))[0].digest
        )


@contextlib.contextmanager
def ingests(data, store):
    """Give a function that ingests the data as they are, and gives the exit status and when what happened."""
    shutil.copy(store, data.folder / "mlflow.db")
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{data.folder}/mlflow.db",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(data.temporary),
        "OMP_NUM_THREADS": "1",
    }
    command, pipe = [sys.executable, "-c", FORKING, data.table], subprocess.PIPE
    with subprocess.Popen(command, cwd=data.folder, env=environ, stdin=pipe, stdout=pipe, text=True) as server:

        def run(event="never", wait_s=0.0):
            server.stdin.write(" ".join([event, str(wait_s), *data.words]) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield run
        server.stdin.close()


def survives(folder, store, kills, seed):
    """Kill so many ingests at random moments: a third from the start on, a third reading, a third writing."""
    chance = random.Random(seed)
    folder.mkdir()
    data = Data(folder)
    with ingests(data, store) as run:
        for _ in range(max(2, kills // 10)):  # no version is there yet
            run("writing", 0.1 * chance.random())
            data.check(f"seed {seed}, first version")
        status, times = run()
        assert status == 0, (folder / "said.txt").read_text()
        data.check_complete()
        killed = 0
        for number in range(kills):
            event = ("fork", "reading", "writing")[number % 3]
            wait_s = chance.random() * 1.1 * (times["end"] - times[event])
            status, _ = run(event, wait_s)
            killed += status == -signal.SIGKILL
            data.check(f"seed {seed}, kill {number}: {wait_s:.3f} s after {event}")
        assert killed > kills // 2
        assert run()[0] == 0, (folder / "said.txt").read_text()
        data.check_complete()


@pytest.mark.slow
def test_kills_at_random_moments_leave_a_whole_version(tmp_path, initialised_store):
    survives(tmp_path / "ingests", initialised_store, 20, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_kills_at_random_moments_leave_a_whole_version(tmp_path, initialised_store):
    survives(tmp_path / "ingests", initialised_store, 100, time.time_ns())


@pytest.mark.slow
def test_launches_killed_with_all_their_processes_leave_a_whole_version(shell):
    data = Data(shell.folder)
    shell.environ["TMPDIR"] = str(data.temporary)
    words = ("ingest", "--uri", ROOT, *data.words)
    began = time.monotonic()
    shell.run(*words)
    whole_s = time.monotonic() - began
    data.check_complete()
    for share in (0.75, 0.9):
        process = shell.start(*words)
        time.sleep(share * whole_s)
        while left := shell.processes():
            for number in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        process.communicate()
        data.check(f"killed after {share} of {whole_s:.1f} s")
    shell.json("status")  # closes the runs of those that are dead
    assert set(shell.statuses()) <= {"FAILED", "FINISHED"}
    shell.run(*words)
    data.check_complete()
    assert not list(data.temporary.glob("dlops-ingest-*"))
