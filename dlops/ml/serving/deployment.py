"""One version of a model that is ready to answer: its engine in processes of its own, held to what it once answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlops.errors import StepFailed
from dlops.ml.engines import devices, store
from dlops.ml.engines.engine import Record, Row, distance
from dlops.ml.engines.pool import Pool
from dlops.ml.engines.served import Served
from dlops.ml.engines.store import Kept
from dlops.ml.engines.worker import EngineError, WorkerDied
from dlops.ml.settings import Serve

_OFF = 0.03
"""How far scores may be from those that were recorded when the engine was made: other processors round otherwise."""


@dataclass
class Tally:
    """What became of the requests to a deployment."""

    requests: int = 0
    errors: int = 0
    """Those among them that the model, or its process, could not answer; not those that were wrong themselves."""

    @property
    def rate(self) -> float:
        """Share of errors."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass
class Deployment:
    """A model, its engine, and the processes that it lives in."""

    model: Served
    kept: Kept
    pool: Pool
    tally: Tally = field(default_factory=Tally)

    @property
    def folder(self) -> Path:
        """Where the engines of the model are."""
        return self.kept.folder.parent

    def document(self) -> dict[str, str | None]:
        """Say which model this is, as answers do."""
        return {
            "name": self.model.name,
            "version": self.model.version,
            "uri": self.model.uri,
            "run_id": self.model.run_id,
            "engine": self.kept.told.form,
        }

    async def answers(self, rows: Sequence[Row]) -> list[Record]:
        """Answer rows, as the pool does."""
        self.tally.requests += 1
        try:
            return await self.pool.answers(rows)
        except (EngineError, WorkerDied):
            self.tally.errors += all(isinstance(text, str) for row in rows for text in row)  # else whoever asked erred
            raise

    async def retire(self) -> None:
        """Answer what waits, then end the processes."""
        await self.pool.drained()
        await self.pool.stop()


async def deploy(
    model: Served,
    settings: Serve,
    *,
    on_batch: Callable[[int, float], None] | None = None,
) -> Deployment:
    """Make a version ready: it has answered before anybody asks it.

    Raises:
        StepFailed: no engine of it can be made or loaded, or it answers otherwise than when it was made.
    """
    try:
        return await _deployed(model, settings, on_batch)
    except _NotAsKept as error:  # it may be damaged: it is made once more
        await asyncio.to_thread(store.forget, error.kept)
        return await _deployed(model, settings, on_batch)


class _NotAsKept(StepFailed):
    """An engine that is kept cannot be loaded, or answers otherwise than when it was made."""

    def __init__(self, message: str, kept: Kept) -> None:
        super().__init__(message)
        self.kept = kept


async def _deployed(model: Served, settings: Serve, on_batch: Callable[[int, float], None] | None) -> Deployment:
    kept = await asyncio.to_thread(store.kept, model, settings.engine, settings.agreement)
    plan = devices.plan(
        kept,
        workers=settings.workers,
        batch=settings.batch_size,
        wait=settings.batch_wait_ms / 1000,
        bound=settings.queue,
        seconds=settings.time_limit,
        clean=settings.cleaning == "model",
    )
    pool = Pool(kept.folder, plan, on_batch)
    try:
        await pool.start()
        await _check(pool, kept)
    except (EngineError, WorkerDied, TimeoutError, OSError, ValueError) as error:
        await pool.stop()
        raise _NotAsKept(f"{model.told} cannot answer with the engine {kept.told.form}: {error}", kept) from error
    return Deployment(model, kept, pool)


async def _check(pool: Pool, kept: Kept) -> None:
    """Let the processes answer, and hold that to what was answered when the engine was made."""
    rows, expected = kept.recorded()
    found = await pool.answers(rows)
    for one, other in zip(expected, found, strict=True):
        off = distance(one, other)
        if not off <= _OFF:
            raise EngineError(f"it answers otherwise than when it was made: a score is {off:.2g} off")
