"""Engines that were made on this machine: kept in the user's cache by the model they are of, the fastest one known."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dlops.config import folders, processor
from dlops.errors import StepFailed
from dlops.ml.engines import engine
from dlops.ml.engines.engine import FORMAT, Description, Row
from dlops.ml.engines.served import Served
from dlops.worker import locks

Asked: TypeAlias = Literal["auto", "torch", "torch-bf16", "onnx", "onnx-int8", "pyfunc"]

RECORDED = "recorded.json"
"""Texts, and what the engine made of them when it was made."""
_NOTHING_SAID = "it did not say why"


@dataclass(frozen=True)
class Kept:
    """An engine in the cache."""

    folder: Path
    told: Description
    milliseconds: dict[str, float]
    """That a text took on one processor (on a GPU in a batch), by form; empty where nothing was timed."""

    def recorded(self) -> tuple[list[Row], list[dict[str, Any]]]:
        """Give texts, and what the engine made of them when it was made."""
        told = json.loads((self.folder / RECORDED).read_text(encoding="utf-8"))
        return told["rows"], told["answers"]


def kept(model: Served, asked: Asked, agreement: float) -> Kept:
    """Find the engine that was chosen on this machine before, or make it, and choose.

    Another process makes it, so that nothing of that stays in this one's memory.

    Raises:
        StepFailed: it cannot be made, or is not what the model is.
    """
    place = root(model)
    found = chosen(place, asked, agreement)
    if found:
        return found
    place.mkdir(parents=True, exist_ok=True)
    with locks.held(place / ".lock"):
        found = chosen(place, asked, agreement)
        if not found:
            _make(model, asked, agreement)
            found = chosen(place, asked, agreement)
    if not found:
        raise StepFailed(f"No engine of {model.told} could be made: {_NOTHING_SAID}.")
    return found


def forget(found: Kept) -> None:
    """Remove an engine, and what was chosen among those of its model: the next who asks makes it anew."""
    for chosen_before in found.folder.parent.glob("*.json"):
        chosen_before.unlink(missing_ok=True)
    shutil.rmtree(found.folder, ignore_errors=True)


def root(model: Served) -> Path:
    """Give the folder of a model's engines."""
    return folders.cache() / "engines" / model.key


def chosen(place: Path, asked: Asked, agreement: float) -> Kept | None:
    """Read what was chosen before; `None` where nothing was, or it is damaged."""
    try:
        told = json.loads(choice(place, asked, agreement).read_text(encoding="utf-8"))
        folder = place / told["form"]
        return Kept(folder, engine.described(folder), told["milliseconds"]) if is_whole(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def choice(place: Path, asked: Asked, agreement: float) -> Path:
    """Name the file that says what was chosen on this machine, and the libraries it has."""
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "torch", "transformers")]
    machine = [processor.name(), str(os.cpu_count()), *_gpus(), *libraries, f"{agreement:g}"]
    digest = hashlib.sha256("\0".join(machine).encode()).hexdigest()[:12]
    return place / f"{asked}-{digest}.json"


def write(file: Path, content: str) -> None:
    """Write beside and rename."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.write_text(content, encoding="utf-8")
    beside.replace(file)


def is_whole(folder: Path) -> bool:
    """Say whether a folder is an engine that was made to the end, and as they are made now."""
    try:
        return engine.described(folder).format == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _gpus() -> list[str]:
    """Name the GPUs that a process here may use; asked without torch, which takes seconds."""
    return [
        os.environ.get("CUDA_VISIBLE_DEVICES", "all"),
        *map(str, sorted(Path("/proc/driver/nvidia/gpus").glob("*"))),
    ]


def _make(model: Served, asked: Asked, agreement: float) -> None:
    request = json.dumps({"model": model.document(), "asked": asked, "agreement": agreement})
    done = subprocess.run(
        [sys.executable, "-m", "dlops.ml.engines.making"],
        input=request,
        stdout=None,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise StepFailed(errors[-1] if errors else f"The engine could not be made: {(lines or [_NOTHING_SAID])[-1]}")
