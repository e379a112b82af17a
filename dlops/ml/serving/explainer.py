"""Explanations of a deployment's answers, in a process of its own that is started when somebody first asks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from dlops.ml import logged_models
from dlops.ml.engines import store
from dlops.ml.engines.engine import Record
from dlops.ml.engines.pool import Plan, Pool, QueueFull
from dlops.ml.serving.deployment import Deployment
from dlops.ml.settings import Serve

_BOUND = 16
"""Texts that may wait to be explained."""


class Explainer:
    """One process, which has the version that was asked for last."""

    def __init__(self, settings: Serve) -> None:
        self._settings = settings
        self._uri = ""
        self._pool: Pool | None = None
        self._opening: asyncio.Task[None] | None = None

    async def explain(self, found: Deployment, text: str, label: str, method: str) -> Record:
        """Explain what a deployment makes of a text.

        Raises:
            StepFailed: the model has no weights that can be explained.
            EngineError: the label is unknown, or there is nothing in the text.
            QueueFull, TimeoutError, WorkerDied: as a pool's.
        """
        pool = await self._ready(found)
        (told,) = await pool.answers([[text, label, method]])
        return told

    async def _ready(self, found: Deployment) -> Pool:
        """Give the process that explains a version; starting it goes on when whoever asked for it goes away."""
        if self._opening is None or (self._opening.done() and (self._pool is None or self._uri != found.model.uri)):
            self._opening = asyncio.create_task(self._open(found))
        async with asyncio.timeout(self._settings.time_limit):
            await asyncio.shield(self._opening)
        if self._pool is None or self._uri != found.model.uri:
            raise QueueFull(1.0)  # another version was asked for meanwhile
        return self._pool

    async def _open(self, found: Deployment) -> None:
        before, self._pool = self._pool, None
        if before:
            await before.drained()
            await before.stop()
        origin = await asyncio.to_thread(logged_models.origin, found.model.uri)
        model = replace(found.model, uri=origin, exports={})
        folder = store.root(model) / "torch"
        if not store.is_whole(folder):
            folder = (await asyncio.to_thread(store.kept, model, "torch", self._settings.agreement)).folder
        plan = Plan(
            workers=1,
            threads=1,  # the rest is for those who want answers
            bound=_BOUND,
            seconds=self._settings.time_limit,
            clean=self._settings.cleaning == "model",
            explain=True,
        )
        pool = Pool(folder, plan)
        await pool.start()
        self._pool, self._uri = pool, found.model.uri

    async def close(self) -> None:
        """End the process."""
        if self._opening and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._pool:
            await self._pool.stop()
