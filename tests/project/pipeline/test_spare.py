from __future__ import annotations

import os
import time

from dlops.project.pipeline.spare import Spare
from tests import processes


def waiting():
    return processes.carrying("DLOPS_HOME", os.environ["DLOPS_HOME"]).keys() - {os.getpid()}


def test_one_worker_waits_and_is_given_once():
    spare = Spare()
    try:
        assert waiting() == set()
        spare.prepare()
        deadline = time.monotonic() + 60
        while not waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        ready = waiting()
        assert ready
        spare.prepare()
        assert spare._next is not None
        first = spare.take()
        assert spare.take() is not first, "the second one is yet to be started"
    finally:
        spare.close()
    assert processes.left("DLOPS_HOME", os.environ["DLOPS_HOME"], 10.0).keys() <= {os.getpid()}, "nobody is left"
