"""Copies of a process: at once there, in sessions of their own, gone with nobody left to wait for them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from dlops.worker.forks import is_possible

pytestmark = pytest.mark.skipif(not is_possible(), reason="this system has no pidfd_open")
HEAD = """\
import os, sys, tempfile, time
from dlops.worker.forks import Forks

def work():
    said = sys.stdin.read()
    if said == "fail":
        raise ValueError("as asked")
    if said == "sleep":
        time.sleep(60)
    print(f"did {said} in {os.getsid(0) == os.getpid()}", flush=True)

sys.stdin = open(0, closefd=False)
forks = Forks(work)

def told(said):
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    fork = forks.fork(out.fileno(), err.fileno())
    with fork.stdin:
        fork.stdin.write(said.encode())
    return fork, out, err

def text(file):
    file.seek(0)
    return file.read().decode()
"""


def answer(body: str) -> str:
    """Run a program that makes copies of itself, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(body)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_copy_does_what_it_is_told_in_a_session_of_its_own():
    assert answer("""
        runs = [told(word) for word in ("one", "two")]
        for fork, out, err in runs:
            assert fork.wait() == 0 and fork.poll() == 0
            print(text(out).strip(), text(err))
        """).split("\n")[:2] == ["did one in True ", "did two in True "]


def test_threads_ask_for_copies_at_once_and_each_gets_its_own():
    said = answer("""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(told, map(str, range(24))))
    for number, (fork, out, err) in enumerate(runs):
        fork.wait()
        assert text(out) == f"did {number} in True\\n", (text(out), text(err))
    print(len({fork.pid for fork, _, _ in runs}))
    """)
    assert said == "24\n"


def test_what_a_copy_raises_is_printed_where_its_errors_go():
    assert "ValueError: as asked" in answer("fork, out, err = told('fail'); fork.wait(); print(text(err))")


def test_a_copy_is_killed_and_known_to_have_ended():
    assert (
        answer("""
    fork, out, err = told("sleep")
    assert fork.poll() is None
    fork.kill()
    fork.wait()
    fork.send_signal(15)  # nobody is hit who has its number now
    print("ended" if fork.poll() == 0 else "lives")
    """).strip()
        == "ended"
    )


def test_the_process_between_ends_with_whoever_began_it_and_copies_go_on():
    with tempfile.NamedTemporaryFile() as file:
        answer(f"""
        kept = open({file.name!r}, "w")
        fork = forks.fork(kept.fileno(), kept.fileno())
        fork.stdin.write(b"late")
        """)
        for _ in range(100):
            if Path(file.name).stat().st_size:
                break
            subprocess.run(["sleep", "0.05"], check=True)
        with Path(file.name).open() as said:
            assert said.read() == "did late in True\n"


def test_nobody_to_ask_is_an_error():
    assert "gone" in answer("""
    import signal, subprocess
    child = int(subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True).stdout.split()[0])
    os.kill(child, signal.SIGKILL)
    time.sleep(0.2)
    try:
        told("one")
    except OSError:
        print("gone")
    """)
