"""Records of CSV and TSV files: strict about quotes, clear about rows that are ragged or damaged."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

from dlops.data.damage import DAMAGE, told
from dlops.data.text_lines import LIMIT, Lines, TooLongError, misread

FIELD_LIMIT = 10_000_000
"""Characters of one field; Python's own limit of 131,072 refuses long documents."""

CHUNK = 1_000_000
"""Characters that are read before their rows are handed on; more would not stay in a processor's cache."""

_ROWS = 20_000
_DELIMITERS = (",", ";", "\t", "|")
_REASONS = {
    "unexpected end of data": "a quote is opened and never closed",
    "expected after": "a quote inside a quoted field must be written twice",
    "field limit": f"a field is longer than {FIELD_LIMIT:,} characters",
}

OnProblem: TypeAlias = Callable[[int, str, str], None]
"""Takes the line, the reason and the beginning of a row that cannot be used."""

Columns: TypeAlias = tuple[list[int], dict[str, list[Any]]]
"""The line of each row, and the rows' values by column."""


def chunks(lines: Lines, problem: OnProblem, *, delimiter: str = "") -> Iterator[Columns]:
    """Read the rows below the header; the delimiter is recognised where none is given."""
    names, delimiter = header(lines, problem, delimiter)
    if names:
        yield from rows(lines, names, problem, delimiter=delimiter)


def header(lines: Lines, problem: OnProblem, delimiter: str = "") -> tuple[list[str], str]:
    """Read the columns' names, none where something is wrong with them; give the delimiter with them."""
    try:
        delimiter = delimiter or _recognised(lines)
    except DAMAGE as error:
        problem(lines.number, told(error), "")
        return [], ""
    line, fields = next(_records(lines, delimiter, problem), (0, []))
    return _names(line, fields, lines, problem), delimiter


def rows(lines: Lines, names: list[str], problem: OnProblem, *, delimiter: str) -> Iterator[Columns]:
    """Read the rows below the header that has these names."""
    numbers: list[int] = []
    found: list[list[str]] = []
    bound = lines.characters + CHUNK
    for line, fields in _records(lines, delimiter, problem, len(names)):
        numbers.append(line)
        found.append(fields)
        if lines.characters > bound or len(found) >= _ROWS:
            yield from _columns(names, numbers, found, lines.encoding, problem)
            numbers, found, bound = [], [], lines.characters + CHUNK
    yield from _columns(names, numbers, found, lines.encoding, problem)


def _records(lines: Lines, delimiter: str, problem: OnProblem, width: int = -1) -> Iterator[tuple[int, list[str]]]:
    """Read records of so many fields, or as many as the first has, each with the line it begins on."""
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except (csv.Error, TooLongError) as error:
            _go_on(lines, line, _reason(error), delimiter, width, problem)
            continue
        except DAMAGE as error:
            problem(lines.number + 1, told(error), "")
            return
        if len(fields) == width:
            yield line, fields
        elif width > 0 and fields:
            reason = f"{len(fields)} field{'s'[: len(fields) != 1]}, where the header names {width} columns"
            _go_on(lines, line, reason, delimiter, width, problem)
        elif fields:
            width = len(fields)
            yield line, fields


def _go_on(lines: Lines, line: int, reason: str, delimiter: str, width: int, problem: OnProblem) -> None:
    """Reject a record, but not the rows that a quote which was never closed has taken in."""
    raw = "".join(lines.held[:3])[:200]
    keep = len(lines.held)
    while keep > 1 and _may_begin_a_row(lines.held[keep - 1], delimiter, width):
        keep -= 1
    lines.rewind(keep)
    problem(line, reason if keep < 2 else f"{reason} (lines {line} to {lines.number})", raw)


def _may_begin_a_row(line: str, delimiter: str, width: int) -> bool:
    """Tell a row from a further line of a text: it has as many fields, or a quote where a field begins."""
    before, quote, _ = line.partition('"')
    found = before.count(delimiter)
    return (not before or before.endswith(delimiter)) and found < width if quote else found == width - 1


def _reason(error: Exception) -> str:
    if isinstance(error, TooLongError):
        return f"a row is longer than {LIMIT:,} characters"
    return next((reason for said, reason in _REASONS.items() if said in str(error)), told(error))


def _recognised(lines: Lines) -> str:
    """Find the delimiter that most of the first rows agree on with the header, and that splits it into most fields."""
    try:
        sample = list(islice(lines, 50))
    except TooLongError:  # it will be met again, by whoever tells of it
        sample = []
    lines.rewind(0)
    scores = {}
    for delimiter in _DELIMITERS:
        with_fields = [len(fields) for fields in _sampled(sample, delimiter) if fields]
        if with_fields and with_fields[0] > 1:
            scores[delimiter] = (Counter(with_fields)[with_fields[0]] / len(with_fields), with_fields[0])
    return max(scores, key=lambda delimiter: scores[delimiter], default=",")


def _sampled(sample: list[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(sample, delimiter=delimiter)
    except csv.Error:
        return


def _names(line: int, fields: list[str], lines: Lines, problem: OnProblem) -> list[str]:
    """Give the columns' names; one without a name is called by its place, as an index often has none."""
    if not fields:
        problem(lines.number, "the file is empty: its first line should name the columns", "")
        return []
    found = "".join(fields)
    names = [name.strip() or f"column {place}" for place, name in enumerate(fields, start=1)]
    double = [name for name, count in Counter(names).items() if count > 1]
    reason = misread(found, lines.encoding)
    if "\0" in found:
        reason = "the header has NUL bytes, so this is no text, or one in another encoding (encoding=utf-16-le)"
    elif not found.strip():
        reason = "the header names no column"
    elif double:
        reason = f"the header names the column {double[0][:100]!r} twice"
    if reason:
        problem(line, reason, ",".join(fields)[:200])
    return [] if reason else names


def _columns(
    names: list[str], numbers: list[int], rows: list[list[str]], encoding: str, problem: OnProblem
) -> Iterator[Columns]:
    if not all(_sound("".join(values)) for values in zip(*rows, strict=True)):
        sound = []
        for place, fields in enumerate(rows):
            reason = _unsound("\n".join(fields), encoding)
            if reason:
                problem(numbers[place] + reason[0], reason[1], ",".join(fields)[:200])
            else:
                sound.append(place)
        numbers, rows = [numbers[place] for place in sound], [rows[place] for place in sound]
    if rows:
        yield numbers, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _sound(text: str) -> bool:
    return "\0" not in text and not misread(text, "")


def _unsound(text: str, encoding: str) -> tuple[int, str] | None:
    """Say what is wrong with a row, and how many lines below its beginning."""
    if (place := text.find("\0")) >= 0:
        return text.count("\n", 0, place), "a NUL byte"
    if reason := misread(text, encoding):
        place = next(place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff")
        return text.count("\n", 0, place), reason
    return None
