"""What is made ahead comes in order, no further ahead than said, and leaves nothing running."""

from __future__ import annotations

import random
import threading
import time

import pytest

from dlops.data import ahead


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(ahead.processor, "count", lambda: 2)


def test_results_come_in_the_order_of_their_items():
    def slow(number):
        time.sleep(random.Random(number).random() / 500)
        return number * 2

    assert list(ahead.mapped(slow, range(50))) == [2 * number for number in range(50)]
    assert list(ahead.mapped(slow, [])) == []


def test_several_are_made_at_once_and_items_are_taken_by_the_caller():
    together, takers = threading.Barrier(2, timeout=10), set()

    def items():
        for number in range(4):
            takers.add(threading.current_thread())
            yield number

    assert list(ahead.mapped(lambda _: together.wait() >= 0, items())) == [True] * 4
    assert takers == {threading.current_thread()}


def test_only_a_few_are_made_ahead():
    taken = []
    results = ahead.mapped(lambda number: number, (taken.append(number) or number for number in range(100)))
    assert taken == [], "nothing before the first is asked for"
    for number in results:
        assert len(taken) <= number + 3
    assert len(taken) == 100


def test_an_error_comes_in_its_place_and_ends_the_rest():
    made = []

    def one(number):
        made.append(number)
        return 6 // (3 - number)

    results = ahead.mapped(one, range(100))
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(made) < 10
    assert list(results) == []


def test_an_error_of_the_items_is_raised_too():
    def items():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(ahead.mapped(str, items()))


def test_nothing_runs_on_when_nobody_asks_any_more():
    before = set(threading.enumerate())
    results = ahead.mapped(lambda number: number, range(100))
    assert next(results) == 0
    assert set(threading.enumerate()) > before
    results.close()
    assert set(threading.enumerate()) <= before
