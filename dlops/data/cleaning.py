"""What is done to each text before anything else sees it: a column at a time, and counted."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import raw_bytes
from dlops.data.raw_bytes import Bytes, Places
from dlops.data.tally import Tally
from dlops.data.text_cleaning import FORMS, Form, Switches
from dlops.errors import DataError

VERSION = 1
"""Of what the switches mean; a change of any result raises it."""

_BREAKS = (b"<br>", b"<br />", b"<br/>", b"<br >")
_LINES, _MORE, _WIDE = 1, 2, 4
"""What a text has: tags, what may have to be cleaned besides, letters beyond ASCII."""
_BEYOND_ASCII = 128


@dataclass
class Changes(Tally):
    """How many texts were looked at and changed, and by what; a text may be changed by several switches."""

    texts: int = 0
    changed: int = 0
    html: int = 0
    """Texts with tags or entities."""
    unicode: int = 0
    """Texts that had another normal form."""
    whitespace: int = 0
    """Texts without either that had runs of blanks, blanks at their ends, or control characters."""

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Cleaning(Switches):
    """The switches, and how long a text may be."""

    min_characters: int = 1
    """Characters that a cleaned text must have to be used."""
    max_characters: int = 0
    """Characters that a cleaned text may have; 0 sets no bound."""

    def text(self, text: str, changes: Changes | None = None) -> str:
        """Clean one text."""
        changed: set[str] = set()
        cleaned = self.clean(text, changed)
        if changes is not None:
            changes.texts += 1
            changes.changed += cleaned != text
            for name in changed - ({"whitespace"} if "html" in changed else set()):
                setattr(changes, name, getattr(changes, name) + 1)
        return cleaned

    def texts(self, texts: Sequence[str], changes: Changes | None = None) -> list[str]:
        """Clean many texts."""
        return list(self.column(pa.array(texts, pa.string()), changes).to_pylist())

    def column(self, texts: Any, changes: Changes | None = None) -> Any:
        """Clean an Arrow array of texts: as one after the other, but those that are clean already pass at once."""
        changes = Changes() if changes is None else changes
        marks = self._marked(texts)
        if (marks == _LINES).any():
            texts, done = _without_breaks(texts, marks == _LINES)
            marks[done] = 0
            changes.html += len(done)
            changes.changed += len(done)
        suspects = marks > 0
        changes.texts += len(texts) - int(suspects.sum())
        if not suspects.any():
            return texts
        mask = pa.array(suspects)
        cleaned = [self.text(text, changes) for text in texts.filter(mask).to_pylist()]
        return pc.replace_with_mask(texts, mask, pa.array(cleaned, pa.string()))

    def as_dict(self) -> dict[str, Any]:
        """Give what a dataset's metadata keep."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Cleaning:
        """Give the cleaning that `as_dict` wrote down.

        Raises:
            DataError: it was written by a later dlops, or by something else.
        """
        if kept.get("version") != VERSION:
            raise DataError(
                f"The cleaning is of version {kept.get('version')!r}; this dlops knows version {VERSION}.",
                hint="Use the dlops that wrote the dataset, or a later one.",
            )
        values = {name: value for name, value in kept.items() if name != "version"}
        types = {own.name: type(own.default) for own in fields(cls)}
        wrong = [name for name in {**types, **values} if type(values.get(name)) is not types.get(name)]
        if wrong or values["unicode"] not in FORMS:
            raise DataError(
                f"The cleaning cannot be read: {', '.join(map(repr, sorted(wrong or ['unicode'])))} is wrong.",
                hint="Was the dataset's metadata changed by hand? Ingest the source again.",
            )
        return cls(**values)

    def _marked(self, texts: Any) -> Bytes:
        """Mark texts that may not be clean, looking at all bytes at once; `_LINES` where only tags may have to go."""
        raw, bounds = raw_bytes.of(texts)
        marked = np.zeros(len(texts), np.uint8)

        def mark(places: Any, what: int) -> None:
            marked[np.searchsorted(bounds, places, side="right") - 1] |= what

        beyond = np.flatnonzero(raw - np.uint8(ord(" ")) > ord("~") - ord(" "))  # below a blank wraps round
        control = raw[beyond] < _BEYOND_ASCII
        mark(self._doubtful(raw, beyond[~control]), _WIDE)
        if self.html:
            mark(np.flatnonzero(raw == ord("<")), _LINES if self.whitespace else _MORE)
            mark(np.flatnonzero(raw == ord("&")), _MORE)
        if self.whitespace:
            mark(beyond[control], _MORE)
            mark(_double_blanks(raw), _MORE)  # of one text, or the last and first of two
            filled = np.flatnonzero(np.diff(bounds))
            outer = (raw[bounds[filled + 1] - 1] == ord(" ")) | (raw[bounds[filled]] == ord(" "))
            marked[filled[outer]] |= _MORE
        wide = np.flatnonzero((marked & (_WIDE | _MORE)) == _WIDE)
        marked &= _LINES | _MORE
        for place in wide.tolist():
            if not self._kept(texts[place].as_py()):
                marked[place] |= _MORE
        return marked

    def _doubtful(self, raw: Bytes, wide: Places) -> Places:
        """Find the letters beyond ASCII that may not stay as they are, given the places of all their bytes."""
        letters = raw[wide].tobytes().decode()
        points = np.frombuffer(letters.encode("utf-32-le"), np.uint32)
        doubtful = [ord(letter) for letter in set(letters) if not _stays(letter, self.unicode, self.whitespace)]
        begins = wide[raw[wide] & 0b1100_0000 != 0b1000_0000] if doubtful else wide[:0]
        return begins[np.isin(points, doubtful)] if doubtful else begins

    def _kept(self, text: str) -> bool:
        """Tell whether normal form and blanks of a text are as they are to be."""
        if self.unicode != "none" and not unicodedata.is_normalized(self.unicode, text):
            return False
        return not self.whitespace or (text.isprintable() and "  " not in text and text == text.strip())


@functools.lru_cache(10_000)
def _stays(letter: str, form: Form, whitespace: bool) -> bool:
    """Tell whether a letter stays as it is, whatever stands beside it: then it joins none into another normal form."""
    if whitespace and not letter.isprintable():
        return False
    return form == "none" or (
        unicodedata.is_normalized(form, letter)
        and not unicodedata.category(letter).startswith("M")
        and not unicodedata.combining(letter)
        and not 0x1100 <= ord(letter) < 0x1200  # parts of Hangul syllables
    )


def _double_blanks(raw: Bytes) -> Places:
    """Find where two blanks follow each other, comparing two bytes at once: those at even places, then at odd ones."""
    found = [
        np.flatnonzero(np.frombuffer(raw[start : start + (len(raw) - start) // 2 * 2], np.uint16) == 0x2020) * 2 + start
        for start in (0, 1)
    ]
    return np.concatenate(found)


def _without_breaks(texts: Any, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Any, Places]:
    """Join the lines of all texts that are clean but for `<br />`, of those that are chosen; give their places too.

    Each `<br />` goes with the blanks around it, and one blank comes in its place, but none at the ends of a text.
    """
    raw, bounds = raw_bytes.of(texts)
    opens = np.flatnonzero(raw == ord("<"))
    owners = np.searchsorted(bounds, opens, side="right") - 1
    lengths = _lengths_of_breaks(raw, opens)
    chosen = chosen.copy()
    chosen[owners[lengths == 0]] = False
    is_break = chosen[owners]
    opens, owners, lengths = opens[is_break], owners[is_break], lengths[is_break]
    starts = np.maximum(opens - (raw[opens - 1] == ord(" ")), bounds[owners])
    ends = opens + lengths
    ends = np.minimum(ends + (raw[np.minimum(ends, len(raw) - 1)] == ord(" ")), bounds[owners + 1])
    first = np.ones(len(starts), bool)
    first[1:] = (starts[1:] > ends[:-1]) | (owners[1:] != owners[:-1])
    last = np.roll(first, -1)
    starts, ends, owners = starts[first], ends[last], owners[first]
    inside = (starts > bounds[owners]) & (ends < bounds[owners + 1])
    kept = raw.copy()
    kept[starts[inside]] = ord(" ")
    starts = starts + inside
    counts = ends - starts
    going = np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
    left = np.delete(kept, going)
    return raw_bytes.texts(left, bounds - np.searchsorted(going, bounds)), np.unique(owners)


def _lengths_of_breaks(raw: Bytes, opens: Places) -> Places:
    """Give how long the `<br>`, `<br/>` or `<br />` is that begins at each of these places; 0 where none does."""
    lengths = np.zeros(len(opens), np.int64)
    for tag in _BREAKS:
        found = opens + len(tag) <= len(raw)
        for place, sign in enumerate(tag):
            found &= raw[np.minimum(opens + place, len(raw) - 1)] == sign
        lengths[found] = len(tag)
    return lengths
