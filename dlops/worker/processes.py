"""Processes told apart for certain: who is alive, who belongs to a run, and how a whole tree is ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "DLOPS_ATTEMPT"
"""Environment variable that every process of a run inherits; a new session or group does not shake it off."""

_PROC = Path("/proc")


def identity(pid: int) -> dict[str, str]:
    """Describe a process of this machine so that it is never mistaken for a later one with its number."""
    return {**_place(), "boot": boot_id(), "pid": str(pid), "started": started(pid)}


def this() -> str:
    """Describe this process as a tag holds it."""
    return json.dumps(identity(os.getpid()))


def boot_id() -> str:
    """Name this boot of this machine; numbers of processes mean nothing after the next one."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _ask("sysctl", "-n", "kern.boottime")


def started(pid: int) -> str:
    """Give when a process started, in its system's own words; empty when it is no more (or a zombie)."""
    if _PROC.joinpath("self").exists():
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[19]
    return _ask("ps", "-o", "lstart=", "-p", str(pid))


def alive(process: dict[str, str]) -> bool | None:
    """Say whether the process of an `identity` still runs; `None` when that cannot be told from here."""
    if any(process.get(name, "") != value for name, value in _place().items()):
        return None
    if process.get("boot") != boot_id():
        return False
    now = started(int(process["pid"]))
    if not now and _hidden(int(process["pid"])):
        return None
    return bool(now) and now == process["started"]


def members(mark: str, groups: Iterable[int] = ()) -> list[int]:
    """List the processes that carry a run's mark, and the living ones of its process groups; never this one."""
    own = os.getpid()
    if not _PROC.joinpath("self").exists():
        wanted = set(groups)
        rows = [line.split() for line in _ask("ps", "-axo", "pid=,pgid=,stat=").splitlines()]
        return [int(pid) for pid, group, state in rows if int(group) in wanted and int(pid) != own and state[0] != "Z"]
    wanted_groups, entry = {str(group) for group in groups}, f"{MARK}={mark}".encode()
    return [
        pid
        for pid in _numbers()
        if pid != own and (_marked(pid, entry) or _group(pid) in wanted_groups) and started(pid)
    ]


def end(mark: str, *, group: int, grace: float) -> None:
    """End every process of a run: ask with SIGTERM, wait up to `grace` seconds, then SIGKILL what is left."""
    signal_all(mark, group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while members(mark, [group]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(50):  # a process may fork while it is being killed: look again until none is left
        if not members(mark, [group]):
            return
        signal_all(mark, group, signal.SIGKILL)
        time.sleep(0.02)


def signal_all(mark: str, group: int, number: signal.Signals) -> None:
    """Send a signal to the processes of a run, once each."""
    for pid in members(mark, [group]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _numbers() -> list[int]:
    return [int(entry) for entry in os.listdir(_PROC) if entry.isdigit()]  # noqa: PTH208 - half the time of iterdir


def _place() -> dict[str, str]:
    """Name the machine, and the space in which its numbers of processes count: each container has its own."""
    try:
        space = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        space = ""
    return {"host": socket.gethostname(), "space": space}


def _hidden(pid: int) -> bool:
    """Say whether a process that is not to be seen is there all the same: another user's, under `hidepid`."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _group(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[2]
    except OSError:  # gone meanwhile
        return ""


def _marked(pid: int, entry: bytes) -> bool:
    try:
        return entry in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or another user's
        return False


def _ask(*command: str) -> str:
    plain = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}  # what is compared later must not be said in other words
    return subprocess.run(command, capture_output=True, text=True, check=False, env=plain).stdout.strip()
