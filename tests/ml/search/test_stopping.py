from __future__ import annotations

import time

import pytest

from dlops.ml.search.stopping import Stopping
from tests.ml.search.conftest import trial, tuned

DONE = [trial(0, [0.5]), trial(1, [0.7]), trial(2, [0.6])]


@pytest.mark.parametrize(
    ("given", "trials", "reason"),
    [
        ({"trials": 4}, DONE, ""),
        ({"trials": 3}, DONE, "3 trials have begun"),
        ({"trials": 3}, [*DONE[:2], trial(2, status="running")], "3 trials have begun"),
        ({"stop_at": 0.7}, DONE, "the score 0.7 is reached"),
        ({"stop_at": 0.71}, DONE, ""),
        ({"stop_at": 0.0}, [trial(0, [-1.0])], ""),
        ({"stop_at": 0.7}, [trial(0, [0.9], status="pruned")], ""),
        ({"plateau": 1}, DONE, "1 trials in a row were no better"),
        ({"plateau": 2}, DONE, ""),
        ({"plateau": 2}, [*DONE, trial(3, [0.7])], "2 trials in a row were no better"),
        ({"plateau": 1}, [], ""),
        ({"failures": 0}, [trial(0, status="failed")], "more than 0 trials have failed"),
        ({"failures": 1}, [trial(0, status="failed")], ""),
        ({"failures": 0}, [trial(0, status="out_of_memory")], ""),
    ],
)
def test_a_search_ends_for_a_reason(given, trials, reason):
    assert Stopping(tuned(**given)).reason(trials) == reason


def test_time_counts_with_that_before_an_interruption(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    rule = Stopping(tuned(time_limit=10.0), seconds_before=4.0)
    clock[0] += 5.9
    assert rule.reason([]) == ""
    clock[0] += 0.2
    assert rule.reason([]) == "10 s are over"
