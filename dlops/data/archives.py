"""Members of zip and tar archives and of packed files: read as streams, never unpacked to a disk, within bounds."""

from __future__ import annotations

import io
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa

from dlops.data import files
from dlops.data.damage import DAMAGE, told
from dlops.data.files import File, Form
from dlops.errors import DataError

RATIO = 1000
"""Times its size that a file may unpack to."""
ALLOWED = 100_000_000
"""Bytes that any file may unpack to, whatever its size."""

_BLOCK = 1 << 16
"""Bytes that are unpacked together: where the stream is damaged, those of a whole block are lost."""
_LONGEST_NAME = 1 << 20
_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_DEFLATE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """An opened file with rows: one on the disk, or one in an archive."""

    name: str
    """As users know it: `ARCHIVE:MEMBER` in an archive."""
    kind: str
    stream: BinaryIO
    """Its bytes, unpacked; to be read before the next member is asked for."""
    is_plain: bool = False
    """Whether the stream is the file itself, which can be sought in."""


def members(file: File, raw: BinaryIO, problem: Callable[[str, str], None]) -> Iterator[Member]:
    """Open what a file holds: itself, or the known files of an archive; `problem` takes a name and what is wrong.

    Raises:
        DataError: it is a bomb, or is encrypted.
    """
    budget = _Budget(file)
    try:
        packing = file.form.packing or _packing(raw)
        stream = budget.unpacked(raw, packing) if packing else raw
        if file.form.kind == "zip":
            yield from _zip(file, raw, budget, problem)
        elif file.form.kind == "tar":
            yield from _tar(file, stream, budget, problem)
        else:
            yield Member(file.name, file.form.kind, stream, is_plain=not packing)
    except DAMAGE as error:
        problem(file.name, f"the file is damaged: {told(error)}")


class _Budget:
    """Counts what a file was unpacked to, and ends it at a bomb."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._left = max(ALLOWED, RATIO * file.size)

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"{self._file.name} unpacks to more than {RATIO} times its size of {self._file.size:,} bytes.",
                hint="No data are like that; where they are, unpack it yourself and name the result.",
            )

    def unpacked(self, stream: Any, packing: str = "") -> BinaryIO:
        """Give a stream unpacked, and bounded."""
        inner = pa.CompressedInputStream(stream, packing) if packing else stream
        return _Bounded(inner, self)  # type: ignore[return-value]


class _Bounded(io.RawIOBase):
    def __init__(self, stream: Any, budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), _BLOCK))
        self._budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)


def _packing(raw: BinaryIO) -> str:
    """Recognise what is packed though its name does not say so, as servers do with `Content-Encoding`."""
    start = raw.read(4)
    raw.seek(0)
    return next((packing for magic, packing in _MAGIC.items() if start.startswith(magic)), "")


def _zip(file: File, raw: BinaryIO, budget: _Budget, problem: Callable[[str, str], None]) -> Iterator[Member]:
    with zipfile.ZipFile(raw) as archive:
        any_known = False
        for info in archive.infolist():
            mode = info.external_attr >> 16
            known = None if info.is_dir() else _wanted(file, info.filename, problem)
            if known is None or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
                continue
            any_known, name = True, f"{file.name}:{info.filename}"
            if info.flag_bits & 0x1:
                raise DataError(f"{name} is encrypted.", hint="Unpack it with its password, and name the result.")
            if info.compress_type not in _DEFLATE:  # zipfile unpacks blocks of the others as a whole: a way for bombs
                problem(name, "it is packed by a method other than deflate")
                continue
            try:
                with archive.open(info) as content:
                    yield Member(name, known.kind, budget.unpacked(content, known.packing))
            except DAMAGE as error:
                problem(name, told(error))
    if not any_known:
        problem(file.name, "the archive holds no file of a known kind")


def _tar(file: File, stream: BinaryIO, budget: _Budget, problem: Callable[[str, str], None]) -> Iterator[Member]:
    any_known = False
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all
            known = _wanted(file, info.name, problem) if info.isreg() else None
            if known is None:
                continue
            any_known, name = True, f"{file.name}:{info.name}"
            content = archive.extractfile(info) if not info.issparse() else None
            if content is None:
                problem(name, "it is stored with holes (a sparse file)")
                continue
            with content:
                yield Member(name, known.kind, budget.unpacked(content, known.packing))
    if not any_known:
        problem(file.name, "the archive holds no file of a known kind")


def _wanted(file: File, name: str, problem: Callable[[str, str], None]) -> Form | None:
    """Give the form of a member to be read; tell of one that would climb out of its folder, or is an archive."""
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        problem(f"{file.name}:{name[:200]}", "its name leads out of the archive's folder")
        return None
    if any(part.startswith((".", "__MACOSX")) for part in parts):
        return None
    known = files.form(PurePosixPath(parts[-1]).name, plain=file.plain)
    if known.kind in files.ARCHIVES:
        problem(f"{file.name}:{name}", "an archive in an archive is not read: unpack the outer one")
        return None
    return known if known.kind else None


class _Header(tarfile.TarInfo):
    """A member's header; tarfile takes a damaged one for the archive's end, and reads names of any length."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Any:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.TarError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end
            raise tarfile.ReadError(told(error) if buf else "the archive is cut off") from error
        if header.size < 0 or (header.type in _NAMES and header.size > _LONGEST_NAME):
            raise tarfile.ReadError("a header is broken")
        return header
