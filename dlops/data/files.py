"""Files that a location names: one, several, a glob or a folder, of this machine or of another."""

from __future__ import annotations

import functools
import glob
import hashlib
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dlops.config import locations, paths
from dlops.config.parameters import suggestion
from dlops.data import buckets, downloads, web
from dlops.errors import DataError, UsageError

KINDS = ("csv", "tsv", "jsonl", "ndjson", "json", "parquet")
"""Suffixes of files that hold rows."""
PLAIN = "txt"
"""Suffix of files that hold texts alone, one a line: read only where texts are all that is wanted."""
ARCHIVES = ("zip", "tar")
"""Suffixes of files that hold files."""
_PACKINGS = {"gz": "gzip", "zst": "zstd"}
_SHORT = {"tgz": ("tar", "gz"), "tzst": ("tar", "zst")}
_HINT = (
    "Known are .csv, .tsv, .jsonl, .json and .parquet, with target=none also .txt, one text a line; each also as "
    ".gz or .zst, and in .zip or .tar."
)


@dataclass(frozen=True)
class Form:
    """What a file's name says about its content."""

    kind: str
    """One of `KINDS` or `ARCHIVES`, or `PLAIN`; empty where it is not known."""
    packing: str = ""
    """`gzip` or `zstd`, around all of it."""


@dataclass(frozen=True)
class File:
    """A file on this machine that can be read."""

    path: Path
    name: str
    """As users know it: its path, or the URI it was downloaded from, without credentials."""
    form: Form
    size: int
    """Bytes."""
    sha256: str = ""
    """Known of a download, and of a file whose checksum was compared."""
    etag: str = ""
    """What the server calls this state of the file."""
    plain: bool = False
    """Whether plain texts are read, too, where it is an archive."""


def form(name: str, *, plain: bool = False) -> Form:
    """Read a file's form from its name; `plain` texts are known only where they are asked for."""
    parts = name.lower().split(".")[1:]
    parts[-1:] = _SHORT.get(parts[-1] if parts else "", parts[-1:])
    packing = _PACKINGS.get(parts.pop(), "") if parts and parts[-1] in _PACKINGS else ""
    known = (*KINDS, *ARCHIVES, *([PLAIN] if plain else []))
    kind = parts[-1] if parts and parts[-1] in known else ""
    return Form("" if kind == "zip" and packing else kind, packing)


def stem(name: str) -> str:
    """Give a file's name without its suffixes, as far as they are known: `reviews` for `reviews.csv.gz`."""
    known = "|".join((*KINDS, PLAIN, *ARCHIVES, *_PACKINGS, *_SHORT))
    return re.sub(rf"(\.({known}))+$", "", name, flags=re.IGNORECASE)


def split(location: str) -> list[str]:
    """Split a list at its commas; a comma in a file's name, or within a URI, separates nothing."""
    if paths.exists(paths.absolute(location)):
        return [location]
    separator = r",(?=\s*[A-Za-z][A-Za-z0-9+.\-]*://)" if "://" in location.split(",")[0] else ","
    return [part.strip() for part in re.split(separator, location) if part.strip()]


def find(location: str, *, checksum: str = "", plain: bool = False) -> list[File]:
    """Find the files that a location names, in order; those of other machines are downloaded.

    `checksum` is `sha256:HEX` of the one file there is; with `plain`, files of plain text are known, too.

    Raises:
        DataError: one is not there, cannot be downloaded, or is of a kind that is not known.
        UsageError: the location or the checksum is none.
    """
    expected = _hexadecimal(checksum)
    parts = split(location)
    if not parts:
        raise UsageError("No source is named.", hint="Name a file, a folder, a URI, or source=sample.")
    if expected and len(parts) > 1:
        raise UsageError("checksum= can be compared with one file only.", hint=f"The source names {len(parts)}.")
    found = [file for part in parts for file in _found(part, expected, plain)]
    unique = list({file.path: file for file in found}.values())
    if expected and (len(unique) != 1 or unique[0].sha256 != expected):
        _compare(unique, expected)
    return unique


def _found(part: str, expected: str, plain: bool) -> list[File]:
    if part.startswith("file:"):
        return _local(locations.path_of(part), plain)
    if re.match(r"https?://", part, re.IGNORECASE):
        return [_downloaded(downloads.fetch(web.Page(part), sha256=expected), plain)]
    if "://" in part:
        items = buckets.items(part, functools.partial(_is_known, plain=plain))
        return [_downloaded(downloads.fetch(item, sha256=expected), plain) for item in items]
    path = paths.absolute(part)
    if set("*?[") & set(part) and not paths.exists(path):
        return _globbed(str(path), plain)
    return _local(path, plain)


def _globbed(pattern: str, plain: bool) -> list[File]:
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    known = [path for path in found if _is_known(path.name, plain) and path.is_file()]
    if not known:
        matched = (
            f"of the {len(found)} names that match, none is a file of a known kind" if found else "no file matches"
        )
        raise DataError(f"{pattern}: {matched}.", hint=_HINT if found else "Name a file, a folder or another pattern.")
    return [_file(path, plain) for path in known]


def _local(path: Path, plain: bool) -> list[File]:
    if not paths.exists(path):
        near = suggestion(path.name, _names(path.parent))
        raise DataError(f"{path} does not exist{near}.", hint="Name a file, or source=sample for synthetic reviews.")
    if not path.is_dir():
        return [_file(path, plain)]
    try:
        inner = sorted(file for file in path.rglob("*") if not _is_hidden(file.relative_to(path)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    known = [file for file in inner if _is_known(file.name, plain) and file.is_file()]
    if not known:
        raise DataError(f"The folder {path} holds no file of a known kind.", hint=_HINT)
    return [_file(file, plain) for file in known]


def _file(path: Path, plain: bool) -> File:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"{path} is no file: a pipe or a device cannot be read twice.", hint="Write it to a file first."
        )
    return File(path, str(path), _form(path.name, str(path), plain), status.st_size, plain=plain)


def _downloaded(download: downloads.Download, plain: bool) -> File:
    known = _form(download.path.name, download.uri, plain)
    return File(download.path, download.uri, known, download.size, download.sha256, download.validator, plain)


def _form(name: str, shown: str, plain: bool) -> Form:
    known = form(name, plain=plain)
    if not known.kind:
        suffix = Path(name).suffix or "no suffix"
        raise DataError(f"{shown} is of a kind that is not known ({suffix}).", hint=_HINT)
    return known


def _is_known(name: str, plain: bool) -> bool:
    return bool(form(name, plain=plain).kind)


def _is_hidden(path: Path) -> bool:
    """Hidden, or written by a program for itself (`_SUCCESS`, `_delta_log`, `__MACOSX`)."""
    return any(part.startswith((".", "_")) for part in path.parts[:-1]) or path.name.startswith(".")


def _hexadecimal(checksum: str) -> str:
    if not checksum:
        return ""
    found = re.fullmatch(r"(?:sha256:)?([0-9a-f]{64})", checksum.strip(), re.IGNORECASE)
    if not found:
        raise UsageError(f"checksum={checksum[:100]} is none.", hint="It is sha256: and 64 hexadecimal digits.")
    return found[1].lower()


def _compare(found: list[File], expected: str) -> None:
    if len(found) != 1:
        raise UsageError("checksum= can be compared with one file only.", hint=f"The source names {len(found)}.")
    try:
        with found[0].path.open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{found[0].name} cannot be read: {error.strerror}.") from error
    if actual != expected:
        raise DataError(
            f"{found[0].name} is not the file that checksum= names: it has sha256:{actual}.",
            hint="It was altered, or the checksum is that of another version.",
        )


def _names(folder: Path) -> Iterable[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
