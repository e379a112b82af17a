"""A process is never mistaken for another, and a tree is ended whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlops.worker import processes

linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")


@pytest.fixture
def spawn():
    """Start processes of a mark, in a session of their own, and leave none."""
    started = []

    def of(command, mark):
        child = subprocess.Popen(
            ["bash", "-c", command],
            env={**os.environ, processes.MARK: mark},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append((child, mark))
        return child

    yield of
    for child, mark in started:
        processes.signal_all(mark, child.pid, signal.SIGKILL)
        child.communicate()


def test_this_process_is_alive():
    assert processes.alive(processes.identity(os.getpid())) is True


def test_a_dead_process_is_dead_and_a_zombie_too():
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    known = processes.identity(child.pid)
    deadline = time.monotonic() + 10
    while processes.started(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.returncode is None
    assert processes.alive(known) is False
    child.wait()
    assert processes.alive(known) is False


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"host": "another"}, None),
        ({"host": "another", "boot": "another"}, None),
        ({"space": "pid:[1]"}, None),
        ({"boot": "another"}, False),
        ({"started": "1"}, False),
        ({"started": ""}, False),
        ({"pid": "4194304"}, False),
    ],
)
def test_what_is_not_this_very_process(changed, answer):
    assert processes.alive({**processes.identity(os.getpid()), **changed}) is answer


@linux
def test_a_process_that_only_its_owner_may_see_is_not_called_dead(monkeypatch, tmp_path):
    """As under `hidepid`: /proc does not show it, and a signal is refused."""

    def refuse(pid, number):
        raise PermissionError

    known = processes.identity(os.getpid())
    monkeypatch.setattr(processes, "started", lambda pid: "")
    monkeypatch.setattr(os, "kill", refuse)
    assert processes.alive(known) is None


@linux
def test_a_name_with_brackets_does_not_confuse(tmp_path):
    program = tmp_path / "a) Z (b"
    program.symlink_to(Path("/bin/sleep").resolve())
    child = subprocess.Popen([program, "60"])
    try:
        assert processes.alive(processes.identity(child.pid)) is True
    finally:
        child.kill()
        child.wait()


@linux
def test_members_are_found_by_mark_and_by_group(spawn):
    child = spawn("sleep 60 & setsid sleep 60 & env -i sleep 60 & echo ready; wait", "mark-one")
    child.stdout.readline()
    other = spawn("echo ready; sleep 60", "mark-two")
    other.stdout.readline()
    time.sleep(0.2)
    assert len(processes.members("mark-one")) == 3
    assert len(processes.members("mark-one", [child.pid])) == 4
    assert child.pid in processes.members("mark-one")
    assert other.pid not in processes.members("mark-one", [child.pid])
    assert processes.members("mark") == []


@linux
def test_end_ends_all_and_only_those(spawn):
    child = spawn("trap '' TERM; setsid sleep 60 & env -i sleep 60 & (trap '' TERM; echo ready; sleep 60)", "mark-a")
    child.stdout.readline()
    other = spawn("echo ready; sleep 60", "mark-b")
    other.stdout.readline()
    began = time.monotonic()
    processes.end("mark-a", group=child.pid, grace=0.3)
    assert processes.members("mark-a", [child.pid]) == []
    assert time.monotonic() - began < 5
    assert other.poll() is None


def test_ending_nothing_is_quick():
    began = time.monotonic()
    processes.end("no process carries this", group=-1, grace=30)
    assert time.monotonic() - began < 2
