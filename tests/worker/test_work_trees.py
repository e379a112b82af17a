from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dlops.worker import work_trees
from dlops.worker.work_trees import Hold

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trees" / "one"


def fill(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/file").write_text("x")


def test_the_last_one_removes_it(folder):
    first, second = Hold(folder), Hold(folder)
    fill(folder)
    first.release()
    first.release()
    assert (folder / "sub/file").is_file()
    second.release()
    assert list(folder.parent.iterdir()) == []


def test_what_is_whole_is_known_to_all_until_it_goes(folder):
    with Hold(folder) as first:
        assert not first.ready
        fill(folder)
        first.say_ready()
        with Hold(folder) as second:
            assert second.ready
    with Hold(folder) as again:
        assert not again.ready


def test_a_removal_that_is_broken_off_leaves_nothing_that_counts_as_whole(folder, monkeypatch):
    hold = Hold(folder)
    fill(folder)
    hold.say_ready()

    def killed(*arguments, **others):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(work_trees.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            hold.release()
    assert folder.exists()
    with Hold(folder) as again:
        assert not again.ready
    assert not folder.exists()


def test_what_a_killed_process_held_is_removed_and_what_others_hold_is_not(folder):
    other = folder.with_name("other")
    program = f"""
import sys, time
from pathlib import Path
from dlops.worker.work_trees import Hold
held = Hold(Path({str(folder)!r}))
print("held", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        fill(folder)
        fill(other)
        with Hold(other):
            work_trees.remove_unused(folder.parent)
            assert folder.exists()
            assert other.exists()
            process.send_signal(signal.SIGKILL)
            process.wait()
            work_trees.remove_unused(folder.parent)
            assert not folder.exists()
            assert other.exists()
    finally:
        process.kill()
        process.communicate()
    assert list(folder.parent.iterdir()) == []


def test_nothing_there_is_nothing_to_do(tmp_path):
    work_trees.remove_unused(tmp_path / "nothing")


def test_who_waits_for_a_removal_takes_part_in_what_comes_after(folder):
    """The lock that it waited for is gone with the folder: it takes the new one."""
    lock = work_trees._lock(folder)
    folder.parent.mkdir()
    number = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(number, fcntl.LOCK_EX)
    found = []
    waiting = threading.Thread(target=lambda: found.append(Hold(folder)))
    waiting.start()
    time.sleep(0.2)
    assert found == []
    work_trees._removed(folder, number)
    os.close(number)
    waiting.join(10)
    (hold,) = found
    assert lock.is_file()
    fill(folder)
    with Hold(folder):
        pass
    assert folder.exists(), "the first one still has its part"
    hold.release()
    assert not folder.exists()
