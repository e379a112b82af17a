"""Which version answers: the champion, a challenger for its share, a shadow whose answers nobody sees."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any

from dlops.errors import DlopsError
from dlops.ml.engines import served
from dlops.ml.engines.engine import Record, Row
from dlops.ml.engines.pool import QueueFull
from dlops.ml.engines.worker import EngineError, WorkerDied
from dlops.ml.progress import say
from dlops.ml.serving.deployment import Deployment, deploy
from dlops.ml.serving.metrics import Metrics
from dlops.ml.settings import Serve

_ENOUGH = 20
"""Requests of a new version before its errors say anything."""
_LOOK = 0.5
"""Seconds between looks at a new version's errors."""
_SHADOWS = 64
"""Copies of requests that may be under way to a shadow; what comes beyond is not copied."""


class Traffic:
    """The versions that are there, and who gets which; they may change while requests are under way."""

    def __init__(self, settings: Serve, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.champion: Deployment | None = None
        self.challenger: Deployment | None = None
        self.shadow: Deployment | None = None
        self.refused: defaultdict[str, set[str]] = defaultdict(set)
        """By role, versions that were taken back, or could not be made ready."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._shadowed = 0

    async def open(self) -> None:
        """Make all versions ready that were asked for.

        Raises:
            StepFailed: one is not there, or cannot answer.
        """
        asked = {
            "champion": self.settings.model,
            "challenger": self.settings.challenger,
            "shadow": self.settings.shadow,
        }
        for role, reference in asked.items():
            if reference:
                found = await deploy(served.resolve(reference), self.settings, on_batch=self.metrics.batch)
                setattr(self, role, found)
                self.metrics.version(role, found)
                say(f"{role.capitalize()}: {found.model.told}, engine {found.kept.told.form}")
        if self.settings.watch_seconds:
            for role, reference in asked.items():
                if reference and "@" in reference:
                    self._spawn(self._watch(role, reference))

    @property
    def roles(self) -> dict[str, Deployment]:
        """The versions that are there, by their roles."""
        all_roles = {"champion": self.champion, "challenger": self.challenger, "shadow": self.shadow}
        return {role: found for role, found in all_roles.items() if found}

    async def close(self) -> None:
        """Stop watching, and end all processes."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(one.pool.stop() for one in self.roles.values()))

    def chosen(self, key: str) -> Deployment:
        """Give the deployment that answers whoever has this key: always the same one, as long as it is there."""
        assert self.champion
        if self.challenger and share(key) < self.settings.split:
            return self.challenger
        return self.champion

    async def answers(self, rows: Sequence[Row], key: str) -> tuple[list[Record], Deployment]:
        """Answer rows, and say what did."""
        chosen = self.chosen(key)
        found = await chosen.answers(rows)
        if self.shadow and self._shadowed < _SHADOWS:
            self._shadowed += 1
            self._spawn(self._copied(self.shadow, rows, found))
        return found, chosen

    @property
    def waiting(self) -> int:
        """Rows that wait, of all versions."""
        return sum(one.pool.waiting for one in (self.champion, self.challenger) if one)

    @property
    def replaced(self) -> int:
        """Processes that ended, and were replaced."""
        return sum(one.pool.replaced for one in self.roles.values())

    async def _copied(self, shadow: Deployment, rows: Sequence[Row], found: Sequence[Record]) -> None:
        try:
            told = await shadow.answers(rows)
        except (QueueFull, EngineError, WorkerDied, TimeoutError):
            self.metrics.shadowed("failed", len(rows))
        else:
            same = sum(one.get("label") == other.get("label") for one, other in zip(found, told, strict=True))
            self.metrics.shadowed("same", same)
            self.metrics.shadowed("different", len(rows) - same)
        finally:
            self._shadowed -= 1

    async def _watch(self, role: str, reference: str) -> None:
        """Look what an alias names, and put that in the place of what it named before."""
        while True:
            await asyncio.sleep(self.settings.watch_seconds)
            try:
                await self._look(role, reference)
            except Exception as error:  # whatever it was, the alias is looked at again
                self.metrics.unwatched(role)
                say(f"{role.capitalize()}: {reference} could not be looked at: {type(error).__name__}: {error}")

    async def _look(self, role: str, reference: str) -> None:
        before: Deployment = getattr(self, role)
        now = await asyncio.to_thread(served.resolve, reference)
        if (now.uri, now.version) == (before.model.uri, before.model.version):
            self.refused[role].clear()
        elif f"{now.uri} {now.version}" not in self.refused[role]:
            await self._swapped(role, now)

    async def _swapped(self, role: str, now: served.Served) -> None:
        try:
            new = await deploy(now, self.settings, on_batch=self.metrics.batch)
        except DlopsError as error:
            self.refused[role].add(f"{now.uri} {now.version}")
            say(f"{role.capitalize()}: {now.told} is not taken: {error}")
            return
        before: Deployment = getattr(self, role)  # as it is now: another may have come back while this one was made
        setattr(self, role, new)
        self.metrics.version(role, new)
        say(f"{role.capitalize()}: {new.model.told} instead of {before.model.told}, engine {new.kept.told.form}")
        self._spawn(self._settled(role, new, before))

    async def _settled(self, role: str, new: Deployment, before: Deployment) -> None:
        """Keep the old version until the new one has proved itself; take it back if it fails more often."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.probation_seconds
        try:
            while loop.time() < end and getattr(self, role) is new:
                await asyncio.sleep(_LOOK)
                worst = max(self.settings.max_error_rate, 2 * before.tally.rate)
                if new.tally.requests >= _ENOUGH and new.tally.rate > worst and getattr(self, role) is new:
                    self.refused[role].add(f"{new.model.uri} {new.model.version}")
                    setattr(self, role, before)
                    self.metrics.version(role, before)
                    say(
                        f"{role.capitalize()}: {before.model.told} again, as {new.model.told} failed"
                        f" {new.tally.errors} of {new.tally.requests} requests"
                    )
                    new, before = before, new
                    break
        finally:
            await before.retire()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def share(key: str) -> float:
    """Give a number between 0 and 1 that is always the same for a key, and evenly spread over keys."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
