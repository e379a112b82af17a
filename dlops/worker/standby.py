"""A process that imports what a command will need while the command's run is being made, and then becomes the command.

As a script it is run by the command's own Python, and needs no more than that.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlops.worker.job import Job

_MODULE = "python -m "
"""How a command begins that can be had ahead."""
_PLAIN = re.compile(r"""(?:[\w@%+=:,./-]|'[^']*'|"'"| )*""", re.ASCII)
"""A command that means the same without a shell: words as they are, or quoted as `shlex.quote` does it."""


class Standby:
    """One that waits; it ends with the process that holds it, unless it has become something."""

    def __init__(self, process: subprocess.Popen[bytes], told: int, later: Mapping[str, str]) -> None:
        self._process, self._told, self._later = process, told, later

    @classmethod
    def begun(cls, job: Job, environment: Mapping[str, str], later: Mapping[str, str]) -> Standby | None:
        """Start one for a job, if that can be had ahead; `later` are variables that it will have other values of.

        Those values are as long as the ones that are given now: then they are seen from outside, too.
        """
        python = shutil.which("python", path=environment.get("PATH"))
        plain = job.command.startswith(_MODULE) and _PLAIN.fullmatch(job.command)
        if not job.ahead or not job.folder or not python or not plain:
            return None
        theirs, ours = os.pipe()
        try:
            with job.input() as given:
                process = subprocess.Popen(
                    [python, __file__, str(theirs), *job.ahead],
                    cwd=job.folder,
                    env={**environment, "PWD": job.folder, **later},
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs],
                    start_new_session=True,
                )
        except OSError:  # what is wrong is told when the command itself is started
            os.close(ours)
            return None
        finally:
            os.close(theirs)
        return cls(process, ours, later)

    def become(self, command: str, variables: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        """Let it become a command, with more variables; `None` where it cannot, and has ended."""
        fits = all(len(variables[name]) == len(value) for name, value in self._later.items())
        if not fits or not _PLAIN.fullmatch(command) or self._process.poll() is not None:
            self.dismiss()
            return None
        words = shlex.split(command)
        told = {"module": words[2], "words": words[3:], "variables": dict(variables), "seen": sorted(self._later)}
        try:
            with os.fdopen(self._told, "w") as pipe:
                json.dump(told, pipe)
        except BrokenPipeError:
            self._process.wait()
            return None
        return self._process

    def dismiss(self) -> None:
        """End it, and whatever it has started."""
        with contextlib.suppress(OSError):
            os.close(self._told)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait()


def main(told: int, names: Sequence[str]) -> None:
    """Import modules, wait to be told what to become, and become it."""
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()  # noqa: PTH109 - as `python -m` has it, and without a further import
    gc.disable()  # what is imported stays: to look through it again and again takes a sixth of the time
    for name in names:
        with contextlib.suppress(Exception):  # it is raised where the command imports it
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    with os.fdopen(told) as pipe:
        said = pipe.read()
    if not said:  # whoever started this is gone, or needs it no more
        return
    asked = json.loads(said)
    for name in asked["seen"]:
        _overwrite(name, asked["variables"][name])
    os.environ.update(asked["variables"])
    sys.argv = [asked["module"], *asked["words"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


def _overwrite(name: str, value: str) -> None:
    """Change a variable where the system shows it (`/proc/PID/environ`): in the memory that this process began with."""
    look = ctypes.CDLL(None).getenv
    look.restype = ctypes.c_void_p
    if place := look(name.encode()):
        ctypes.memmove(place, value.encode(), len(value))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
