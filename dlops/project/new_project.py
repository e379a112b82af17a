"""A small project of the user's own: an MLproject, one step of its own, its configurations, a test."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from dlops.errors import UsageError

_TEMPLATE, _SUFFIX = "template", ".template"
_NAMES = {"gitignore": ".gitignore"}


def write(folder: Path, name: str = "") -> list[Path]:
    """Write the project's files into a folder, which is made where it is not there; give those that are new.

    Files that are there already and say the same stay as they are: done twice, it changes nothing.

    Raises:
        UsageError: some are there and say something else, of which none is touched; or the folder cannot be written.
    """
    texts = {folder / place: text for place, text in _files(name or _name(folder)).items()}
    try:
        others = [place for place, text in texts.items() if place.exists() and _content(place) != text]
        if others:
            raise UsageError(
                f"{folder} has files of its own, which stay as they are.",
                problems=[f"{place} is there already" for place in others],
                hint="Name a new folder: dlops init DIR",
            )
        new = [place for place in texts if not place.exists()]
        for place in new:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(texts[place], encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}.", hint="Name another folder.") from error
    return new


def _files(name: str) -> dict[str, str]:
    """Give the texts of the files by their place."""
    found: dict[str, str] = {}
    folders = [(resources.files("dlops.project") / _TEMPLATE, "")]
    while folders:
        folder, before = folders.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append((entry, f"{before}{entry.name}/"))
            elif entry.name.endswith(_SUFFIX):
                place = entry.name.removesuffix(_SUFFIX)
                text = entry.read_text(encoding="utf-8")
                found[f"{before}{_NAMES.get(place, place)}"] = re.sub(r"\{name\}", lambda _: name, text)
    return dict(sorted(found.items()))


def _name(folder: Path) -> str:
    return re.sub(r"[^\w.\-]+", "-", folder.absolute().name).strip("-.") or "project"


def _content(place: Path) -> str:
    try:
        return place.read_text(encoding="utf-8") if place.is_file() else ""
    except UnicodeDecodeError:
        return ""
