"""The supervisor: starts one command, watches it, and ends its run truthfully whatever happens."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from dlops.worker import masking, processes, scratch, tracking
from dlops.worker.ending import Ending, ending
from dlops.worker.events import Events
from dlops.worker.fetch import fetch
from dlops.worker.guard import Guard
from dlops.worker.job import Job
from dlops.worker.record import Over, Record
from dlops.worker.standby import Standby
from dlops.worker.work_trees import Hold

_TAIL = 65536
"""Characters of output kept for the command's own last error."""
_DRAIN = 1.0
"""Seconds for which the output of a command that is over is still read, when something it left behind goes on."""
_PATIENCE = 120.0
"""Seconds for which a tracking store that is away is asked for what was uploaded for the run."""
_LEFT_BEHIND = 2.0
"""Seconds that processes which a command has left behind have to end."""
_ONE_WISH = 0.3
"""Seconds within which two signals are one: a group is told, and so is each in it."""
_RUN_ID = 32
"""Letters of a run's id."""
_PROGRESS = ("done", "total", "unit", "text", "table", "steps")


class Supervisor:
    """One job from its run's creation to its end."""

    def __init__(self, job: Job, events: Events) -> None:
        self._job, self._events = job, events
        self._asked = 0
        self._asked_at = float("-inf")
        self._tail = ""
        self._guard: Guard | None = None
        self._origins: dict[str, str] = {}
        self._stream = masking.Stream(job.secrets)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._environment = _environment(job)
        self._standby = Standby.begun(job, self._environment, {processes.MARK: "0" * _RUN_ID})

    def run(self) -> bool:
        """Run the job, and say whether it ended well; what else there is to say is said in events."""
        signal.signal(signal.SIGTERM, self._ask_to_end)
        signal.signal(signal.SIGINT, self._ask_to_end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with Hold(Path(self._job.tree)) if self._job.tree else contextlib.nullcontext():
                return self._run()
        finally:
            if self._standby:
                self._standby.dismiss()

    def _run(self) -> bool:
        began = time.monotonic()
        try:
            client = tracking.connect(self._job.tracking_uri, self._job.lock_folder)
            record = Record(client, self._job, self._events)
        except tracking.Unreachable as error:
            hint = "Check --tracking-uri (or MLFLOW_TRACKING_URI); nothing was started."
            self._events.emit("failed", kind="unreachable", message=str(error), hint=hint)
            return False
        except Over as error:
            self._events.emit("failed", kind="usage", message=str(error), hint="")
            return False
        try:
            end = self._recorded(record)
        except Exception as error:  # a fault of ours or of the machine: the run must say so, not stay open
            said = masking.text(f"{type(error).__name__}: {error}", self._job.secrets)
            end = Ending("FAILED", 1, f"The worker failed: {said}")
        self._finish(record, end, began)
        if self._guard:
            self._guard.dismiss()
        return end.status == "FINISHED"

    def _recorded(self, record: Record) -> Ending:
        record.log_params()
        self._events.emit("started", run_id=record.run_id, experiment_id=record.experiment_id)
        with scratch.made(record.run_id) as folder:
            record.start()
            self._guard = Guard(record.run_id, self._job.tracking_uri, self._job.tree)
            project = self._unpacked(folder)
            command = self._unless_asked(record, lambda: self._with_downloads(folder))
            if command is None:
                return ending(0, "", stopped="ended before its command started")
            child = self._start(command, record, project, folder)
            self._guard.watch(child.pid)
            try:
                stopped = self._watch(child, record, folder / "progress.json")
            finally:
                processes.end(record.run_id, group=child.pid, grace=self._grace(child))
        return ending(child.wait(), self._tail, stopped=stopped)

    def _grace(self, child: subprocess.Popen[bytes]) -> float:
        """Give the seconds that what a command has left behind has to end; where that was killed, as it itself had."""
        if child.poll() is None:
            return 0.0
        return self._job.grace if child.returncode < 0 else _LEFT_BEHIND

    def _unless_asked(self, record: Record, work: Callable[[], str]) -> str | None:
        """Do what may take minutes, and give what comes of it; `None` as soon as somebody asks for the run's end."""
        found: list[str] = []
        failed: list[Exception] = []

        def do() -> None:
            try:
                found.append(work())
            except Exception as error:  # raised where it is waited for
                failed.append(error)

        thread = threading.Thread(target=do, daemon=True)
        thread.start()
        while thread.is_alive() and not self._is_to_end(record):
            thread.join(0.1)
        if failed:
            raise failed[0]
        return found[0] if found and not self._is_to_end(record) else None

    def _is_to_end(self, record: Record) -> bool:
        return bool(self._asked) or record.stop_asked.is_set()

    def _unpacked(self, scratch_folder: Path) -> Path:
        """Give the folder of the project's files; those of an archive go when the run has ended."""
        if not self._job.archive:
            return Path(self._job.folder)
        with tarfile.open(self._job.archive) as archive:
            # ours: its links may lead where the user's do; older Pythons know no filters
            trusted: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(scratch_folder / "project", **trusted)  # noqa: S202
        return scratch_folder / "project"

    def _start(self, command: str, record: Record, project: Path, folder: Path) -> subprocess.Popen[bytes]:
        variables = {
            "MLFLOW_EXPERIMENT_ID": record.experiment_id,
            "MLFLOW_RUN_ID": record.run_id,
            "DLOPS_PROGRESS": str(folder / "progress.json"),
            "DLOPS_ORIGINS": json.dumps(self._origins),
            processes.MARK: record.run_id,
        }
        standby, self._standby = self._standby, None
        if standby and (child := standby.become(command, variables)):
            return child
        with self._job.input() as given:
            return subprocess.Popen(
                [shutil.which("bash") or "/bin/sh", "-c", command],
                cwd=project,
                env={**self._environment, **variables},
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _watch(self, child: subprocess.Popen[bytes], record: Record, progress: Path) -> str:
        """Pass on output and progress until the command is over; give who asked it to end, if anyone did."""
        assert child.stdout is not None
        stopped, kill_at, seen, over_since = "", 0.0, 0, 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                over = child.poll() is not None  # asked before reading: what it wrote last is not missed
                readable = bool(selector.select(0.1 if selector.get_map() else 0.0))
                if readable and not self._read(child.stdout.fileno(), record):
                    selector.unregister(child.stdout)
                seen = self._pass_on_progress(progress, record, seen)
                if over:
                    over_since = over_since or time.monotonic()
                    if not readable or time.monotonic() > over_since + _DRAIN:
                        break
                if not selector.get_map():
                    _wait(child, 0.1)
                if not stopped and self._is_to_end(record):
                    stopped = "ended by a signal" if self._asked else "cancelled"
                    processes.signal_all(record.run_id, child.pid, signal.SIGTERM)
                    kill_at = time.monotonic() + self._job.grace
                if stopped and (time.monotonic() > kill_at or self._asked > 1):
                    processes.signal_all(record.run_id, child.pid, signal.SIGKILL)
        self._print(self._stream.rest(), record, last=True)
        return stopped

    def _read(self, descriptor: int, record: Record) -> bool:
        data = os.read(descriptor, 65536)
        self._print(self._stream.feed(data), record)
        return bool(data)

    def _print(self, output: bytes, record: Record, *, last: bool = False) -> None:
        """Tell and keep output in whole characters, wherever a read has cut it."""
        if text := self._decoder.decode(output, final=last):
            self._tail = (self._tail + text)[-_TAIL:]
            record.write(text.encode())
            self._events.emit("output", text=text)

    def _pass_on_progress(self, file: Path, record: Record, seen: int) -> int:
        """Read the step's progress when it has changed; the step writes it beside and renames it."""
        try:
            changed = file.stat().st_mtime_ns
            if changed == seen:
                return seen
            said = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return seen
        progress = {name: said[name] for name in _PROGRESS if name in said} if isinstance(said, dict) else {}
        record.progress = progress
        self._events.emit("progress", **progress)
        return changed

    def _with_downloads(self, scratch_folder: Path) -> str:
        """Fetch what the command needs as local files, and put the places of all of them into it."""
        command = self._job.command
        for placeholder, path in {**self._job.inputs, **self._job.outputs}.items():
            command = command.replace(placeholder, shlex.quote(path))
        for number, (placeholder, uri) in enumerate(self._job.downloads.items()):
            folder = scratch_folder / f"param_{number}"
            folder.mkdir()
            fetched = partial(fetch, uri, folder, self._job.tracking_uri)
            local = tracking.patiently(fetched, seconds=_PATIENCE if placeholder in self._job.uploaded else 0.0)
            command = command.replace(placeholder, shlex.quote(str(local)))
            if placeholder in self._job.uploaded:
                self._origins[str(local)] = self._job.uploaded[placeholder]
        return command

    def _finish(self, record: Record, end: Ending, began: float) -> None:
        """End the run; in its end it says what the store holds, or that the store could not be told."""
        duration = round(time.monotonic() - began, 3)
        said = {"status": end.status, "exit_code": end.exit_code, "error": end.error, "duration_s": duration}
        try:
            said |= record.finish(end)
        except tracking.Unreachable as error:
            said |= {"unreachable": f"The run's end could not be recorded: {error}"}
        self._events.emit("ended", **said)

    def _ask_to_end(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now > self._asked_at + _ONE_WISH:
            self._asked += 1
        self._asked_at = now


def _environment(job: Job) -> dict[str, str]:
    """Give the variables of the command, but for those that name its run."""
    tracking.settle()  # MLflow may still be being imported, which does it too
    left_out = {*job.unset, *tracking.own_settings(), "MLFLOW_EXPERIMENT_NAME"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return {
        **environment,
        "DLOPS_VARIABLES": ",".join(job.variables),
        "PATH": os.pathsep.join([*job.path, environment.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_TRACKING_URI": job.tracking_uri,
        **job.variables,
    }


def _wait(child: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return
