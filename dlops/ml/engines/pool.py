"""Processes that answer rows side by side, and the bounded queue before them, in which everybody has their turn."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlops.ml.engines import engine
from dlops.ml.engines.engine import Record, Row
from dlops.ml.engines.worker import EngineError, Worker, WorkerDied

_PAUSE, _LONGEST = 0.5, 30.0
"""Seconds before a process that could not be loaded is started again; twice as many each time."""
_STUCK = 2.0
"""Times as long as a request may take, after which a process that still computes is replaced."""
_AHEAD = 2
"""Rows that a process is handed before it has answered the first, where it takes them one by one."""
_RECENT = 0.1
"""Weight of the last batch in what a row takes."""
_MEMORY = 10.0
"""Seconds after which a row counts for a third of what it did, where demand is held against what can be answered."""
_ENOUGH = 50
"""Rows answered lately that tell what can be answered."""
_TOO_MUCH = 1.4
"""Times as many rows asked as answered that are no mere pause."""


class QueueFull(Exception):
    """More rows wait than may; `seconds` is about how long they will take."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many rows wait")
        self.seconds = seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many processes there are, and what each takes at once."""

    workers: int
    threads: int = 1
    """Of each process; 0 leaves that to its library."""
    batch: int = 1
    """Rows that a process takes at once."""
    mixed: bool = True
    """Whether they are of as many requests as it needs; else the same request is always answered by the same sums."""
    wait: float = 0.0
    """Seconds that a process waits for a batch to fill while others compute; a lone request never waits."""
    bound: int = 1 << 30
    """Rows that may be before those of a new request; of a request that has more than a batch, only a batch is."""
    burst: int = 0
    """Rows, if more, that may be where far more are asked than answered for a moment alone: the machine stood still."""
    crowd: int = 0
    """Rows, if fewer, that may be before while more is asked than is answered: a longer queue makes all late alone."""
    seconds: float = 60.0
    """Seconds that a request may take."""
    clean: bool = False
    """Whether texts are cleaned as those were that the model learned from."""
    explain: bool = False
    """Whether rows are explained instead of answered."""
    variables: tuple[Mapping[str, str], ...] = ({},)
    """Environment variables of the processes, in turn: which GPU each has."""


class Demand:
    """How many rows were asked and answered lately: each counts less the longer ago it was."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked = self._answered = 0.0
        self._seen = clock()

    def asked(self, rows: int) -> None:
        """Count rows that were asked, whether they are let in or not."""
        self._age()
        self._asked += rows

    def answered(self, rows: int) -> None:
        """Count rows that were answered."""
        self._age()
        self._answered += rows

    @property
    def is_too_much(self) -> bool:
        """Whether more is asked than can be answered; else what waits has gathered in a pause, and is gone soon."""
        return self._asked > _TOO_MUCH * self._answered

    @property
    def is_known(self) -> bool:
        """Whether enough was answered to tell: not when a server has just begun."""
        return self._answered > _ENOUGH

    def _age(self) -> None:
        now = self._clock()
        kept = math.exp((self._seen - now) / _MEMORY)
        self._asked, self._answered, self._seen = self._asked * kept, self._answered * kept, now


@dataclass(eq=False)
class _Asked:
    """The rows of one request, on their way."""

    rows: Sequence[Row]
    answered: asyncio.Future[None]
    answers: list[Record | None]
    taken: int = 0
    """Rows that were given to a process at least once."""
    again: list[int] = field(default_factory=list)
    """Places of rows that are to be asked once more, alone: a process ended over the batch that they were in."""
    deaths: dict[int, int] = field(default_factory=dict)
    """By place, how many processes ended over the row, or over a batch with it."""
    left: int = 0
    """Rows that are not answered."""

    @property
    def waiting(self) -> int:
        return len(self.rows) - self.taken + len(self.again)


class Pool:
    """Processes with the same engine, which take rows of one request after the other: nobody waits for a large one."""

    def __init__(self, folder: Path, plan: Plan, on_batch: Callable[[int, float], None] | None = None) -> None:
        self.folder, self.plan = folder, plan
        self.waiting = 0
        """Rows that no process has taken yet."""
        self.busy = 0
        """Processes that compute."""
        self.replaced = 0
        """Processes that ended, and were replaced."""
        self._on_batch = on_batch
        """Told of the rows of each batch that was answered, and of the seconds that it took."""
        self._queue: deque[_Asked] = deque()
        self._more = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._live: dict[int, Worker] = {}
        self._demand = Demand()
        self._pace = 0.05
        """Seconds that a row takes a process, as seen lately."""

    async def start(self) -> None:
        """Start all processes, and wait until each has loaded the engine.

        Raises:
            EngineError: the engine cannot be loaded.
        """
        try:
            for number in range(self.plan.workers):
                self._live[number] = await self._begun(number)
            await asyncio.gather(*(self._load(worker) for worker in self._live.values()))
        except (WorkerDied, EngineError, OSError, ValueError) as error:
            await self.stop()
            raise EngineError(str(error)) from error
        self._tasks = [asyncio.create_task(self._work(number)) for number in self._live]

    async def answers(self, rows: Sequence[Row]) -> list[Record]:
        """Answer rows.

        Raises:
            QueueFull: too many rows wait already.
            TimeoutError: they could not be answered in time.
            EngineError: the engine refuses one of them.
            WorkerDied: two processes ended over one of them.
        """
        self._demand.asked(len(rows))
        if not self._demand.is_too_much:
            bound = max(self.plan.bound, self.plan.burst)
        elif self._demand.is_known and self.plan.crowd:
            bound = self.plan.crowd
            self._shed(bound)
        else:
            bound = self.plan.bound
        if (before := self._before()) >= bound:
            raise self._full(before)
        if not rows:
            return []
        asked = _Asked(rows, asyncio.get_running_loop().create_future(), [None] * len(rows), left=len(rows))
        await self._enqueue(asked, len(rows))
        try:
            async with asyncio.timeout(self.plan.seconds):
                await asked.answered
        finally:
            if asked in self._queue:
                self._queue.remove(asked)
                self.waiting -= asked.waiting
        return [one for one in asked.answers if one is not None]

    def _before(self) -> int:
        """Give how many rows are answered before those of who comes now: everybody has their turn."""
        return sum(min(asked.waiting, self.plan.batch) for asked in self._queue)

    def _full(self, before: int) -> QueueFull:
        return QueueFull(before * self._pace / max(1, self.plan.workers))

    def _shed(self, bound: int) -> None:
        """Refuse those beyond the bound who wait, and were let in as if after a pause: the first, who waited longest.

        The others are answered as soon as ever, where those who come last would all be late.
        """
        before = self._before()
        for asked in [*self._queue]:
            if before <= bound:
                return
            if asked.taken or asked.again or asked.answered.done():
                continue  # parts of it are being answered
            before -= min(asked.waiting, self.plan.batch)
            self._queue.remove(asked)
            self.waiting -= asked.waiting
            asked.answered.set_exception(self._full(before))

    async def drained(self) -> None:
        """Wait until nothing waits, and nothing is computed."""
        while self.waiting or self.busy:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End all processes; what still waits is never answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers, self._live = list(self._live.values()), {}
        await asyncio.gather(*(worker.close() for worker in workers))

    async def _enqueue(self, asked: _Asked, rows: int, *, first: bool = False) -> None:
        if asked not in self._queue:  # at once, before anybody else runs: who waits for the queue to drain sees it
            (self._queue.appendleft if first else self._queue.append)(asked)
        self.waiting += rows
        async with self._more:
            self._more.notify_all()

    async def _begun(self, number: int) -> Worker:
        likely = engine.described(self.folder).reader
        variables = self.plan.variables[number % len(self.plan.variables)]
        return await Worker.start(likely, threads=self.plan.threads, variables=variables)

    async def _load(self, worker: Worker) -> None:
        plan = self.plan
        await worker.load(self.folder, threads=plan.threads, clean=plan.clean, explain=plan.explain)

    async def _work(self, number: int) -> None:
        """Let a process answer, and put another in its place whenever it ends."""
        while True:
            worker = self._live[number]
            # One row is on its way while another is computed, so that the process never waits for us; of larger
            # batches the next one is to be as full as it can be.
            lanes = [asyncio.create_task(self._lane(worker)) for _ in range(_AHEAD if self.plan.batch == 1 else 1)]
            try:
                await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
                self.replaced += 1
                await _ended(worker)
                async with self._more:
                    self._more.notify_all()  # so that the other lane sees it, too
                await asyncio.wait(lanes)
            finally:
                for lane in lanes:
                    lane.cancel()
            self._live[number] = await self._another(number)

    async def _lane(self, worker: Worker) -> None:
        """Hand one batch after the other to a process, until that ends."""
        with contextlib.suppress(WorkerDied):
            while True:
                await self._answered(worker, await self._batch(worker))

    def _may_take(self, worker: Worker) -> bool:
        """Say whether a process may be handed rows: an idle one comes first. One that ended is told so."""
        if worker.is_over:
            raise WorkerDied
        return bool(self._queue) and not (worker.under_way and any(not one.under_way for one in self._live.values()))

    async def _another(self, number: int) -> Worker:
        for failures in itertools.count():
            worker: Worker | None = None
            try:
                worker = self._live[number] = await self._begun(number)
                await self._load(worker)
            except (WorkerDied, EngineError, OSError, ValueError):
                if worker:
                    await _ended(worker)
                await asyncio.sleep(min(_LONGEST, _PAUSE * 2.0 ** min(failures, 10)))
            else:
                return worker
        raise AssertionError

    async def _batch(self, worker: Worker) -> list[tuple[_Asked, int]]:
        """Wait for rows, and take some: each the request that it is of, and its place there."""
        async with self._more:
            await self._more.wait_for(lambda: self._may_take(worker))
            if self.plan.wait and self.busy and self.waiting < self.plan.batch:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.plan.wait):
                        await self._more.wait_for(lambda: self.waiting >= self.plan.batch)
            taken = self._taken()
            self.waiting -= len(taken)
            return taken

    def _taken(self) -> list[tuple[_Asked, int]]:
        """Take rows of the requests in turn; one that is asked again comes alone."""
        taken: list[tuple[_Asked, int]] = []
        while self._queue and len(taken) < self.plan.batch and (self.plan.mixed or not taken):
            asked = self._queue[0]
            alone = bool(asked.again)
            if alone and taken:
                break
            self._queue.popleft()
            if alone:
                taken.append((asked, asked.again.pop()))
            else:
                end = min(len(asked.rows), asked.taken + self.plan.batch - len(taken))
                taken += [(asked, place) for place in range(asked.taken, end)]
                asked.taken = end
            if asked.waiting:
                self._queue.append(asked)
            if alone:
                break
        return taken

    async def _answered(self, worker: Worker, batch: list[tuple[_Asked, int]]) -> None:
        """Let a process answer a batch.

        Raises:
            WorkerDied: it ended.
        """
        if not batch:
            return
        self.busy += 1
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_STUCK * self.plan.seconds):
                answers = await worker.answers([asked.rows[place] for asked, place in batch])
        except EngineError as error:
            await self._again(batch, error, alone=len(batch) == 1)
        except (WorkerDied, TimeoutError) as error:
            died = error if isinstance(error, WorkerDied) else WorkerDied("the process took too long, and was ended")
            for asked, place in batch:
                asked.deaths[place] = asked.deaths.get(place, 0) + 1
            await self._again(batch, died)
            raise died from error
        else:
            seconds = asyncio.get_running_loop().time() - began
            self._pace += _RECENT * (seconds / len(batch) - self._pace)
            self._demand.answered(len(batch))
            if self._on_batch:
                self._on_batch(len(batch), seconds)
            for (asked, place), answer in zip(batch, answers, strict=True):
                asked.answers[place] = answer
                asked.left -= 1
                if not asked.left and not asked.answered.done():
                    asked.answered.set_result(None)
        finally:
            self.busy -= 1

    async def _again(self, batch: list[tuple[_Asked, int]], error: Exception, *, alone: bool = False) -> None:
        """Ask the rows of a batch once more, each alone; tell those who asked what has been tried enough."""
        for asked, place in batch:
            if asked.answered.done():
                continue
            if alone or asked.deaths.get(place, 0) > 1:
                asked.answered.set_exception(error)
            else:
                asked.again.append(place)
                await self._enqueue(asked, 1, first=True)


async def _ended(worker: Worker) -> None:
    worker.kill()
    await worker.close()
