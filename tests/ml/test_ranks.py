from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlops.ml import ranks

PROGRAM = """
import datetime, os, sys
from torch import distributed
from dlops.ml import ranks

number = int(sys.argv[1])
patience = datetime.timedelta(seconds=60)
distributed.init_process_group("gloo", init_method=sys.argv[2], rank=number, world_size=2, timeout=patience)
print(ranks.place(), ranks.share(list("abcde")), ranks.gathered({"number": number}))
distributed.destroy_process_group()
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "", "NODE_RANK": ""}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, False),
    ],
)
def test_the_first_process_of_the_first_node_speaks(monkeypatch, environ, first):
    done = []
    note = ranks.first_only(done.append)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert ranks.is_first() is first
    note("told")
    assert done == (["told"] if first else [])


def test_a_guarded_function_keeps_its_name_and_arguments():
    found = {}

    @ranks.first_only
    def note(*arguments, **others):
        """Notes."""
        found.update(others, arguments=arguments)

    note(1, 2, three=3)
    assert found == {"arguments": (1, 2), "three": 3}
    assert (note.__name__, note.__doc__) == ("note", "Notes.")


def test_a_process_alone_has_everything():
    assert ranks.place() == (0, 1)
    assert ranks.share([3, 1, 2]) == [3, 1, 2]
    assert ranks.gathered("mine") == ["mine"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_shares_of_all_are_everything_once(monkeypatch, count):
    shares = []
    for number in range(count):
        monkeypatch.setattr(ranks, "place", lambda number=number: (number, count))
        shares.append(ranks.share(list(range(5))))
    assert sorted(item for share in shares for item in share) == list(range(5))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_two_processes_share_and_gather(tmp_path):
    """They meet in a file: no port can be taken by another test."""
    environ = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(ranks.__file__).parents[2])}
    meeting = (tmp_path / "meeting").as_uri()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), meeting],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        told = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    both = [{"number": 0}, {"number": 1}]
    expected = [f"(0, 2) {['a', 'c', 'e']} {both}\n", f"(1, 2) {['b', 'd']} {both}\n"]
    assert [out for out, _ in told] == expected, told
