"""One training on several devices is several processes: the first one speaks and records for all of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_OWN = ("LOCAL_RANK", "NODE_RANK")
"""Environment variables by which Lightning, and whoever starts the nodes, numbers processes and nodes."""

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def is_first() -> bool:
    """Tell whether this process speaks; one that trains alone does."""
    return not any(int(os.environ.get(name) or 0) for name in _OWN)


def first_only(function: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let a function do nothing in the other processes."""

    @functools.wraps(function)
    def guarded(*arguments: Arguments.args, **others: Arguments.kwargs) -> None:
        if is_first():
            function(*arguments, **others)

    return guarded


def place() -> tuple[int, int]:
    """Give this process's number and how many there are, once they have found each other; else (0, 1)."""
    from torch import distributed  # ingest speaks too, and needs no torch

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(everything: list[Value]) -> list[Value]:
    """Give this process's part of a list; the parts differ in length by one at most."""
    number, count = place()
    return everything[number::count]


def gathered(value: Value) -> list[Value]:
    """Give every process what each of them has, in the order of their numbers."""
    _, count = place()
    if count == 1:
        return [value]
    from torch import distributed

    found: list[Any] = [None] * count
    distributed.all_gather_object(found, value)
    return found
