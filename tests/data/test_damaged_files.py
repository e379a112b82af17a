"""Five hundred damaged files: rows, rejects or a `DataError`, never another error, never a hang."""

from __future__ import annotations

import resource
import time

import pytest

from dlops.data import sources
from dlops.errors import DataError
from tests.data import ugly

EACH = 36
"""Damaged files of each of the fourteen kinds."""


@pytest.mark.parametrize("name", ugly.VALID)
def test_valid_files_are_read_whole(tmp_path, name):
    rejects = []
    source = sources.open(str(ugly.written(tmp_path, name, ugly.VALID[name])), seed=0)
    found = [
        pair
        for chunk in source.chunks(rejects.append)
        for pair in zip(*ugly.plain(chunk.columns).values(), strict=True)
    ]
    members = {"a.zip": 3, "a.tar": 2, "a.tar.gz": 2, "a.tar.zst": 2}.get(name, 1)
    assert rejects == []
    assert found == ugly.ROWS * members


@pytest.mark.parametrize("name", ugly.VALID)
def test_damaged_files_give_rows_rejects_or_a_data_error(tmp_path, name):
    assert EACH * len(ugly.VALID) >= 500
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    noticed = 0
    for seed in range(EACH):
        file = ugly.written(tmp_path, name, ugly.damaged(ugly.VALID[name], seed))
        rejects, rows, error, began = [], 0, None, time.monotonic()
        try:
            for chunk in sources.open(str(file), seed=0).chunks(rejects.append):
                assert {len(values) for values in chunk.columns.values()} == {len(chunk.lines)}
                rows += len(chunk.lines)
        except DataError as raised:
            error = raised
            assert file.name in error.message
        assert time.monotonic() - began < 10
        assert rows or rejects or error, f"seed {seed}: nothing was said"
        assert all(reject.file.startswith(str(file)) and reject.reason for reject in rejects)
        noticed += bool(rejects or error)
    assert noticed > EACH / 2
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 500_000, "kilobytes"
