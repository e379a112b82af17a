"""Answers to window after window of rows: by processes of this machine, or by those of a Ray cluster."""

from __future__ import annotations

import asyncio
import itertools
import queue
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from dlops.data import cluster, packed, scratch
from dlops.errors import StepFailed
from dlops.ml.engines import devices
from dlops.ml.engines.engine import Record
from dlops.ml.engines.pool import Plan, Pool
from dlops.ml.engines.store import Kept
from dlops.ml.engines.worker import EngineError, WorkerDied
from dlops.ml.raw_rows import Window

_TOGETHER = 32
"""Rows of like length that a process is given at once."""
_LONGEST = 3600.0
"""Seconds that a group of rows may take before its process counts as stuck."""
_ASKED = 3
"""Groups for each process that are asked at the same time."""
_AHEAD = 2
"""Windows that are answered at the same time, so that no process waits for the last row of one."""


@dataclass(frozen=True)
class Answered:
    """A window with its answers, one for each of its places; `None` where there is none, and `why`."""

    window: Window
    answers: list[Record | None]
    why: dict[int, str]


def each(kept: Kept, windows: Iterator[Window], *, clean: bool) -> Iterator[Answered]:
    """Answer windows, in their order, some of them ahead.

    Raises:
        StepFailed: the engine cannot be loaded, or the cluster cannot do it.
        UnreachableError: the cluster does not answer.
    """
    first = next(windows, None)
    if first is not None:  # else nothing is left, and no engine needs to be loaded
        yield from (_spread if cluster.is_named() else _here)(kept, itertools.chain([first], windows), clean)


def _here(kept: Kept, windows: Iterator[Window], clean: bool) -> Iterator[Answered]:
    with _Loop() as loop:
        pool = Pool(kept.folder, devices.plan(kept, batch=_TOGETHER, mixed=False, seconds=_LONGEST, clean=clean))
        try:
            loop.run(pool.start())
        except EngineError as error:
            raise StepFailed(f"The engine {kept.told.form} cannot be loaded: {error}") from error
        try:
            under_way: deque[Any] = deque()
            gate = asyncio.Semaphore(_ASKED * pool.plan.workers)
            for window in windows:
                under_way.append(loop.begin(_answered(pool, window, gate)))
                if len(under_way) > _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            loop.run(pool.stop())


async def _answered(pool: Pool, window: Window, gate: asyncio.Semaphore) -> Answered:
    """Answer a window: equal texts once, the long ones first, those of like length together.

    Through the gate go as many groups as keep the processes busy: the time that one may take is its own alone.
    """
    different = sorted(dict.fromkeys(window.texts), key=lambda row: -sum(map(len, row)))
    groups = [different[start : start + _TOGETHER] for start in range(0, len(different), _TOGETHER)]
    found: dict[tuple[str, ...], Record] = {}
    failed: dict[tuple[str, ...], str] = {}

    async def answer(rows: Sequence[tuple[str, ...]]) -> None:
        try:
            async with gate:
                answers = await pool.answers(rows)
            found.update(zip(rows, answers, strict=True))
        except (EngineError, WorkerDied, TimeoutError) as error:
            if len(rows) == 1:
                failed[rows[0]] = str(error) or "it took too long"
            else:  # one of them is to blame
                await asyncio.gather(*(answer([row]) for row in rows))

    await asyncio.gather(*(answer(rows) for rows in groups))
    why = {place: failed[row] for place, row in enumerate(window.texts) if row in failed}
    return Answered(window, [found.get(row) for row in window.texts], why)


class _Loop:
    """An event loop in a thread of its own, so that reading, answering and writing go on side by side."""

    def __enter__(self) -> _Loop:
        ready: queue.Queue[asyncio.AbstractEventLoop] = queue.Queue()

        def work() -> None:
            loop = asyncio.new_event_loop()
            ready.put(loop)
            loop.run_forever()
            loop.close()

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        self._loop = ready.get()
        return self

    def begin(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Any) -> Any:
        return self.begin(work).result()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _spread(kept: Kept, windows: Iterator[Window], clean: bool) -> Iterator[Answered]:
    """Let the nodes of a Ray cluster answer; each of its processes has the engine."""
    import ray

    cluster.connect(ray)
    sent = ray.put(packed.files(kept.folder))
    threads = 0 if cluster.gpus() else 1
    plan = Plan(workers=1, threads=threads, batch=_TOGETHER, mixed=False, seconds=_LONGEST, clean=clean)

    def failed(why: str) -> StepFailed:
        return StepFailed(f"The cluster could not answer: {why}")

    for some in _batches(windows, 4 * cluster.processes()):
        yield from cluster.spread(some, _Worker, failed, made_of=(sent, plan))


def _batches(windows: Iterator[Window], most: int) -> Iterator[list[Window]]:
    some: list[Window] = []
    for window in windows:
        some.append(window)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some


class _Worker:
    """A process of a cluster that has the engine in a process of its own, and answers windows."""

    def __init__(self, sent: Any, plan: Plan) -> None:
        import ray

        self._stack = ExitStack()
        folder = self._stack.enter_context(scratch.folder())
        packed.unpack(ray.get(sent), folder)
        self._loop = self._stack.enter_context(_Loop())
        self._pool = Pool(folder, plan)
        self._loop.run(self._pool.start())
        self._stack.callback(lambda: self._loop.run(self._pool.stop()))
        self._gate = asyncio.Semaphore(_ASKED)

    def __call__(self, window: Window) -> Answered:
        """Answer one window."""
        return self._loop.run(_answered(self._pool, window, self._gate))  # type: ignore[no-any-return]

    def __del__(self) -> None:
        if not sys.is_finalizing():  # threads are no more then, and the engine's process ends by itself
            self._stack.close()
