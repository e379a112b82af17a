"""Lines of text files: decoded, none too long, and some of them once more where a record went wrong."""

from __future__ import annotations

import codecs
import io
from collections import deque
from typing import BinaryIO

from dlops.errors import UsageError

LIMIT = 50_000_000
"""Characters of one record, all its lines together."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TooLongError(Exception):
    """A record is longer than the limit; its last line is left behind."""


class Lines:
    """The lines of a binary stream, as `csv.reader` takes them.

    A byte order mark decides the encoding. Bytes that are none of it become lone surrogates (U+DC80 to U+DCFF), so that
    whoever makes records of the lines can refuse the one record they stand in; `misread` finds them.
    """

    def __init__(
        self, stream: BinaryIO | io.RawIOBase, encoding: str = "utf-8", *, newline: str = "", number: int = 0
    ) -> None:
        buffered = io.BufferedReader(stream, 1 << 20)  # type: ignore[type-var]
        start = b"" if number else buffered.peek(4)[:4]
        self.encoding = next((name for mark, name in _MARKS if start.startswith(mark)), encoding)
        # the decoders of UTF-16 and UTF-32 cannot go on after damage; they raise UnicodeDecodeError
        errors = "strict" if self.encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        self._text = io.TextIOWrapper(buffered, self.encoding, errors=errors, newline=newline)
        self._again: deque[str] = deque()
        self._allowed = LIMIT
        self._cut = False
        self.held: list[str] = []
        """Lines since the last `begin`."""
        self.number = number
        """Lines that were given so far, with those before the stream."""
        self.characters = 0
        """Characters that were given so far."""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        self._text.close()

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(LIMIT)
        if not line:
            raise StopIteration
        self.number += 1
        self.characters += len(line)
        self.held.append(line)
        if self.characters > self._allowed:
            self._cut = not line.endswith(("\n", "\r"))
            raise TooLongError
        return line

    def begin(self) -> int:
        """Begin a record, behind the line of the one before; give its line, counted from 1."""
        while self._cut and (line := self._text.readline(LIMIT)):
            self._cut = not line.endswith(("\n", "\r"))
        self.held.clear()
        self._allowed = self.characters + LIMIT - 1
        return self.number + 1

    def rewind(self, keep: int) -> None:
        """Take back the lines of the record, but its first `keep`: they are given again."""
        self._again.extendleft(reversed(self.held[keep:]))
        self._cut = self._cut and keep == len(self.held)
        self.number -= len(self.held) - keep
        del self.held[keep:]

    def block(self) -> str:
        """Give the next characters, whatever lines they belong to; what was taken back comes first."""
        if self._again:
            text = "".join(self._again)
            self._again.clear()
            return text
        return self._text.read(1 << 20)


def check_encoding(name: str) -> None:
    """Refuse an encoding that Python does not know.

    Raises:
        UsageError: it is unknown, or none of texts.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), name)
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"encoding={name}: no such encoding.", hint="Name one such as utf-8, latin-1, cp1252 or utf-16-le."
        ) from error


def misread(text: str, encoding: str) -> str:
    """Say what in a text was no character of the encoding; nothing where all was well."""
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) - 0xDC00
        name = encoding.upper().removesuffix("-SIG")
        return f"byte {byte:#04x} is no {name}: save the file as UTF-8, or name its own encoding (encoding=latin-1)"
    return ""
