"""Files of other machines as files of this one: kept in the cache, resumed, compared with their checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from dlops.config import folders
from dlops.data.damage import told
from dlops.errors import DataError
from dlops.worker import locks, masking

TRIES = 5
"""Attempts, one after another, in which nothing new came."""
PAUSE_S = 0.5
"""Before the second attempt; twice as long before each further one."""

_LONGEST_PAUSE_S = 15.0
_ALL_TRIES = 200


class TryAgainError(Exception):
    """Something failed that may work the next time."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(masking.url(reason))
        self.wait_s = wait_s
        """What the server asks for."""


@dataclass(frozen=True)
class Answer:
    """What another machine answered."""

    unchanged: bool = False
    """The file is still as it was; nothing of it follows."""
    offset: int = 0
    """Where in the file the blocks begin."""
    size: int | None = None
    """Bytes of the whole file, where they are known."""
    validator: str = ""
    """What this state of the file is called; empty where none can be told from another."""
    blocks: Iterable[bytes] = ()
    name: str = ""
    """The file's name, where the answer says it."""


class Remote(Protocol):
    """A file of another machine."""

    uri: str
    name: str
    """Last part of its path."""

    def ask(self, validator: str, offset: int) -> AbstractContextManager[Answer]:
        """Ask for the file unless it is in the state of `validator`; with an offset, for the rest of that state.

        Raises:
            DataError: it cannot be had.
            TryAgainError: not now.
        """


@dataclass(frozen=True)
class Download:
    """A file that was downloaded, now or before."""

    uri: str
    """Without credentials."""
    path: Path
    size: int
    sha256: str
    validator: str = ""


def fetch(remote: Remote, *, sha256: str = "") -> Download:
    """Download a file into the cache, unless the cache has it in its present state.

    Raises:
        DataError: it cannot be downloaded, or is not what its checksum (hexadecimal) says.
    """
    shown = masking.url(remote.uri)
    folder = folders.cache() / "downloads" / hashlib.sha256(remote.uri.encode(errors="replace")).hexdigest()[:32]
    try:
        with locks.held(folder / "lock"):
            return _Place(folder, remote, shown).fetched(sha256)
    except OSError as error:
        raise DataError(f"{shown} cannot be kept in {folder}: {told(error)}.", hint="Is the disk full?") from error


class _Place:
    """The folder of one download: `content/NAME` when it is complete, `part` until then, a `.json` about each."""

    def __init__(self, folder: Path, remote: Remote, shown: str) -> None:
        self._folder, self._remote, self._shown = folder, remote, shown
        self._part = folder / "part"

    def fetched(self, expected: str) -> Download:
        known = self._known()
        if known and expected:
            if self._digest(known.path) == expected:
                return known
            known = None
        tries, reached = 0, self._had()
        for _ in range(_ALL_TRIES):
            try:
                return self._checked(self._attempt(known), expected)
            except TryAgainError as error:
                tries = 0 if self._had() > reached else tries + 1
                reached, reason = max(reached, self._had()), error
            if tries >= TRIES:
                break
            time.sleep(min(max(PAUSE_S * 2**tries, reason.wait_s), _LONGEST_PAUSE_S))
        kept = f" {self._had():,} bytes are kept: run it again to go on from there." if self._had() else ""
        raise DataError(
            f"{self._shown} cannot be downloaded: {reason}.", hint=f"Is the address right, and the network up?{kept}"
        ) from reason

    def _attempt(self, known: Download | None) -> Download:
        begun = self._read("part.json").get("validator", "")
        had = self._had() if begun else 0
        with self._remote.ask(begun if had else known.validator if known else "", had) as answer:
            if answer.unchanged and known and not had:
                return known
            if answer.unchanged or (answer.offset and (answer.offset, answer.validator) != (had, begun)):
                self._drop_part()
                raise TryAgainError("the file changed while it was downloaded")
            if not answer.offset:
                self._drop_part()
                self._write("part.json", {"validator": answer.validator})
            with self._part.open("ab") as part:
                for block in answer.blocks:
                    part.write(block)
        if answer.size is not None and self._had() != answer.size:
            came = self._had()
            if came > answer.size:
                self._drop_part()
            raise TryAgainError(f"it broke off: {came:,} of {answer.size:,} bytes came")
        return self._complete(answer)

    def _complete(self, answer: Answer) -> Download:
        self._forget()
        name = re.sub(r"[^\w.\-]", "_", answer.name or self._remote.name)[-100:].lstrip(".") or "download"
        path = self._folder / "content" / name
        path.parent.mkdir(exist_ok=True)
        self._part.replace(path)
        done = Download(self._shown, path, path.stat().st_size, self._digest(path), answer.validator)
        self._write("about.json", asdict(done) | {"path": name})
        (self._folder / "part.json").unlink(missing_ok=True)
        return done

    def _checked(self, done: Download, expected: str) -> Download:
        if not expected or done.sha256 == expected:
            return done
        self._forget()
        done.path.unlink(missing_ok=True)
        raise DataError(
            f"{self._shown} is not the file that checksum= names: what came has sha256:{done.sha256}.",
            hint="It was altered on the way or by its owner; it was removed again.",
        )

    def _known(self) -> Download | None:
        about = self._read("about.json")
        with contextlib.suppress(TypeError, KeyError, OSError):
            known = Download(**{**about, "path": self._folder / "content" / about["path"]})
            return known if known.path.stat().st_size == known.size else None
        return None

    def _forget(self) -> None:
        """Take down what is known of a complete file before that file is touched, in case we are killed in between."""
        (self._folder / "about.json").unlink(missing_ok=True)

    def _had(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _drop_part(self) -> None:
        self._part.unlink(missing_ok=True)
        (self._folder / "part.json").unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self._folder / name).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}

    def _write(self, name: str, values: dict[str, Any]) -> None:
        beside = self._folder / f"{name}.new"
        beside.write_text(json.dumps(values), encoding="utf-8")
        beside.replace(self._folder / name)

    @staticmethod
    def _digest(path: Path) -> str:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
