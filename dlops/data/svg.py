"""Pictures of counts as inline SVG, as wide as the page: each tells in words what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlops.data.page import COLOURS, named, safe

_PLOT, _TOP, _AXIS = 190, 10, 24
_NAMES, _BAR, _GAP = 18, 20, 12
_ROOM_FOR_A_FIGURE = 0.15
"""Share of a bar that a piece must take so that a figure fits into it on a narrow page."""
_LONGEST_NAME = 40
_TICKS = 6


def histogram(bins: Sequence[tuple[int, int, int]], told: str, caption: str) -> str:
    """Draw texts by number of words; bins are of equal ratios and drawn equally wide, so the axis is logarithmic."""
    most = max(texts for _, _, texts in bins)
    wide, tick = 100 / len(bins), -(-len(bins) // _TICKS)
    marks = []
    for share in (0.0, 0.5, 1.0):
        y = _TOP + (1 - share) * _PLOT
        marks.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}" />')
        marks.append(f'<text class="muted" x="-8" y="{y + 4:.1f}" text-anchor="end">{round(share * most):,}</text>')
    for place, (first, last, texts) in enumerate(bins):
        tall = texts / most * _PLOT
        words = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        box = _Box(place * wide + 0.05 * wide, _TOP + _PLOT - tall, 0.9 * wide, tall)
        marks.append(box.drawn("bar", f"{words} words: {texts:,} texts"))
        if place % tick == 0:
            marks.append(f'<text class="muted" x="{box.x:.2f}%" y="{_TOP + _PLOT + 17}">{first:,}</text>')
    return _figure(_TOP + _PLOT + _AXIS, told, marks, caption, kind="axis")


def shares(bars: Mapping[str, tuple[int, Mapping[str, int]]], classes: Sequence[str], told: str) -> str:
    """Draw a bar for each part of the rows, its pieces as long as the classes' shares of the part.

    `bars` are rows and labels by the name of the part; classes beyond `classes` are one piece.
    """
    marks: list[str] = []
    spoken = []
    for row, (name, (rows, labels)) in enumerate(bars.items()):
        pieces = [(f"c{place}", label, labels.get(label, 0)) for place, label in enumerate(classes)]
        pieces.append(("cx", "others", sum(labels.values()) - sum(count for _, _, count in pieces)))
        pieces = [piece for piece in pieces if piece[2]]
        marks += _bar(row * (_NAMES + _BAR + _GAP), name, rows, pieces)
        total = sum(count for _, _, count in pieces)
        spoken.append(f"{name}: " + ", ".join(f"{label} {count / total:.1%}" for _, label, count in pieces))
    return _figure(len(bars) * (_NAMES + _BAR + _GAP), f"{told}. {'; '.join(spoken)}.", marks, told)


def legend(classes: Sequence[str], others: int) -> str:
    """Name the colours of the classes, and how many share the last one."""
    items = [f"<li><span class='key c{place}'></span>{named(label)}</li>" for place, label in enumerate(classes)]
    if others:
        items.append(f"<li><span class='key cx'></span>{others:,} others</li>")
    return f"<ul class=legend aria-label='Colours of the classes'>{''.join(items)}</ul>"


def coloured(classes: Sequence[str]) -> Sequence[str]:
    """Give those of the classes that have a colour of their own."""
    return classes[:COLOURS]


def _bar(y: float, name: str, rows: int, pieces: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    base, middle = y + _NAMES - 5, y + _NAMES + 14
    yield f'<text x="0" y="{base}">{_short(name)}<title>{safe(name)}</title></text>'
    yield f'<text class="muted" x="100%" y="{base}" text-anchor="end">{rows:,} rows</text>'
    total = sum(count for _, _, count in pieces)
    x = 0.0
    for kind, label, count in pieces:
        share = count / total
        box = _Box(x, y + _NAMES, 100 * share, _BAR)
        yield box.drawn(f"piece {kind}", f"{name}, {label}: {count:,} rows, {share:.1%}")
        if share >= _ROOM_FOR_A_FIGURE:
            centre = f'x="{x + 50 * share:.2f}%" y="{middle}" text-anchor="middle"'
            yield f'<text class="inside" {centre}>{share:.1%}</text>'
        x += 100 * share


@dataclass(frozen=True)
class _Box:
    """A rectangle: across in percent of the picture's width, up and down in pixels."""

    x: float
    y: float
    wide: float
    tall: float

    def drawn(self, kind: str, told: str) -> str:
        place = f'x="{self.x:.2f}%" y="{self.y:.1f}" width="{self.wide:.2f}%" height="{self.tall:.1f}"'
        return f'<rect class="{kind}" {place} rx="2"><title>{safe(told)}</title></rect>'


def _figure(height: float, told: str, marks: Sequence[str], caption: str, kind: str = "") -> str:
    drawn = f'<svg class="{kind}" role="img" aria-label="{safe(told)}" height="{height}">{"".join(marks)}</svg>'
    return f"<figure>{drawn}<figcaption>{safe(caption)}</figcaption></figure>"


def _short(name: str) -> str:
    return safe(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…") or "(empty)"
