"""What a parameter's value names: a file, a table, a model, or a word that the step itself knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dlops.config import folders, paths, yaml
from dlops.config.parameters import STRUCTURES, structure, suggestion
from dlops.errors import ConfigError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,7}")
_AT = re.compile(r"(?P<place>.+)@(?P<version>\d+|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))")


def is_uri(text: str) -> bool:
    """Say whether a text begins with a scheme, as `s3://…` and `runs:/…` do."""
    return bool(_SCHEME.match(text))


def path_of(uri: str) -> Path:
    """Give the place on this machine that a `file:` URI names."""
    return Path(unquote(urlsplit(uri).path))


def located(kind: str, text: str, base: Path, *, default: bool = False) -> str:
    """Make what a value names absolute, `base` being the folder of whoever wrote it; URIs and words stay.

    `default` says that the value is the parameter's default: a word is the step's own then, whatever lies in a folder.

    Raises:
        ValueError: what must exist does not.
    """
    if kind in STRUCTURES:
        return structured(text, base, is_list=kind == "points")
    if not text or is_uri(text):
        return text
    match kind:
        case "path":
            return _file(text, base)
        case "location":
            return text if default and "/" not in text else _file_or_word(text, base)
        case "table":
            if versioned(text)[1] is not None:
                raise ValueError("ends as a version of a table does; name the table that gets a next version")
            return str(paths.absolute(text, base) if _is_path(text) else table(text))
        case "dataset":
            return _dataset(text, base)
        case "model":
            return text if default and "/" not in text else _folder_or_word(text, base)
    return text


def structured(text: str, base: Path, *, is_list: bool = False) -> str:
    """Give the canonical text of a structure; one that is a lone word names the file that it is read from.

    Raises:
        ValueError: there is no such file, or it cannot be read.
    """
    name = json.loads(text) if text else None
    if not isinstance(name, str):
        return text
    file = Path(_file(name, base))
    try:
        return structure(file.read_text(encoding="utf-8") if is_list else dict(yaml.load(file, as_text=True).values))
    except OSError as error:
        raise ValueError(f"cannot be read: {error}") from None
    except ConfigError as error:
        raise ValueError(f"cannot be read: {error.message} {error.hint}".strip()) from None


def table(name: str) -> Path:
    """Give the place of the table called `name` in the user's data folder."""
    return folders.data() / "tables" / name


def place(name: str, base: Path | None = None) -> Path:
    """Give the place of a table: a bare name is one of the user's, unless only `base` has one so called."""
    here, known = paths.absolute(name, base), table(name)
    return here if _is_path(name) or (paths.exists(here) and not paths.exists(known)) else known


def versioned(reference: str) -> tuple[str, int | str | None]:
    """Split `TABLE@VERSION`: a number, a time (ISO 8601), or `None` where no version is named."""
    found = _AT.fullmatch(reference)
    if not found:
        return reference, None
    version = found["version"]
    return found["place"], int(version) if version.isdigit() else version


def _dataset(text: str, base: Path) -> str:
    name, version = versioned(text)
    found = place(name, base)
    if not paths.exists(found):
        near = suggestion(found.name, _names(found.parent)) or "; `dlops ingest` makes one"
        if name.startswith("/"):
            near += f" (if only the target has it: file://{name})"
        raise ValueError(f"names no dataset: {found}{near}")
    return str(found) if version is None else f"{found}@{version}"


def _file(text: str, base: Path) -> str:
    path = paths.absolute(text, base)
    if not paths.exists(path):
        raise ValueError(f"names no file or folder: {path}{suggestion(path.name, _names(path.parent))}")
    return str(path)


def _file_or_word(text: str, base: Path) -> str:
    """A word that ends like a file's name is a file's name, so that a misspelt one is noticed."""
    path = paths.absolute(text, base)
    if paths.exists(path) or set("*?[") & set(text):
        return str(path)
    if "," in text:
        return ",".join(located("location", part.strip(), base) for part in text.split(","))
    name, version = versioned(text)
    if version is not None and paths.exists(table_folder := paths.absolute(name, base)):
        return f"{table_folder}@{version}"
    return _file(text, base) if _is_path(text) or _SUFFIX.fullmatch(path.suffix) else text


def _folder_or_word(text: str, base: Path) -> str:
    if text.startswith((".", "~", "/")):
        return _file(text, base)
    path = paths.absolute(text, base)
    return str(path) if paths.exists(path) else text


def _is_path(text: str) -> bool:
    return text.startswith((".", "~")) or "/" in text or "\\" in text


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
