"""A reject ends the work, or is kept with its reason."""

from __future__ import annotations

import json

import pytest

from dlops.data.rejects import Rejects
from dlops.data.rows import Reject
from dlops.errors import DataError


def test_the_first_ends_the_work_and_names_its_place():
    with Rejects(stop=True) as rejects, pytest.raises(DataError, match=r"^a\.csv:7: 3 fields") as caught:
        rejects(Reject("a.csv", 7, "3 fields, where the header names 2 columns"))
    assert "on_error=reject" in caught.value.hint


def test_a_file_as_a_whole_has_no_line():
    with Rejects(stop=True) as rejects, pytest.raises(DataError, match=r"^a\.gz: damaged"):
        rejects(Reject("a.gz", 0, "damaged"))


@pytest.mark.parametrize("raw", [False, True])
def test_they_are_kept_with_their_reasons_and_rows_only_when_asked(raw):
    with Rejects(stop=False, raw=raw) as rejects:
        for line in (3, 14):
            rejects(Reject("a.csv", line, f"{line} fields", "secret,text"))
        kept = [json.loads(entry) for entry in rejects.file.read_text().splitlines()]
        assert rejects.reasons == {"# fields": 2}
        file = rejects.file
    assert [entry["line"] for entry in kept] == [3, 14]
    assert all(("row" in entry) is raw for entry in kept)
    assert not file.exists()


def test_files_that_were_lost_are_counted_apart_from_rows():
    with Rejects(stop=False) as rejects:
        for line in (0, 5, 7):
            rejects(Reject("a.csv", line, f"reason {line}"))
        assert (rejects.count, rejects.files) == (3, {"a.csv"})
