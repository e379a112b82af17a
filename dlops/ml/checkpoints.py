"""States of a training from which it can go on: one safetensors file each, written beside and renamed, verified."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dlops.errors import StepFailed
from dlops.ml import cache
from dlops.ml.cache import Tensors

SUFFIX = ".safetensors"
_STRUCTURE, _DIGEST = "structure", "digest"
_TENSOR, _TUPLE, _ITEMS, _FLOAT = "$tensor", "$tuple", "$items", "$float"


def write(state: Mapping[str, Any], file: Path) -> None:
    """Write a state of tensors, numbers, texts, lists and mappings; the file is whole or not there.

    Raises:
        StepFailed: it cannot be written, or is not read as it was written; the message names the file.
        TypeError: the state holds something else.
    """
    tensors: Tensors = {}
    structure = json.dumps(_flattened(state, tensors))
    digest = _digest(structure, tensors)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside, metadata={_STRUCTURE: structure, _DIGEST: digest})
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        _read(beside)
        beside.replace(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise StepFailed(
            f"The checkpoint {file} cannot be written: {error}.",
            hint="Without it an interruption would cost the training. Is there room, and may the folder be written?",
        ) from error
    finally:  # where it was renamed, it is no longer there; where a signal came, it is
        with contextlib.suppress(OSError):
            beside.unlink()


def read(file: Path) -> dict[str, Any]:
    """Read a state; nothing in the file is run.

    Raises:
        StepFailed: it is not there, is no checkpoint, or is damaged.
    """
    try:
        return _read(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise StepFailed(
            f"The checkpoint {file} cannot be read: {error}.", hint="Resume from an earlier one, or rerun."
        ) from error


class Safetensors(CheckpointIO):  # type: ignore[misc]  # Lightning has no types for us
    """Lightning's checkpoints as `write` and `read` keep them, instead of pickles."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write what Lightning collected."""
        del storage_options
        write(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read it back, onto the CPU."""
        del map_location, weights_only
        return read(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove one."""
        Path(path).unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        about = opened.metadata() or {}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    if _digest(about.get(_STRUCTURE, ""), tensors) != about.get(_DIGEST):
        raise ValueError("its content is not what was written")
    found = _built(json.loads(about[_STRUCTURE]), tensors)
    return dict(found)


def _digest(structure: str, tensors: Tensors) -> str:
    return cache.key(structure, *(part for name in sorted(tensors) for part in (name, tensors[name])))


def _flattened(value: Any, tensors: Tensors) -> Any:
    """Give a value as JSON has it, its tensors set apart by number."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()  # two names of one storage are two tensors here
        return {_TENSOR: name}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {_FLOAT: value.hex()}
    if isinstance(value, tuple):
        return {_TUPLE: [_flattened(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_flattened(item, tensors) for item in value]
    if isinstance(value, Mapping):
        return {_ITEMS: [[_flattened(name, tensors), _flattened(item, tensors)] for name, item in value.items()]}
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _built(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, list):
        return [_built(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    makers: dict[str, Callable[[Any], Any]] = {
        _TENSOR: tensors.__getitem__,
        _FLOAT: float.fromhex,
        _TUPLE: lambda items: tuple(_built(item, tensors) for item in items),
        _ITEMS: lambda items: {_built(name, tensors): _built(item, tensors) for name, item in items},
    }
    return makers[kind](content)
