from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pytest

from dlops.data import tables, vacuum
from dlops.errors import DataError

ROWS = {"id": ["1", "2"], "text": ["a", "b"], "split": ["train", "test"]}
DAY = 86400


@pytest.fixture
def uri(tmp_path):
    """A table of five versions."""
    place = str(tmp_path / "table")
    for number in range(5):
        tables.write(place, {**ROWS, "label": [str(number)] * 2}, {})
    return place


def labels(uri, number=None):
    return set(tables.read(uri, number)[0].to_pyarrow_table()["label"].to_pylist())


def aged(file, days):
    then = time.time() - days * DAY
    os.utime(file, (then, then))


def test_versions_beyond_the_last_ones_go(uri):
    planned = vacuum.plan(uri, keep_versions=2)
    assert (planned.kept, planned.removed, planned.leftovers) == ((4, 3), (2, 1, 0), 0)
    assert len(planned.files) == 3
    assert planned.size == sum((Path(uri) / name).stat().st_size for name in planned.files) > 0
    assert labels(uri, 0) == {"0"}

    vacuum.carry_out(planned)
    assert labels(uri) == {"4"}
    assert labels(uri, 3) == {"3"}
    for number in (0, 1, 2):
        with pytest.raises(DataError, match=rf"The rows of version {number} .* were removed") as caught:
            tables.read(uri, number)
        assert "4, 3" in caught.value.hint
    assert tables.read(uri)[0].version() == 4
    again = vacuum.plan(uri, keep_versions=2)
    assert (again.kept, again.removed, again.files) == ((4, 3), (), {})


def test_a_version_that_is_needed_stays(uri):
    planned = vacuum.plan(uri, keep_versions=1, needed={1: ["run one", "run two"], 4: ["run three"], 77: ["nobody"]})
    assert (planned.kept, planned.removed) == ((4, 1), (3, 2, 0))
    assert planned.needed == {1: ["run one", "run two"]}
    vacuum.carry_out(planned)
    assert (labels(uri, 1), labels(uri)) == ({"1"}, {"4"})


def test_with_neither_limit_every_version_stays(uri):
    planned = vacuum.plan(uri)
    assert (planned.removed, planned.files) == ((), {})


def test_age_alone_and_age_with_number(uri, monkeypatch):
    assert vacuum.plan(uri, older_than=1).removed == ()
    assert vacuum.plan(uri, older_than=0).removed == (3, 2, 1, 0)
    now = time.time()
    monkeypatch.setattr(vacuum.time, "time", lambda: now + 2 * DAY)
    assert vacuum.plan(uri, older_than=1).removed == (3, 2, 1, 0)
    assert vacuum.plan(uri, older_than=1, keep_versions=3).removed == (1, 0)
    assert vacuum.plan(uri, older_than=3, keep_versions=1).removed == ()


def test_leftovers_go_when_they_are_old_and_other_files_never(uri):
    old, young = Path(uri, "part-00000-old.snappy.parquet"), Path(uri, "part-00000-young.snappy.parquet")
    half = Path(uri, "part-00000-half.snappy.parquet#1")
    notes = Path(uri, "notes.txt")
    for file in (old, young, half, notes):
        file.write_text("four")
    for file in (old, half, notes):
        aged(file, 2)
    planned = vacuum.plan(uri)
    assert (planned.files, planned.leftovers) == ({old.name: 4, half.name: 4}, 2)
    vacuum.carry_out(planned)
    assert [file.exists() for file in (old, half, young, notes)] == [False, False, True, True]
    assert [labels(uri, number) for number in range(5)] == [{str(number)} for number in range(5)]


def test_a_version_written_after_the_plan_is_untouched(uri):
    planned = vacuum.plan(uri, keep_versions=1)
    tables.write(uri, {**ROWS, "label": ["5", "5"]}, {})
    vacuum.carry_out(planned)
    assert (labels(uri, 4), labels(uri)) == ({"4"}, {"5"})


def test_a_version_that_was_restored_after_the_plan_is_untouched(uri):
    planned = vacuum.plan(uri, keep_versions=1)
    deltalake.DeltaTable(uri).restore(2)
    vacuum.carry_out(planned)
    assert labels(uri) == {"2"}


def test_it_waits_for_a_writer(uri):
    planned = vacuum.plan(uri, keep_versions=1)
    program = "import sys; from dlops.data import tables\nwith tables.alone(sys.argv[1]): print('held'); input()"
    holder = subprocess.Popen(
        [sys.executable, "-u", "-c", program, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    remover = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys; from dlops.data import vacuum; vacuum.carry_out(vacuum.plan(sys.argv[1], keep_versions=1))",
            uri,
        ]
    )
    with pytest.raises(subprocess.TimeoutExpired):
        remover.wait(4)
    assert all((Path(uri) / name).exists() for name in planned.files)
    holder.communicate("\n")
    assert remover.wait(30) == 0
    assert not any((Path(uri) / name).exists() for name in planned.files)


def test_versions_are_named_by_number_or_time(uri):
    assert vacuum.resolved(uri, 3) == 3
    assert vacuum.resolved(uri, datetime.now(UTC).isoformat()) == 4
    assert vacuum.resolved(uri, "2001-01-01T00:00:00Z") is None


@pytest.mark.slow
def test_a_checkpoint_and_a_hundred_versions(tmp_path):
    """After a hundred commits deltalake sums the log up; what older versions are made of is still known."""
    uri = str(tmp_path / "table")
    for number in range(105):
        tables.write(uri, {**ROWS, "label": [str(number)] * 2}, {})
    assert list(Path(uri, "_delta_log").glob("*checkpoint*"))
    vacuum.carry_out(vacuum.plan(uri, keep_versions=3, needed={7: ["run"]}))
    assert len(list(Path(uri).glob("*.parquet"))) == 4
    assert [labels(uri, number) for number in (7, 102, 104)] == [{"7"}, {"102"}, {"104"}]


def test_what_is_no_table_is_told(tmp_path):
    with pytest.raises(DataError, match="There is no dataset"):
        vacuum.plan(str(tmp_path / "none"))
