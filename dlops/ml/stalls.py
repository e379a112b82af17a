"""A training that stands still: the log says so, and where each thread is."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from typing import Any

import pytorch_lightning as pl
from mlflow.exceptions import MlflowException

from dlops.ml import record
from dlops.ml.progress import say


class Stalls(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Watches from a thread of its own that batches go on ending; each stall is told once, and its end."""

    def __init__(self, seconds: float) -> None:
        """Take the seconds without a finished batch that are a stall."""
        self._seconds = seconds
        self._beat, self._where, self._told = time.monotonic(), "before the first batch", False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._run_id: str | None = None

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Begin to watch."""
        del trainer, module, stage
        self._beat, self._told, self._run_id = time.monotonic(), False, record.run_id()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)
            self._thread.start()

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """End the watch."""
        del trainer, module, stage
        self._stop()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """End the watch."""
        del trainer, module, exception
        self._stop()

    def on_train_batch_end(self, trainer: pl.Trainer, *others: Any) -> None:
        del others
        self._note(f"epoch {trainer.current_epoch + 1}, batch {trainer.fit_loop.batch_idx + 1}")

    def on_validation_batch_end(self, trainer: pl.Trainer, *others: Any) -> None:
        del others
        self._note(f"the val rows of epoch {trainer.current_epoch + 1}")

    def on_test_batch_end(self, *others: Any) -> None:
        del others
        self._note("the test rows")

    def _note(self, where: str) -> None:
        if self._told:
            say(f"It goes on after {time.monotonic() - self._beat:.0f} s.")
        self._beat, self._where, self._told = time.monotonic(), where, False

    def _stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._ended, self._thread = threading.Event(), None

    def _watch(self) -> None:
        ended = self._ended
        while not ended.wait(min(self._seconds / 4, 5.0)):
            still = time.monotonic() - self._beat
            if still < self._seconds or self._told:
                continue
            self._told = True
            told = f"no batch has ended for {still:.0f} s, the last was {self._where}"
            say(f"Warning: {told}. Each thread is here:")
            for line in _stacks():
                say(line)
            if self._run_id:
                with contextlib.suppress(MlflowException):  # a store that does not answer may be what it waits for
                    record.tag("stalled", told, run_id=self._run_id)


def _stacks() -> list[str]:
    """Tell where every thread is but the one that asks, the main thread first."""
    frames = sys._current_frames()
    lines = []
    for thread in sorted(threading.enumerate(), key=lambda thread: thread is not threading.main_thread()):
        if thread is not threading.current_thread() and (frame := frames.get(thread.ident or 0)):
            lines += [f"{thread.name}:", *"".join(traceback.format_stack(frame)).splitlines()]
    return lines
