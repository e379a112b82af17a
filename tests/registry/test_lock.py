"""The lock: one at a time, in processes that know nothing of each other; the dead are passed by."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from dlops.errors import UnreachableError
from dlops.registry import lock

TAKE = """
import sys, time
from mlflow import MlflowClient
from dlops.registry import lock
client = MlflowClient(sys.argv[1])
for _ in range(3):
    with lock.held(client, "films") as still:
        count = int(client.get_registered_model("films").tags.get("count", "0"))
        still()
        time.sleep(0.02)
        client.set_registered_model_tag("films", "count", str(count + 1))
"""


@pytest.mark.timeout(280)
def test_processes_that_count_together_lose_no_count(films, uri):
    taking = [subprocess.Popen([sys.executable, "-c", TAKE, uri]) for _ in range(4)]
    assert [one.wait(250) for one in taking] == [0] * 4
    tags = films.get_registered_model("films").tags
    assert tags == {"count": "12"}, "no lock is left"


def test_a_dead_contender_is_passed_by(films):
    films.set_registered_model_tag("films", f"{lock.PREFIX}dead", "1 0")
    films.set_registered_model_tag("films", f"{lock.PREFIX}choosing", "0")
    began = time.monotonic()
    with lock.held(films, "films", lease=0.5):
        assert time.monotonic() - began > 0.5
        assert len(films.get_registered_model("films").tags) == 1
    assert films.get_registered_model("films").tags == {}


def test_who_waits_behind_the_living_gives_up_in_the_end(films):
    with (
        lock.held(films, "films", lease=30),
        pytest.raises(UnreachableError, match="Others have been changing 'films'"),
        lock.held(films, "films", lease=30, patience=0.5),
    ):
        pass
    with lock.held(films, "films", patience=0.5):
        pass


def test_who_was_too_slow_begins_again_with_another_tag(films, monkeypatch):
    write, slow = films.set_registered_model_tag, iter([0.0, 0.3])
    tags = []

    def written(name, key, value):
        tags.append(key)
        time.sleep(next(slow, 0.0))
        write(name, key, value)

    monkeypatch.setattr(films, "set_registered_model_tag", written)
    with lock.held(films, "films", lease=0.5) as still:
        still()
        assert len(set(tags)) == 2
        assert list(films.get_registered_model("films").tags) == [tags[-1]]


def test_who_waits_long_is_not_taken_for_dead(films):
    order = []

    def wait(number, lease):
        with lock.held(films, "films", lease=lease):
            order.append(number)

    with lock.held(films, "films", lease=60):
        first = threading.Thread(target=wait, args=(1, 60))  # it beats every 15 s
        first.start()
        time.sleep(0.5)
        second = threading.Thread(target=wait, args=(2, 60))
        second.start()
        time.sleep(1)
    first.join(30)
    second.join(30)
    assert order == [1, 2]


def test_a_lock_that_was_held_for_too_long_is_no_longer_one(films):
    with lock.held(films, "films", lease=1) as still:
        time.sleep(0.6)
        with pytest.raises(UnreachableError, match="cannot be changed safely"):
            still()
    with lock.held(films, "films") as still:
        (tag,) = films.get_registered_model("films").tags
        films.delete_registered_model_tag("films", tag)
        with pytest.raises(UnreachableError):
            still()
