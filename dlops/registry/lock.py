"""A lock that a model registry can hold: MLflow's writes are last-one-wins, and none of them compares before it sets.

Lamport's bakery (1974) needs no more than that: each contender has a tag of its own on the registered model, with a
ticket one above all that it saw, and enters when no other has a smaller one, or is choosing. While it waits, it changes
its tag now and then. A contender that was killed leaves its tag behind: the others take it away once it has not changed
for a lease, by their own clocks. One that was itself too slow to be sure of its tag begins again, with another.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dlops.errors import UnreachableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "dlops_lock_"
LEASE = 20.0
"""Seconds after which a contender that was not heard of is dead; one that is alive acts within half of that."""
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
    contender = _Contender(client, name, lease, patience)
    try:
        contender.enter()
        contender.still()
        yield contender.still
    finally:
        contender.leave()


class _Contender:
    """One that wants the lock, or has it."""

    def __init__(self, client: MlflowClient, name: str, lease: float, patience: float) -> None:
        self._client, self._name, self._lease, self._patience = client, name, lease, patience
        self._tag = ""
        self._written = 0.0
        """When the last write of its tag began."""

    def enter(self) -> None:
        """Wait until it is this one's turn."""
        deadline = time.monotonic() + self._patience
        while not self._turn_came(deadline):
            self.leave()  # it was too slow: others may have taken its tag away, and a late write may bring it back

    def leave(self) -> None:
        """Give the lock back, or the place in the line."""
        with contextlib.suppress(Exception):  # whoever comes next takes it away
            self._client.delete_registered_model_tag(self._name, self._tag)

    def still(self) -> None:
        """Make sure that nobody else can have entered."""
        if not self._is_sure or self._tag not in self._all():
            raise UnreachableError(
                f"The registry was so slow that {self._name!r} cannot be changed safely.",
                hint="See what was changed with `dlops models`, and try again.",
            )

    @property
    def _is_sure(self) -> bool:
        return time.monotonic() - self._written < self._lease / 2

    def _turn_came(self, deadline: float) -> bool:
        """Draw a ticket, and wait for its turn; give up where it may have been taken for dead."""
        self._tag = f"{PREFIX}{uuid.uuid4().hex}"
        self._write(_CHOOSING)
        ticket = 1 + max((number for number, _ in self._all().values()), default=0)
        if not self._is_sure:
            return False
        beats = 0
        seen: dict[str, tuple[str, float]] = {}
        self._write(f"{ticket} {beats}")
        while True:
            before = self._before(ticket)
            if not self._is_sure:
                return False
            if not before:
                return True
            now = time.monotonic()
            for key, text in before.items():
                known, since = seen.get(key, ("", now))
                seen[key] = (text, since if known == text else now)
                if now - seen[key][1] > self._lease:
                    self._client.delete_registered_model_tag(self._name, key)
            if now > deadline:
                raise UnreachableError(
                    f"Others have been changing {self._name!r} for {self._patience:.0f} s.",
                    hint="Nothing was changed; try again.",
                )
            if now - self._written > self._lease / 8:
                beats += 1
                self._write(f"{ticket} {beats}")
            time.sleep(_PAUSE)

    def _write(self, text: str) -> None:
        self._written = time.monotonic()
        self._client.set_registered_model_tag(self._name, self._tag, text)

    def _before(self, ticket: int) -> Mapping[str, str]:
        """Give the tags of those that come before: who is choosing may yet."""
        return {
            key: text
            for key, (number, text) in self._all().items()
            if key != self._tag and (not number or (number, key) < (ticket, self._tag))
        }

    def _all(self) -> dict[str, tuple[int, str]]:
        """Give ticket and text of each contender's tag; a ticket of 0 is being chosen."""
        tags = self._client.get_registered_model(self._name).tags
        found = {key: text for key, text in tags.items() if key.startswith(PREFIX)}
        return {key: (int(text.split()[0]) if text[:1].isdigit() else 0, text) for key, text in found.items()}
