"""Clients of a server: each asks again as soon as it was answered, or at moments that nobody's answer delays."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np


@dataclass
class Load:
    """What became of requests."""

    seconds: list[float] = field(default_factory=list)
    """That each answer (of status 200) took."""
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each status came; 0 stands for a connection that broke."""
    versions: Counter[str] = field(default_factory=Counter)
    took: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.took

    def percentile(self, share: float) -> float:
        """Give the seconds within which this share was answered."""
        return float(np.percentile(self.seconds, 100 * share)) if self.seconds else float("nan")


class Client:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a body of JSON, and give status, headers and body of the answer; status 0 if the connection broke."""
        try:
            over = self._reader is None or self._reader.at_eof()  # a server ends connections that say nothing for long
            if over or self._writer is None or self._writer.is_closing():
                self.close()
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            assert self._reader
            assert self._writer
            head = (
                f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            self._writer.write(head.encode() + body)
            status = int((await self._reader.readline()).split()[1])
            headers = {}
            while (line := await self._reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            found = await self._reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, IndexError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return 0, {}, b""
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, found

    def close(self) -> None:
        """Close the connection."""
        if self._writer:
            self._writer.close()
        self._writer = None


def body(text: str) -> bytes:
    """Write a text as MLflow's protocol has it."""
    return json.dumps({"dataframe_split": {"columns": ["text"], "data": [[text]]}}).encode()


def closed(url: str, texts: Sequence[str], clients: int, seconds: float) -> Load:
    """Let so many clients ask for so long."""

    async def run() -> Load:
        load, bodies = Load(), itertools.cycle([body(text) for text in texts])
        end = time.perf_counter() + seconds

        async def ask() -> None:
            client = Client(url)
            while time.perf_counter() < end:
                await _asked(client, next(bodies), load)
            client.close()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(clients)))
        load.took = time.perf_counter() - began
        return load

    return asyncio.run(run())


def steady(url: str, texts: Sequence[str], rate: float, seconds: float, *, most: int = 1000) -> Load:
    """Ask so often a second, at moments drawn by chance, whether or not earlier requests were answered."""

    async def run() -> Load:
        load, bodies = Load(), itertools.cycle([body(text) for text in texts])
        idle: list[Client] = []
        under_way: set[asyncio.Task[None]] = set()
        generator = random.Random(0)
        began = time.perf_counter()
        moment = began
        while (moment := moment + generator.expovariate(rate)) < began + seconds:
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))

            async def ask() -> None:
                client = idle.pop() if idle else Client(url)
                await _asked(client, next(bodies), load)
                idle.append(client)

            if len(under_way) < most:
                task = asyncio.ensure_future(ask())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*under_way), 60)
        load.took = time.perf_counter() - began
        _close(idle)
        return load

    return asyncio.run(run())


async def _asked(client: Client, sent: bytes, load: Load) -> None:
    began = time.perf_counter()
    status, headers, _ = await client.post(sent)
    load.statuses[status] += 1
    if status == 200:
        load.seconds.append(time.perf_counter() - began)
        load.versions[headers.get("x-model-version", "")] += 1


def _close(clients: Iterable[Client]) -> None:
    for client in clients:
        client.close()
