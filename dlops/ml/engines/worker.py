"""A process with an engine, as its caller holds it: it answers one question after the other, in their order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlops.ml.engines.engine import Record, Row

_LINE = 1 << 30
"""Bytes of an answer, at most."""


class WorkerDied(Exception):
    """The process ended, whoever ended it, before it answered."""


class EngineError(Exception):
    """The engine cannot do what it was asked; its process goes on."""


class Worker:
    """A process that was started; `start` makes one."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, likely: str, *, threads: int = 0, variables: Mapping[str, str] | None = None) -> Worker:
        """Start a process, which imports at once what the `likely` reader of an engine needs."""
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", **(variables or {})}
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "dlops.ml.engines.process", str(theirs.fileno()), likely],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _is_real(sys.stderr) else None,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def under_way(self) -> int:
        """Questions that are not answered yet."""
        return len(self._asked)

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._reading.done()

    async def load(self, folder: Path, **how: Any) -> None:
        """Load the engine of a folder, as `engine.load` does.

        Raises:
            EngineError: it cannot be loaded.
            WorkerDied: the process ended over it.
        """
        await self._answer({"load": str(folder), "how": how})

    async def answers(self, rows: Sequence[Row]) -> list[Record]:
        """Answer rows.

        Raises:
            EngineError: the engine cannot.
            WorkerDied: the process ended over it.
        """
        found: list[Record] = (await self._answer({"rows": [list(row) for row in rows]}))["answers"]
        return found

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            line = json.dumps(question).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise EngineError(f"it is no text: {error}") from error
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        try:
            self._writer.write(line)
            await self._writer.drain()
        except OSError as error:
            raise WorkerDied(self._how()) from error
        if self._reading.done():
            raise WorkerDied(self._how())
        told: dict[str, Any] = json.loads(await answer)
        if "error" in told:
            raise EngineError(told["error"])
        return told

    async def _read(self) -> None:
        """Give each question its line."""
        line = b"\n"
        with contextlib.suppress(OSError, ValueError):
            while (line := await self._reader.readline()).endswith(b"\n"):
                answer = self._asked.popleft()
                if not answer.done():
                    answer.set_result(line)
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(WorkerDied(self._how()))
        self._asked.clear()

    def _how(self) -> str:
        code = self._process.poll()
        return f"the process {self.pid} that answers ended" + (f" (status {code})" if code is not None else "")

    async def close(self) -> None:
        """Let the process end when it has answered."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._ended)
        await asyncio.wait([self._reading])

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def _ended(self) -> None:
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _is_real(stream: Any) -> bool:
    try:
        return int(stream.fileno()) >= 0
    except (AttributeError, OSError, ValueError):
        return False
