from __future__ import annotations

import csv
import zlib

import pyarrow as pa
import pytest

from dlops.data.damage import DAMAGE, told
from dlops.errors import DataError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file", "/a"), "No such file"),
        (OSError("Truncated compressed stream"), "Truncated compressed stream"),
        (pa.ArrowInvalid("Not a file.\nDetails: many"), "Not a file"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (KeyError("x"), "its structure is broken"),
        (EOFError(), "its structure is broken"),
        (csv.Error("bad."), "bad"),
        (zlib.error("Error -3"), "Error -3"),
    ],
)
def test_damage_is_told_in_a_line(error, text):
    assert isinstance(error, DAMAGE)
    assert told(error) == text


def test_our_own_errors_are_no_damage():
    assert not isinstance(DataError("a bomb"), DAMAGE)
