"""A Python that has imported all that some steps need, and becomes one of them in a fork: seconds of imports are saved.

A step so run is a process of its own with arguments, folder, environment, output and exit status as any other.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

TRAININGS = ("finetune", "tune")
STEPS = (*TRAININGS, "evaluate", "explain", "register", "predict")
_AT_IMPORT = ("HF_", "OMP_", "PYTHON", "TOKENIZERS_", "CUDA_")
"""Beginnings of the names of variables that libraries read once, as they are imported."""


class Preloaded:
    """The process that forks, with an environment in which it has imported."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._environ, self._folder = environ, folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipelines.preloaded"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fits(self, words: list[str], environ: dict[str, str]) -> bool:
        """Say whether a step so called would be the same in a fork; one that starts others must find itself."""
        alike = all(environ.get(name) == self._environ.get(name) for name in environ if name.startswith(_AT_IMPORT))
        return alike and not any(word.startswith(("devices=", "nodes=")) for word in words)

    def run(
        self, step: str, words: list[str], folder: Path, environ: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a step to its end."""
        out, err = self._folder / "stdout", self._folder / "stderr"
        asked = {
            "step": step,
            "words": words,
            "folder": str(folder),
            "environ": environ,
            "out": str(out),
            "err": str(err),
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    def close(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=60)


def main() -> None:
    """Import, then fork for each line; in the fork, be the step."""
    for step in STEPS:
        importlib.import_module(f"pipelines.{step}")
        del sys.modules[f"pipelines.{step}"]
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(asked)
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(asked: dict[str, Any]) -> None:
    for number, file in ((1, asked["out"]), (2, asked["err"])):
        written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, number)
        os.close(written)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    sys.path[0] = asked["folder"]
    sys.argv[1:] = asked["words"]
    runpy.run_module(f"pipelines.{asked['step']}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
