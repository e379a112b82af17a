"""Other servers that answer under the same address: what one tells them, and asks of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

Answer: TypeAlias = tuple[Any, str]
"""The label that was answered, and the version that did."""
_REMEMBERED = 100_000
"""Answers that feedback may name."""


class PeersAwayError(Exception):
    """The others cannot be asked now."""


class Peers(Protocol):
    """All servers under an address, this one among them."""

    def remember(self, answers: Mapping[str, Answer]) -> None:
        """Keep what was answered, by the ids of the answers, for feedback to it."""

    async def recall(self, identity: str) -> Answer | None:
        """Give what was answered; `None` where that is long ago, or never was.

        Raises:
            PeersAwayError: another one may know, and cannot be asked.
        """

    async def metrics(self, own: bytes) -> bytes:
        """Give the metrics of all, of which these are one's own."""


class Memory:
    """The latest answers."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def remember(self, answers: Mapping[str, Answer]) -> None:
        """Keep answers, and forget the oldest ones."""
        self._answers.update(answers)
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)

    def recall(self, identity: str) -> Answer | None:
        """Give an answer."""
        return self._answers.get(identity)


class Alone:
    """A server without any others."""

    def __init__(self) -> None:
        self._memory = Memory()
        self.remember = self._memory.remember

    async def recall(self, identity: str) -> Answer | None:
        """Give what was answered."""
        return self._memory.recall(identity)

    async def metrics(self, own: bytes) -> bytes:
        """Give its own metrics."""
        return own
