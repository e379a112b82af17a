"""Rows on their way know where they stood."""

from __future__ import annotations

import dataclasses

import pytest

from dlops.data.rows import Chunk, Reject


def test_what_was_read_does_not_change_on_its_way():
    chunk, reject = Chunk("a.csv", [2], {"text": ["a"]}), Reject("a.csv", 3, "ragged")
    assert (chunk.position, reject.raw) == (0, "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        chunk.file = "b.csv"
    with pytest.raises(dataclasses.FrozenInstanceError):
        reject.line = 4
