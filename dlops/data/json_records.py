"""Records of JSON files: one object on each line, or an array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dlops.data.csv_records import CHUNK, Columns, OnProblem
from dlops.data.damage import DAMAGE, told
from dlops.data.text_lines import LIMIT, Lines, TooLongError, misread

_ROWS = 20_000
_COLUMNS = 1_000
"""Different keys in one file; values by column would fill the memory where each object has its own."""

_BLANK = " \t\r\n"
_Record = tuple[int, dict[str, Any]]


def chunks(lines: Lines, problem: OnProblem, *, array: bool = False) -> Iterator[Columns]:
    """Read objects as rows: a key that an object lacks is `None`; `array` allows the file to be one."""
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    bound = lines.characters + CHUNK
    for line, row in _array(lines, problem) if array and _begins_array(lines) else _lines(lines, problem):
        if not row.keys() <= names.keys():
            names |= dict.fromkeys(row)
            if len(names) > _COLUMNS:
                problem(line, f"the objects have more than {_COLUMNS:,} different keys in all", "")
                return
        numbers.append(line)
        rows.append(row)
        if lines.characters > bound or len(rows) >= _ROWS:
            yield numbers, _columns(names, rows)
            numbers, rows, bound = [], [], lines.characters + CHUNK
    if rows:
        yield numbers, _columns(names, rows)


def _columns(names: dict[str, None], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in names}


def _begins_array(lines: Lines) -> bool:
    lines.begin()
    try:
        first = next((line.lstrip(_BLANK) for line in lines if line.strip(_BLANK)), "")
    except TooLongError:  # an array may stand on one line of any length
        first = "".join(lines.held).lstrip(_BLANK)
        lines.rewind(0)
        return first.startswith("[")
    except DAMAGE:  # met again, and told, by whoever reads on
        first = ""
    lines.rewind(0)
    return first.startswith("[")


def _lines(lines: Lines, problem: OnProblem) -> Iterator[_Record]:
    empty = True
    while True:
        number = lines.begin()
        try:
            line = next(lines)
        except StopIteration:
            if empty:
                problem(0, 'the file is empty: each line should hold an object, {"text": "…", "label": "…"}', "")
            return
        except TooLongError:
            empty = False
            problem(number, f"a line is longer than {LIMIT:,} characters", lines.held[0][:200])
            continue
        except DAMAGE as error:
            problem(number, told(error), "")
            return
        if not line.strip(_BLANK):
            continue
        empty = False
        value, reason = _parsed(line, lines.encoding)
        if reason:
            problem(number, reason, line[:200])
        else:
            yield number, value


def _parsed(line: str, encoding: str) -> tuple[Any, str]:
    if reason := misread(line, encoding):
        return None, reason
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return None, f"no valid JSON: {error.msg}"
    except (ValueError, RecursionError) as error:
        return None, f"no valid JSON: {told(error)}"
    return value, _no_object(value)


def _no_object(value: Any) -> str:
    kind = type(value).__name__
    return "" if isinstance(value, dict) else f"an object such as {{…}} should stand here, not a {kind}"


class _Buffer:
    """The part of an array that is being looked at; grows to an element's size, within the limit."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.text, self.place, self.line = "", 0, 1

    def more(self) -> bool:
        """Read on; False at the end of the file, or at the limit."""
        if len(self.text) - self.place > LIMIT:
            raise ValueError(f"an object is longer than {LIMIT:,} characters, or is not closed")
        # twice as much each time: an element that is tried again after each block would take quadratic time
        wanted, blocks = max(1, len(self.text) - self.place), []
        while wanted > 0 and (block := self._lines.block()):
            blocks.append(block)
            wanted -= len(block)
            self._lines.characters += len(block)
        self.text = "".join([self.text[self.place :], *blocks])
        self.place = 0
        return bool(blocks)

    def advance(self, place: int) -> None:
        self.line += self.text.count("\n", self.place, place)
        self.place = place

    def next_sign(self) -> str:
        """Go to the next character that is not blank; give it, or nothing at the end."""
        while True:
            rest = self.text[self.place : self.place + 1000]
            blank = len(rest) - len(rest.lstrip(_BLANK))
            self.advance(self.place + blank)
            if blank < len(rest):
                return rest[blank]
            if self.place >= len(self.text) and not self.more():
                return ""


def _array(lines: Lines, problem: OnProblem) -> Iterator[_Record]:
    """Read an array element by element; where one is no valid JSON, nobody can tell where the next begins."""
    buffer = _Buffer(lines)
    try:
        buffer.next_sign()
        buffer.advance(buffer.place + 1)
        sign = buffer.next_sign()
        while sign != "]":
            line = buffer.line
            value, raw = _element(buffer)
            reason = misread(raw, lines.encoding) or _no_object(value)
            if reason:
                problem(line, reason, raw[:200])
            else:
                yield line, value
            sign = buffer.next_sign()
            if sign == ",":
                buffer.advance(buffer.place + 1)
                sign = buffer.next_sign()
            elif sign != "]":
                raise ValueError("the array is not closed" if not sign else "a comma is missing between two objects")
        buffer.advance(buffer.place + 1)
        if buffer.next_sign():
            raise ValueError("there is more after the end of the array")
    except json.JSONDecodeError as error:
        problem(buffer.line, f"no valid JSON: {error.msg}", buffer.text[buffer.place :][:200])
    except DAMAGE as error:
        problem(buffer.line, told(error), "")


def _element(buffer: _Buffer) -> tuple[Any, str]:
    decoder = json.JSONDecoder()
    while True:
        try:
            value, end = decoder.raw_decode(buffer.text, buffer.place)
        except json.JSONDecodeError as error:
            # what is only cut off goes wrong where the text ends, or in a string that does not
            cut = error.pos > len(buffer.text) - 100 or error.msg.startswith("Unterminated")
            if not cut or not buffer.more():
                raise
            continue
        if end < len(buffer.text) or not buffer.more():  # at the very end a number may go on
            raw = buffer.text[buffer.place : end]
            buffer.advance(end)
            return value, raw
