"""Texts of others, fit to be printed."""

from __future__ import annotations

_WRITTEN = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}
_BUT_LINES = {number: text for number, text in _WRITTEN.items() if number != ord("\n")}


def visible(text: str, *, lines: bool = False) -> str:
    """Write control characters out, so that what data holds commands no terminal; line ends may stay."""
    return text.translate(_BUT_LINES if lines else _WRITTEN)
