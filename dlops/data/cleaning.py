"""What is done to each text before anything else sees it, in words that serving can repeat."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import compress
from typing import Any, Literal, TypeAlias

import numpy as np

from dlops.errors import DataError

VERSION = 1
"""Of what the switches mean; a change of any result raises it."""
Form: TypeAlias = Literal["NFC", "NFKC", "none"]
FORMS = ("NFC", "NFKC", "none")

_ELEMENTS = """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo big blockquote body br button
    canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed
    fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe
    img input ins kbd label legend li link main map mark marquee menu meta meter nav nobr noframes noscript object ol
    optgroup option output p param picture pre progress q rp rt ruby s samp script section select small source span
    strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u
    ul var video wbr
"""
_WITHIN_A_LINE = """
    a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q rp rt ruby s samp small
    span strike strong sub sup time tt u var wbr
"""
# Only elements that HTML knows are tags: `a <b and c> d` loses something, `x <y> z`, `a < b` and `I <3 you` do not.
# What is repeated never gives back (`++`), and stops at the next `<`: the time is linear even in hostile texts.
_TAG = re.compile(
    rf"</?({'|'.join(sorted(_ELEMENTS.split(), key=len, reverse=True))})(?:[\s/][^<>]*+)?>", re.IGNORECASE
)
_DECLARATION = re.compile(r"<[!?][A-Za-z\[][^<>]*+>")
_INLINE = frozenset(_WITHIN_A_LINE.split())
_BREAK = re.compile(r"<br ?/?>")
_ESCAPED_AGAIN = re.compile(r"&(?:amp;)++(?=[A-Za-z#])")
_UNSEEN = ("script", "style")
"""Elements whose content no reader sees."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")
_LINES, _MORE = 1, 2
"""What may have to be cleaned: tags alone, or more than them."""
_DELETE = 127
_PASSES = 8
"""Times that one text is cleaned at most, where cleaning uncovers more to clean."""


@dataclass
class Changes:
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
class Cleaning:
    """Switches; whoever has the same ones gives the same text, and cleaning twice is cleaning once."""

    html: bool = True
    """Whether tags, comments, scripts and styles go and entities are unescaped; a tag that breaks a line becomes a line
    end (with `whitespace` a blank), one within a line nothing."""
    unicode: Form = "NFC"
    """Normal form: NFC only settles how a character is composed, NFKC also makes ﬁ and ① fi and 1."""
    whitespace: bool = True
    """Whether a run of blanks of any kind, line ends among them, becomes one space, those at the ends go, and control
    characters and byte order marks go."""
    min_characters: int = 1
    """Characters that a cleaned text must have to be used."""
    max_characters: int = 0
    """Characters that a cleaned text may have; 0 sets no bound."""

    def text(self, text: str, changes: Changes | None = None) -> str:
        """Clean one text."""
        changed: set[str] = set()
        cleaned = self._settled(text, changed)
        if changes is not None:
            changes.texts += 1
            changes.changed += cleaned != text
            for name in changed - ({"whitespace"} if "html" in changed else set()):
                setattr(changes, name, getattr(changes, name) + 1)
        return cleaned

    def texts(self, texts: Sequence[str], changes: Changes | None = None) -> list[str]:
        """Clean many texts: the same as one after the other, but those that are clean already are passed at once."""
        if not texts:
            return []
        cleaned = list(texts)
        passed, joined = len(cleaned), 0
        for place, tidy in self._suspects(cleaned):
            line = _one_line(cleaned[place]) if tidy else None
            passed -= 1
            joined += line is not None
            cleaned[place] = self.text(cleaned[place], changes) if line is None else line
        if changes is not None:
            changes.texts += passed + joined
            changes.changed += joined
            changes.html += joined
        return cleaned

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

    def _settled(self, text: str, changed: set[str]) -> str:
        for _ in range(_PASSES):
            cleaned = self._once(text, changed)
            if cleaned == text or not (self.html and ("<" in cleaned or "&" in cleaned)):
                return cleaned
            text = cleaned
        # Someone has nested tags in tags so that each pass uncovers another: no reader misses the brackets.
        for _ in range(2):  # the normal form may make further ones
            text = self._once(text.replace("<", " ").replace("&", " "), changed)
        return text

    def _once(self, text: str, changed: set[str]) -> str:
        if self.html and ("<" in text or "&" in text):
            text = _noted("html", text, _without_html(text), changed)
        tidied = self.whitespace and not (text.isascii() and text.isprintable())
        if tidied:
            # Before the normal form: what stood on both sides may now be composed.
            text = _noted("whitespace", text, _CONTROL.sub("", text), changed)
        if self.unicode != "none" and not text.isascii():
            text = _noted("unicode", text, unicodedata.normalize(self.unicode, text), changed)
        if self.whitespace and (tidied or "  " in text or text[:1] == " " or text[-1:] == " "):
            text = _noted("whitespace", text, " ".join(text.split()), changed)
        return text

    def _suspects(self, texts: list[str]) -> list[tuple[int, bool]]:
        """Give the places of texts that may not be clean, and whether all that may be wrong are line breaks in HTML."""
        plain = np.fromiter(map(str.isascii, texts), bool, len(texts))
        marked = np.zeros(len(texts), np.uint8)
        marked[plain] = self._marked(list(compress(texts, plain)))
        for place in np.flatnonzero(~plain).tolist():
            text = texts[place]
            marked[place] = _LINES * (self.html and "<" in text)
            if not self._kept(text) or (self.html and "&" in text):
                marked[place] |= _MORE
        return [(place, self.whitespace and bool(marked[place] == _LINES)) for place in np.flatnonzero(marked).tolist()]

    def _marked(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Look at ASCII texts all at once, as bytes: what numpy does in a microsecond takes `re` thirty."""
        raw = np.frombuffer("".join(texts).encode(), np.uint8)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.cumsum(sizes)
        marked = np.zeros(len(texts), np.uint8)

        def mark(bytes_: np.ndarray[Any, np.dtype[np.bool_]], what: int) -> None:
            marked[np.searchsorted(ends, np.flatnonzero(bytes_), side="right")] |= what

        if self.html:
            mark(raw == ord("<"), _LINES)
            mark(raw == ord("&"), _MORE)
        if self.whitespace:
            mark((raw < ord(" ")) | (raw == _DELETE), _MORE)
            blank = raw == ord(" ")
            mark(blank[1:] & blank[:-1], _MORE)
            filled = np.flatnonzero(sizes)
            outer = blank[ends[filled] - 1] | blank[(ends - sizes)[filled]]
            marked[filled[outer]] |= _MORE
        return marked

    def _kept(self, text: str) -> bool:
        """Tell whether normal form and blanks of a text are as they are to be."""
        if self.unicode != "none" and not unicodedata.is_normalized(self.unicode, text):
            return False
        return not self.whitespace or (text.isprintable() and "  " not in text and text == text.strip())


def _noted(name: str, before: str, after: str, changed: set[str]) -> str:
    if after != before:
        changed.add(name)
    return after


def _one_line(text: str) -> str | None:
    """Join the lines of a text that is tidy but for `<br />`; `None` where it has no such line or more of HTML."""
    lines = _BREAK.split(text)
    joined = " ".join(filter(None, map(str.strip, lines)))
    return None if len(lines) == 1 or "<" in joined else joined


def _without_html(text: str) -> str:
    if "<" in text:
        text = _cut(text, "<!--", "-->") if "<!--" in text else text
        for name in _UNSEEN:
            text = _without_element(text, name)
        text = _TAG.sub(_replacement, text)
        text = _DECLARATION.sub("", text) if "<!" in text or "<?" in text else text
    return html.unescape(_ESCAPED_AGAIN.sub("&", text)) if "&" in text else text


def _replacement(tag: re.Match[str]) -> str:
    return "" if tag[1].lower() in _INLINE else "\n"


def _cut(text: str, opening: str, closing: str) -> str:
    """Leave out all that stands between two marks; one that is never closed is left as it is."""
    kept, place = [], 0
    while (start := text.find(opening, place)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        kept.append(text[place:start])
        place = end + len(closing)
    return "".join([*kept, text[place:]])


def _without_element(text: str, name: str) -> str:
    """Leave out an element with all it holds."""
    opening = re.compile(rf"<{name}(?:\s[^<>]*+)?>", re.IGNORECASE)
    closing = re.compile(rf"</{name}\s*+>", re.IGNORECASE)
    kept, place = [], 0
    while (start := opening.search(text, place)) and (end := closing.search(text, start.end())):
        kept.append(text[place : start.start()])
        place = end.end()
    return "\n".join([*kept, text[place:]])
