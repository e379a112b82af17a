"""Tensors that were computed before: kept by what they were computed from, on the user's disk, up to a size."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dlops.config import folders

Tensors: TypeAlias = dict[str, torch.Tensor]

LIMIT = 20 << 30
"""Bytes that may be kept; beyond them, what was not used for longest goes."""


def remembered(kind: str, key: str, compute: Callable[[], Tensors]) -> Tensors:
    """Give the tensors kept under `key`, or compute and keep them; a damaged file counts as none.

    A disk that is full or may not be written costs the next run time, and this one nothing.
    """
    file = folders.cache() / kind / f"{key}.safetensors"
    try:
        found: Tensors = load_file(file)
        os.utime(file)
    except (OSError, SafetensorError):
        found = compute()
        _keep(file, found)
    return found


def is_there(kind: str, key: str) -> bool:
    """Tell whether something is kept under `key`."""
    return (folders.cache() / kind / f"{key}.safetensors").is_file()


def key(*parts: str | torch.Tensor) -> str:
    """Hash texts and tensors: 32 hexadecimal digits that stand for their content."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            digest.update(f"{len(part)}\0{part}".encode())
        else:
            digest.update(f"{tuple(part.shape)} {part.dtype}\0".encode())
            digest.update(part.detach().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _keep(file: Path, tensors: Tensors) -> None:
    """Write beside and rename; make room first."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _make_room(file.parent, sum(tensor.nbytes for tensor in tensors.values()))
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside)
        beside.replace(file)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            beside.unlink()


def _make_room(folder: Path, needed: int) -> None:
    """Remove the files that were not used for longest, until `needed` more bytes are within the limit."""
    there = sorted((status.st_mtime, status.st_size, file) for file in folder.iterdir() for status in [file.stat()])
    used = sum(size for _, size, _ in there)
    for _, size, file in there:
        if used + needed <= LIMIT:
            return
        file.unlink(missing_ok=True)
        used -= size
