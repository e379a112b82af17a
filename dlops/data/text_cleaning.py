"""How one text is cleaned, in words that serving can repeat.

This file travels inside models that clean what they are given: it needs Python alone.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from html import unescape
from typing import Literal, TypeAlias

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
_UNSEEN = tuple(
    tuple(re.compile(mark, re.IGNORECASE) for mark in (rf"<{name}(?:\s[^<>]*+)?>", rf"</{name}\s*+>"))
    for name in ("script", "style")
)
"""Beginning and end of elements whose content no reader sees."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")
_PASSES = 8
"""Times that one text is cleaned at most, where cleaning uncovers more to clean."""


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What is done; whoever has the same switches gives the same text, and cleaning twice is cleaning once."""

    html: bool = True
    """Whether tags, comments, scripts and styles go and entities are unescaped; a tag that breaks a line becomes a line
    end (with `whitespace` a blank), one within a line nothing."""
    unicode: Form = "NFC"
    """Normal form: NFC only settles how a character is composed, NFKC also makes ﬁ and ① fi and 1."""
    whitespace: bool = True
    """Whether a run of blanks of any kind, line ends among them, becomes one space, those at the ends go, and control
    characters and byte order marks go."""

    def clean(self, text: str, changed: set[str] | None = None) -> str:
        """Clean a text; names of the switches that changed it join `changed`."""
        changed = set() if changed is None else changed
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
            text = _noted("html", text, _without_html(text, " " if self.whitespace else "\n"), changed)
        # So is every blank but the space, and a mark that is unseen.
        tidied = self.whitespace and not text.isprintable()
        if tidied:
            # Before the normal form: what stood on both sides may now be composed.
            text = _noted("whitespace", text, _CONTROL.sub("", text), changed)
        if self.unicode != "none" and not text.isascii():
            text = _noted("unicode", text, unicodedata.normalize(self.unicode, text), changed)
        if self.whitespace and (tidied or "  " in text or text[:1] == " " or text[-1:] == " "):
            text = _noted("whitespace", text, " ".join(text.split()), changed)
        return text


def _noted(name: str, before: str, after: str, changed: set[str]) -> str:
    if after != before:
        changed.add(name)
    return after


def _without_html(text: str, line: str) -> str:
    """Leave out tags, and unescape entities; one that breaks a line becomes `line`."""
    if "<" in text:
        text = _BREAK.sub(line, text)  # most texts have no other tag, and this one is found fast
    if "<" in text:
        text = _cut(text, "<!--", "-->") if "<!--" in text else text
        for opening, closing in _UNSEEN:
            text = _without_element(text, opening, closing)
        text = _TAG.sub(lambda tag: "" if tag[1].lower() in _INLINE else line, text)
        text = _DECLARATION.sub("", text) if "<!" in text or "<?" in text else text
    return unescape(_ESCAPED_AGAIN.sub("&", text)) if "&" in text else text


def _cut(text: str, opening: str, closing: str) -> str:
    """Leave out all that stands between two marks; one that is never closed is left as it is."""
    kept, place = [], 0
    while (start := text.find(opening, place)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        kept.append(text[place:start])
        place = end + len(closing)
    return "".join([*kept, text[place:]])


def _without_element(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """Leave out an element with all it holds."""
    kept, place = [], 0
    while (start := opening.search(text, place)) and (end := closing.search(text, start.end())):
        kept.append(text[place : start.start()])
        place = end.end()
    return "\n".join([*kept, text[place:]])
