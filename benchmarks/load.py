"""A server under load: minutes at 80 % of what it can, then three times that, then among bad requests; `LOAD.md`.

`REVIEWS` names a CSV file of texts and labels; without it the texts are synthetic. `MODEL` is the URI of a model in the
store of MLFLOW_TRACKING_URI, instead of one that is trained first; `MINUTES` is how long the first part takes (10).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import mlflow
import pandas as pd
import psutil

from benchmarks import clients, page
from benchmarks.serve import REVIEWS, free_port, ours, running
from benchmarks.trainings import Workplace
from dlops.data import sample
from dlops.data.cleaning import Cleaning

RESULTS = Path(__file__).parent / "LOAD.md"
MINUTES = float(os.environ.get("MINUTES", "10"))
_ROWS = 400
_PART, _TIMES = 0.8, 3.0
_CROWD = 60.0
"""Seconds for which three times as much is asked as can be answered."""
_BAD = 1000
_BYTES = 100_000
"""Of a request, at most; the reviews are shorter."""
_PATIENCE = 5
"""Seconds that a request may take."""
_FLAT = 0.05


def main() -> int:
    """Measure; exit 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = os.environ.get("MODEL") or Workplace(folder, reviews=REVIEWS, rows=0).fine_tuned("no_freeze", epochs=1)
        os.environ["MLFLOW_TRACKING_URI"] = mlflow.get_tracking_uri()
        raw = pd.read_csv(REVIEWS).iloc[:, 0] if REVIEWS else pd.Series([text for text, _ in sample.generate(1)])
        texts = Cleaning().texts(raw.sample(_ROWS, random_state=1, replace=len(raw) < _ROWS).tolist())
        port = free_port()
        limits = (f"max_body_mb={_BYTES / 1e6}", f"time_limit={_PATIENCE}")
        with running(ours(model, port, *limits), f"http://127.0.0.1:{port}", folder):
            report, met = _measured(f"http://127.0.0.1:{port}/invocations", texts)
    print(report)
    if REVIEWS and "MINUTES" not in os.environ:
        RESULTS.write_text(report)
    return 0 if met else 1


def _measured(url: str, texts: Sequence[str]) -> tuple[str, bool]:
    clients.closed(url, texts, 4, 5)
    crowd = clients.closed(url, texts, 64, 20)
    capacity = clients.closed(url, texts, 16, 20).rate
    print(f"It answers {capacity:.1f} texts a second", flush=True)
    with _memory() as kept:
        steady = clients.steady(url, texts, _PART * capacity, 60 * MINUTES)
    warm = [size for second, size in kept if second > min(60.0, 15 * MINUTES)]
    first, last = median(warm[: len(warm) // 4 or 1]), median(warm[-(len(warm) // 4 or 1) :])
    grown = max(warm) / first - 1
    over = clients.steady(url, texts, _TIMES * capacity, _CROWD, most=2000)
    with ThreadPoolExecutor(1) as pool:
        bad = pool.submit(lambda: asyncio.run(_bad(url)))
        among = clients.steady(url, texts, 0.5 * capacity, 60)
        statuses = bad.result()
    errors = steady.statuses.total() - steady.statuses[200]
    late = over.percentile(0.95) / crowd.percentile(0.95)
    lost = among.statuses.total() - among.statuses[200]
    rows = [
        ("80 %: requests that were not answered", f"{errors} of {_told(steady)}", "0", errors == 0),
        ("80 %: p50 and p95, s", f"{steady.percentile(0.5):.3f}, {steady.percentile(0.95):.3f}", "", True),
        (
            f"80 %: memory of all its processes, MB: after warming up, at the end, most (+{100 * grown:.1f} %)",
            f"{first / 1e6:.0f}, {last / 1e6:.0f}, {max(warm) / 1e6:.0f}",
            "within 5 %",
            grown <= _FLAT and last / first >= 1 - _FLAT,
        ),
        (
            "300 %: answered, refused with 503, anything else",
            f"{over.statuses[200]}, {over.statuses[503]}, "
            f"{over.statuses.total() - over.statuses[200] - over.statuses[503]}",
            "nothing else",
            over.statuses.total() == over.statuses[200] + over.statuses[503],
        ),
        (
            "300 %: answers a second, beside what it can",
            f"{over.statuses[200] / _CROWD:.1f}, {capacity:.1f}",
            "at least 90 %",
            over.statuses[200] / _CROWD >= 0.9 * capacity,
        ),
        (
            "300 %: p95 of the answers, beside that of 64 clients who wait, s",
            f"{over.percentile(0.95):.3f}, {crowd.percentile(0.95):.3f}",
            "at most 1.25 times",
            late <= 1.25,
        ),
        (
            f"{_BAD} bad requests beside good ones: good ones that were not answered",
            f"{lost} of {_told(among)}",
            "0",
            lost == 0,
        ),
        (
            "the bad ones: how they were answered",
            ", ".join(f"{status or 'cut off'}: {count}" for status, count in sorted(statuses.items())),
            "4xx",
            all(status == 0 or 400 <= status < 500 for status in statuses),
        ),
    ]
    lines = "\n".join(f"| {what} | {found} | {goal} | {'yes' if met else 'no'} |" for what, found, goal, met in rows)
    return (
        f"""# A server under load

`python -m benchmarks.load`, {page.machine("dlops", "mlflow", "onnxruntime")}.
MiniLM, fine-tuned as a whole; texts of {Path(REVIEWS).name or "the synthetic sample"}, one a request.
{MINUTES:g} minutes at 80 % of the {capacity:.1f} texts a second that 16 clients are answered, at moments drawn by
chance; then {_CROWD:g} s at 300 %; then a minute at 50 % with {_BAD} bad requests among them: malformed, too large,
too slow, cut off.

| what | found | goal | met |
|---|---|---|---|
{lines}
""",
        all(met for *_, met in rows),
    )


def _told(load: clients.Load) -> str:
    """Give how many requests there were, and what became of those that were not answered."""
    others = ", ".join(
        f"{count} of {status or 'no status'}" for status, count in load.statuses.items() if status != 200
    )
    return f"{load.statuses.total()}" + (f" ({others})" if others else "")


@contextmanager
def _memory() -> Iterator[list[tuple[float, int]]]:
    """Look each second how much memory the server's processes have for themselves, in bytes, by the second."""
    found: list[tuple[float, int]] = []
    over = threading.Event()
    began = time.monotonic()

    def look() -> None:
        while not over.wait(1.0):
            size = 0
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    size += process.memory_full_info().uss
            found.append((time.monotonic() - began, size))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


async def _bad(url: str) -> Counter[int]:
    """Send bad requests of all kinds, fifty at once; give how often each status came, 0 for none."""
    parts = urlsplit(url)
    generator = random.Random(0)
    gate = asyncio.Semaphore(50)
    statuses: Counter[int] = Counter()
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.hostname}\r\nContent-Type: application/json\r\n"
    malformed = (
        b"{",
        b"[1, 2]",
        b"\xff\xfe",
        b'{"inputs": ["a"], "instances": ["b"]}',
        b'{"dataframe_split": {}}',
        b'{"dataframe_split": {"columns": ["body"], "data": [["a"]]}}',
    )

    async def ask(number: int) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                statuses[await asyncio.wait_for(_asked(number, reader, writer), 3 * _PATIENCE)] += 1
            finally:
                writer.close()

    async def _asked(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        body = generator.choice(malformed)
        match number % 4:
            case 1:
                body = b'{"inputs": ["' + b"a" * (2 * _BYTES) + b'"]}'
            case 2 | 3:
                body = clients.body("a film " * 100)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        if number % 4 == 2:  # a few bytes, and no more
            body = body[:20]
        if number % 4 == 3:  # half of it, and gone
            writer.write(body[: len(body) // 2])
            await writer.drain()
            return 0
        with contextlib.suppress(OSError):  # who sends too much is not listened to to the end
            writer.write(body)
            await writer.drain()
        try:
            line = await reader.readline()
        except OSError:
            return 0
        return int(line.split()[1]) if line else 0

    await asyncio.gather(*(ask(number) for number in range(_BAD)))
    return statuses


if __name__ == "__main__":
    raise SystemExit(main())
