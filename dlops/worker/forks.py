"""Workers that are there at once: copies of a process that has imported what they need (Linux)."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from typing import IO

_LETTER = b"."


class Fork:
    """One copy, which is told on its standard input what to do; as `subprocess.Popen`, as far as that is used."""

    def __init__(self, pid: int, stdin: IO[bytes]) -> None:
        self.pid, self.stdin = pid, stdin
        self._descriptor = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        """Give 0 once it has ended; how, nobody but its parent learns."""
        return 0 if select.select([self._descriptor], [], [], 0)[0] else None

    def wait(self) -> int:
        """Wait until it has ended."""
        select.select([self._descriptor], [], [])
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> None:
        """Close what it reads, and wait until it has ended."""
        self.stdin.close()
        self.wait()


class Forks:
    """Makes copies of this process as it is now; its parent is a process between, which ends with this one."""

    def __init__(self, work: Callable[[], None]) -> None:
        """Begin, before this process has threads; each copy does `work`, and ends."""
        self._turn = threading.Lock()
        """One after the other: each answer is for who asked last."""
        self._asking, theirs = socket.socketpair()
        with theirs:
            if os.fork() == 0:
                self._asking.close()
                _serve(theirs, work)
        self._asking.set_inheritable(False)

    def fork(self, stdout: int, stderr: int) -> Fork:
        """Make one, which prints to these descriptors.

        Raises:
            OSError: the process between has ended.
        """
        read, write = os.pipe()
        try:
            with self._turn:
                socket.send_fds(self._asking, [_LETTER], [read, stdout, stderr])
                told = self._asking.recv(64)
        except OSError:
            os.close(write)
            raise
        finally:
            os.close(read)
        if not told:
            os.close(write)
            raise BrokenPipeError("nobody is there to make a copy")
        return Fork(int(told), os.fdopen(write, "wb"))

    def close(self) -> None:
        """Make no more; copies that are there go on."""
        self._asking.close()


def is_possible() -> bool:
    """Say whether this system can do it."""
    return hasattr(os, "pidfd_open")


def _serve(told: socket.socket, work: Callable[[], None]) -> None:
    """Make a copy of this process whenever one is asked for, until nobody is left who might; never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here: the system forgets them at once
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        while True:
            letter, descriptors, _, _ = socket.recv_fds(told, 1, 3)
            if not letter:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                told.close()
                _become(descriptors, work)
            for descriptor in descriptors:
                os.close(descriptor)
            told.sendall(str(pid).encode())
    finally:
        os._exit(1)


def _become(descriptors: list[int], work: Callable[[], None]) -> None:
    """Do the work of a copy, in a session of its own; never returns."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        work()
        code = 0
    except BaseException:  # whoever asked for it reads what it has printed
        traceback.print_exc()
    finally:
        os._exit(code)
