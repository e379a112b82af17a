"""Serving and predicting in bulk beside stock MLflow and transformers, and write `benchmarks/SERVE.md`.

`REVIEWS` names a CSV file of texts and labels; without it the texts are synthetic. `MODEL` is the URI of a model in the
store of MLFLOW_TRACKING_URI, instead of one that is trained first; `SECONDS` is how long clients ask (10), `ROUNDS` how
often (3), `ROWS` how many texts are predicted in bulk (400).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import mlflow
import pandas as pd

from benchmarks import clients, page
from benchmarks.measure import Claim, Result
from benchmarks.trainings import Workplace
from dlops.data import sample
from dlops.data.cleaning import Cleaning

RESULTS = Path(__file__).parent / "SERVE.md"
REVIEWS = os.environ.get("REVIEWS", "")
SECONDS, ROUNDS, ROWS = (
    int(os.environ.get(name, default)) for name, default in (("SECONDS", "10"), ("ROUNDS", "3"), ("ROWS", "400"))
)
_PROGRAMS = Path(sys.executable).parent
_ROOT = Path(__file__).parents[1]
_TIMES, _SHARE, _HALF, _START, _BULK = 4.0, 0.25, 0.5, 0.4, 3.3


@contextmanager
def running(command: Sequence[str | Path], address: str, folder: Path) -> Iterator[float]:
    """Start a server, and give the seconds that it took until it was ready."""
    began = time.perf_counter()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=_ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError as error:
                if process.poll() is not None or time.perf_counter() - began > 300:
                    raise RuntimeError((folder / "log").read_text()[-2000:]) from error
                time.sleep(0.02)
        yield time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def stock(model: str, port: int) -> list[str | Path]:
    """Give the command of MLflow's own server."""
    words = ["models", "serve", "--model-uri", model, "--port", str(port), "--host", "127.0.0.1"]
    return [_PROGRAMS / "mlflow", *words, "--env-manager", "local"]


def ours(model: str, port: int, *more: str) -> list[str | Path]:
    """Give the command of ours."""
    return [_PROGRAMS / "dlops", "serve", f"model={model}", f"port={port}", *more]


def main() -> int:
    """Measure; exit 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = os.environ.get("MODEL") or Workplace(folder, reviews=REVIEWS, rows=0).fine_tuned("no_freeze", epochs=1)
        os.environ["MLFLOW_TRACKING_URI"] = mlflow.get_tracking_uri()
        os.environ["PATH"] = f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        raw = pd.read_csv(REVIEWS).iloc[:, 0] if REVIEWS else pd.Series([text for text, _ in sample.generate(1)])
        texts = Cleaning().texts(raw.sample(ROWS, random_state=1, replace=len(raw) < ROWS).tolist())
        starts, answered = _served(model, texts, folder)
        bulk = _bulk(model, texts, folder)
    report, met = _report(starts, answered, bulk, texts)
    print(report)
    if REVIEWS and not {"SECONDS", "ROUNDS", "ROWS"} & os.environ.keys():
        RESULTS.write_text(report)
    return 0 if met else 1


Starts = dict[str, list[float]]
Answered = dict[tuple[str, int], list[clients.Load]]


def _served(model: str, texts: list[str], folder: Path) -> tuple[Starts, Answered]:
    """Start both servers a few times in turn, then let clients ask each in turn."""
    starts: Starts = {"dlops": [], "mlflow": []}
    commands = {"dlops": ours, "mlflow": stock}
    ports = {name: free_port() for name in commands}
    with running(ours(model, ports["dlops"]), f"http://127.0.0.1:{ports['dlops']}", folder):
        pass  # makes the engine
    for _ in range(ROUNDS):
        for name, command in commands.items():
            with running(command(model, ports[name]), f"http://127.0.0.1:{ports[name]}", folder) as seconds:
                starts[name].append(seconds)
    answered: Answered = {}
    (one, other) = (f"http://127.0.0.1:{port}" for port in ports.values())
    with (
        running(ours(model, ports["dlops"]), one, folder),
        running(stock(model, ports["mlflow"]), other, folder),
    ):
        for address in (one, other):
            clients.closed(f"{address}/invocations", texts, 4, 3)
        for count in (1, 16, 64):
            for _ in range(ROUNDS):
                for name, address in (("dlops", one), ("mlflow", other)):
                    load = clients.closed(f"{address}/invocations", texts, count, SECONDS)
                    answered.setdefault((name, count), []).append(load)
    return starts, answered


def _bulk(model: str, texts: list[str], folder: Path) -> Starts:
    """Predict the same texts by `dlops predict`, and by a pipeline of transformers, in turn; seconds a text."""
    pd.DataFrame({"text": texts}).to_csv(folder / "texts.csv", index=False)
    found: Starts = {"dlops": [], "pipeline": []}
    for number in range(ROUNDS):
        words = [f"model={model}", f"source={folder / 'texts.csv'}", f"output={folder}/out{number}"]
        command = [_PROGRAMS / "dlops", "predict", "--json", *words]
        ended = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)
        found["dlops"].append(1 / json.loads(ended.stdout)["metrics"]["rows_per_second"])
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.plain_pipeline", model, folder / "texts.csv"],
            cwd=_ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        found["pipeline"].append(float(done.stdout.split()[-1]))
    return found


def _report(starts: Starts, answered: Answered, bulk: Starts, texts: list[str]) -> tuple[str, bool]:
    rows, met = [], []

    def row(what: str, one: float, other: float, ratio: float, goal: str, holds: bool) -> None:
        met.append(holds)
        rows.append(f"| {what} | {one:.3f} | {other:.3f} | {ratio:.3g} | {goal} | {'yes' if holds else 'no'} |")

    for count in (1, 16, 64):
        pairs = list(zip(answered["dlops", count], answered["mlflow", count], strict=True))
        rates = [[one.rate, other.rate] for one, other in pairs]
        ratio = median(one / other for one, other in rates)
        one, other = (median(column) for column in zip(*rates, strict=True))
        if count > 1:
            row(f"{count} clients, answers a second", one, other, ratio, f"at least {_TIMES:g}", ratio >= _TIMES)
        for share, goal in ((0.5, _HALF if count == 1 else None), (0.95, _SHARE if count > 1 else None)):
            times = [[one.percentile(share), other.percentile(share)] for one, other in pairs]
            ratio = median(one / other for one, other in times)
            one, other = (median(column) for column in zip(*times, strict=True))
            if goal:
                row(f"{count} clients, p{100 * share:.0f}, s", one, other, ratio, f"at most {goal:g}", ratio <= goal)
    statuses = {
        name: sum((load.statuses for load in answered[name, 64]), start=type(answered[name, 64][0].statuses)())
        for name in ("dlops", "mlflow")
    }
    ready = Result(Claim("ready", "", _START), starts["dlops"], starts["mlflow"])
    row(
        "from the command to ready, s",
        median(ready.ours),
        median(ready.theirs),
        ready.ratio,
        f"at most {_START}",
        ready.met,
    )
    ratio = median(other / one for one, other in zip(bulk["dlops"], bulk["pipeline"], strict=True))
    speeds = [1 / median(bulk[name]) for name in ("dlops", "pipeline")]
    row("in bulk, rows a second", *speeds, ratio, f"at least {_BULK}", ratio >= _BULK)
    lines = "\n".join(rows)
    lengths = median(len(text.split()) for text in texts)
    return (
        f"""# Serving

`python -m benchmarks.serve`, {page.machine("dlops", "mlflow", "torch", "transformers", "onnxruntime")}.
MiniLM, fine-tuned as a whole; {len(texts)} texts of {Path(REVIEWS).name or "the synthetic sample"}, {lengths:.0f} words
each (median), one a request. Clients ask again as soon as they were answered; {ROUNDS} rounds of {SECONDS} s each, in
turn. The other is `mlflow models serve --env-manager local` as it comes, and in bulk `transformers.pipeline`, a text at
a time.

| what | dlops | the other | ratio | goal | met |
|---|---|---|---|---|---|
{lines}

Statuses at 64 clients: dlops {dict(statuses["dlops"])}, the other {dict(statuses["mlflow"])}.
""",
        all(met),
    )


if __name__ == "__main__":
    sys.exit(main())
