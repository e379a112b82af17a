"""One holder at a time, and none for ever."""

from __future__ import annotations

import subprocess
import sys
import time

from dlops.worker import locks

HOLD = """
import sys, time
from pathlib import Path
from dlops.worker import locks
with locks.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_who_comes_second_waits_until_the_first_is_gone(tmp_path):
    file = tmp_path / "new/folder/x.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        waiting = subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        assert waiting.poll() is None
        holder.kill()
    with waiting:
        assert waiting.stdout.readline() == "held\n"
        waiting.kill()
    with locks.held(file):
        pass
