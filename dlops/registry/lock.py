"""A lock that a model registry can hold: MLflow's writes are last-one-wins, and none of them compares before it sets.

Lamport's bakery (1974) needs no more than that: each contender has a tag of its own on the registered model, with a
ticket one above all that it saw, and enters when no other has a smaller one, or is choosing. While it waits, it changes
its tag now and then. A contender that was killed leaves its tag behind: the others take it away once it has not changed
for a lease, by their own clocks.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dlops.errors import UnreachableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "dlops.lock."
LEASE = 20.0
"""Seconds after which a contender that was not heard of is dead; who holds the lock does what it has to in half."""
_CHOOSING = "0"
_PAUSE = 0.1


@contextmanager
def held(
    client: MlflowClient, name: str, *, lease: float = LEASE, patience: float = 60.0
) -> Iterator[Callable[[], None]]:
    """Hold the lock of a registered model; what is given raises once it may no longer be held: call it before a write.

    Raises:
        UnreachableError: others held it for `patience` seconds, or it was held for too long.
    """
    own = f"{PREFIX}{uuid.uuid4().hex}"

    def still() -> None:
        if time.monotonic() > until or own not in _contenders(client, name):
            raise UnreachableError(
                f"The registry was so slow that {name!r} cannot be changed safely.", hint="Nothing was; try again."
            )

    try:
        _enter(client, name, own, lease, patience)
        until = time.monotonic() + lease / 2
        still()
        yield still
    finally:
        with contextlib.suppress(Exception):  # whoever comes next takes it away
            client.delete_registered_model_tag(name, own)


def _enter(client: MlflowClient, name: str, own: str, lease: float, patience: float) -> None:
    client.set_registered_model_tag(name, own, _CHOOSING)
    ticket = 1 + max((number for number, _ in _contenders(client, name).values()), default=0)
    began, beat = time.monotonic(), 0.0
    seen: dict[str, tuple[str, float]] = {}
    for count in itertools.count():
        now = time.monotonic()
        if now - beat > lease / 4 or not count:
            client.set_registered_model_tag(name, own, f"{ticket} {count}")
            beat = now
        before = {
            key: text
            for key, (number, text) in _contenders(client, name).items()
            if key != own and (not number or (number, key) < (ticket, own))
        }
        if not before:
            return
        for key, text in before.items():
            known, since = seen.get(key, ("", now))
            seen[key] = (text, since if known == text else now)
            if now - seen[key][1] > lease:
                client.delete_registered_model_tag(name, key)
        if now - began > patience:
            raise UnreachableError(
                f"Others have been changing {name!r} for {patience:.0f} s.", hint="Nothing was changed; try again."
            )
        time.sleep(_PAUSE)


def _contenders(client: MlflowClient, name: str) -> dict[str, tuple[int, str]]:
    """Give ticket and text of each contender's tag; a ticket of 0 is being chosen."""
    tags = client.get_registered_model(name).tags
    return {key: (int(text.split()[0]), text) for key, text in tags.items() if key.startswith(PREFIX)}
