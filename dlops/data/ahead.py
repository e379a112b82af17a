"""Work that is done ahead of those who wait for it, in threads: numpy and Arrow leave the interpreter to others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from dlops.config import processor

Item = TypeVar("Item")
Made = TypeVar("Made")
_MOST = 8
"""Threads; with more the interpreter's lock is what they wait for."""


def mapped(function: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Give what a function makes of each item, in the order of the items, a few of them made ahead.

    Items are taken in the caller's thread. What the function raises is raised in its place; then the rest is left.
    """
    threads = min(_MOST, processor.count())
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
