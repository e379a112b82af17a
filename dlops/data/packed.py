"""A folder's files on their way to another machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def files(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, by their place in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def unpack(found: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder."""
    for name, content in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
