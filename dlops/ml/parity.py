"""Whether a model, loaded afresh by another process, answers as it did when it was judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import answers
from dlops.ml.answers import Answer
from dlops.ml.datasets import Split

_LAST = 2000
"""Characters of another process's error that are told."""


def differences(uri: str, split: Split, before: list[Answer], tolerance: float) -> list[str]:
    """Let a fresh process load the model and answer the rows; tell which answers are others than `before`.

    Raises:
        StepFailed: the process cannot load the model, or the model cannot answer.
    """
    with scratch.folder() as folder:
        asked, told = folder / "rows.json", folder / "answers.json"
        rows = {"texts": split.texts, "pairs": split.pairs}
        asked.write_text(json.dumps({"uri": uri, **rows}), encoding="utf-8")
        command = [sys.executable, "-m", "dlops.ml.parity", str(asked), str(told)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"A fresh process cannot use {uri}: {done.stderr.strip()[-_LAST:]}")
        after: list[Answer] = json.loads(told.read_text(encoding="utf-8"))
    apart = {name: distance(*both) for name, *both in zip(split.ids(), before, after, strict=True)}
    far = {name: off for name, off in apart.items() if not off <= tolerance}  # what is no number is no answer
    return [f"row {name}: its answer is {off:.2g} off" for name, off in far.items()]


def distance(one: Answer, other: Answer) -> float:
    """Give how far two answers are apart: the greatest difference of a score, or of numbers the relative one."""
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) / max(1.0, abs(one))
    if isinstance(one, float | int) or isinstance(other, float | int):
        return float("inf")
    return max(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in {**one, **other}) if one or other else 0.0


def main() -> None:
    """Be the fresh process: answer the rows of a file, and write that to another."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    given = answers.load_at(asked["uri"]).answers(Split(asked["texts"], [], asked["pairs"]))
    Path(sys.argv[2]).write_text(json.dumps(given.rows), encoding="utf-8")


if __name__ == "__main__":
    main()
