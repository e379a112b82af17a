"""Texts of plain files: one on each line, and no labels."""

from __future__ import annotations

from collections.abc import Iterator

from dlops.data.csv_records import CHUNK, Columns, OnProblem
from dlops.data.damage import DAMAGE, told
from dlops.data.text_lines import LIMIT, Lines, TooLongError, misread

_ROWS = 20_000


def chunks(lines: Lines, problem: OnProblem) -> Iterator[Columns]:
    """Read lines as rows of one column, `text`; lines that are blank are none."""
    numbers: list[int] = []
    texts: list[str] = []
    bound = lines.characters + CHUNK
    for number, line in _sound(lines, problem):
        numbers.append(number)
        texts.append(line)
        if lines.characters > bound or len(texts) >= _ROWS:
            yield numbers, {"text": texts}
            numbers, texts, bound = [], [], lines.characters + CHUNK
    if texts:
        yield numbers, {"text": texts}


def _sound(lines: Lines, problem: OnProblem) -> Iterator[tuple[int, str]]:
    """Give each line that is a text, without its end, and its number, counted from 1."""
    while True:
        number = lines.begin()
        try:
            line = next(lines).rstrip("\r\n")
        except StopIteration:
            return
        except TooLongError:
            problem(number, f"a line is longer than {LIMIT:,} characters", lines.held[0][:200])
            continue
        except DAMAGE as error:
            problem(number, told(error), "")
            return
        if reason := "a NUL byte" if "\0" in line else misread(line, lines.encoding):
            problem(number, reason, line[:200])
        elif line.strip():
            yield number, line
