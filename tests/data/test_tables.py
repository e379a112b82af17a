from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from dlops.data import splits, tables
from dlops.errors import DataError

ROWS = {"id": ["1", "2"], "text": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]}


def test_a_stock_client_reads_every_version(tmp_path):
    uri = str(tmp_path / "table")
    first = tables.write(uri, ROWS, {"source": "first"})
    second = tables.write(uri, {**ROWS, "label": ["x", "x"]}, {"source": "second"})
    assert (first.number, second.number, second.reference) == (0, 1, f"{uri}@1")
    assert first.digest != second.digest
    assert deltalake.DeltaTable(uri, version=0).to_pyarrow_table().to_pydict() == ROWS
    assert deltalake.DeltaTable(uri).to_pyarrow_table()["label"].to_pylist() == ["x", "x"]


def test_the_same_rows_make_no_new_version_in_whatever_order(tmp_path):
    uri = str(tmp_path / "table")
    first = tables.write(uri, ROWS, {})
    again = tables.write(uri, {name: column[::-1] for name, column in ROWS.items()}, {})
    assert (first.new, again.new, again.number, again.digest) == (True, False, 0, first.digest)
    assert len(deltalake.DeltaTable(uri).history()) == 1


def test_a_description_stays_with_its_version(tmp_path):
    uri = str(tmp_path / "table")
    first = tables.write(uri, ROWS, {"source": "first"})
    tables.write(uri, {**ROWS, "label": ["x", "x"]}, {"source": "second"})
    assert tables.read(uri, 0)[1] == {"source": "first", "digest": first.digest}
    assert tables.read(uri)[1]["source"] == "second"


def test_a_table_of_another_making_has_no_description(tmp_path):
    uri = str(tmp_path / "table")
    deltalake.write_deltalake(uri, pa.table({"text": ["a"]}))
    assert tables.read(uri)[1] == {}
    assert tables.write(uri, ROWS, {}).number == 1


def test_other_files_are_never_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="no Delta table"):
            tables.write(str(place), ROWS, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(DataError, match="There is no dataset") as caught:
        tables.read(str(tmp_path / "none"))
    assert "dlops ingest" in caught.value.hint
    uri = str(tmp_path / "table")
    tables.write(uri, ROWS, {})
    with pytest.raises(DataError, match="has no version 9") as caught:
        tables.read(uri, 9)
    assert "up to 0" in caught.value.hint


def batch(start, count=1000, label="x"):
    texts = [f"{n} " + "word " * 50 for n in range(start, start + count)]
    ids = [splits.identity(text) for text in texts]
    return pa.table({"id": ids, "text": texts, "label": [label] * count, "split": ["train"] * count})


def test_batches_become_one_version(tmp_path):
    uri = str(tmp_path / "table")
    written = tables.write(uri, (batch(start) for start in range(0, 5000, 1000)), {"source": "s"}, digest="d1")
    assert (written.number, written.digest, written.new) == (0, "d1", True)
    texts = deltalake.DeltaTable(uri).to_pyarrow_table()["text"].to_pylist()
    assert sorted(texts) == sorted(text for start in range(0, 5000, 1000) for text in batch(start)["text"].to_pylist())
    assert tables.read(uri)[1] == {"source": "s", "digest": "d1"}
    assert [(commit.number, commit.rows, commit.digest) for commit in tables.history(uri)] == [(0, 5000, "d1")]


def test_batches_of_a_known_digest_are_not_even_read(tmp_path):
    uri = str(tmp_path / "table")
    tables.write(uri, [batch(0)], {}, digest="d1")
    assert not tables.write(uri, iter([batch(0)]), {}, digest="d1").new
    never = (pytest.fail("was read") for _ in [0])
    assert tables.write(uri, never, {}, digest="d1").number == 0


def test_an_error_among_the_batches_is_told_as_it_is_and_nothing_is_written(tmp_path):
    uri = str(tmp_path / "table")
    tables.write(uri, [batch(0)], {}, digest="d1")

    def failing():
        yield batch(0)
        raise DataError("line 7 is wrong")

    with pytest.raises(DataError, match=r"^line 7 is wrong$"):
        tables.write(uri, failing(), {}, digest="d2")
    other = pa.table({"text": [1]})
    with pytest.raises(ValueError, match="came after rows of"):
        tables.write(uri, [batch(0), other], {}, digest="d2")
    assert tables.read(uri)[1]["digest"] == "d1"
    assert len(tables.history(uri)) == 1


def test_columns_may_be_others_in_the_next_version(tmp_path):
    uri = str(tmp_path / "table")
    tables.write(uri, [pa.table({"text": ["a"], "label": ["x"]})], {}, digest="d1")
    tables.write(uri, [pa.table({"text": ["a"], "label": [["x", "y"]], "group": ["g"]})], {}, digest="d2")
    assert tables.read(uri, 0)[0].to_pyarrow_table().to_pydict() == {"text": ["a"], "label": ["x"]}
    assert tables.read(uri, 1)[0].to_pyarrow_table()["label"].to_pylist() == [["x", "y"]]


@pytest.mark.parametrize("mode", ["overwrite", "append"])
@pytest.mark.parametrize("made", [False, True])
def test_a_commit_of_another_program_in_between_ends_ours_and_stays(made, mode, tmp_path):
    uri = str(tmp_path / "table")
    if made:
        tables.write(uri, [pa.table({"text": ["first"]})], {}, digest="d0")
    program = """
import sys, deltalake, pyarrow
deltalake.write_deltalake(sys.argv[1], pyarrow.table({"text": ["theirs"]}), mode=sys.argv[2])
"""

    def disturbed():
        yield pa.table({"text": ["ours"]})
        subprocess.run([sys.executable, "-c", program, uri, mode], check=True)
        yield pa.table({"text": ["ours"]})

    with pytest.raises(DataError, match="at the same time") as caught:
        tables.write(uri, disturbed(), {}, digest="d1")
    assert "run it again" in caught.value.hint
    expected = {"theirs", "first"} if made and mode == "append" else {"theirs"}
    assert set(deltalake.DeltaTable(uri).to_pyarrow_table()["text"].to_pylist()) == expected
    assert tables.write(uri, [pa.table({"text": ["ours"]})], {}, digest="d1").new
    assert deltalake.DeltaTable(uri).to_pyarrow_table()["text"].to_pylist() == ["ours"]


def test_housekeeping_of_a_stock_client_changes_no_dataset(tmp_path):
    uri = str(tmp_path / "table")
    for name in ("d1", "d2"):
        tables.write(uri, [batch(0, label=name)], {"source": name}, digest=name)
    deltalake.DeltaTable(uri).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert deltalake.DeltaTable(uri).version() == 3
    table, about = tables.read(uri)
    assert (table.version(), about["source"]) == (1, "d2")
    assert tables.read(uri, 3)[1]["source"] == "d2"
    assert tables.write(uri, [batch(0)], {}, digest="d2").reference == f"{uri}@1"
    assert tables.write(uri, [batch(0)], {}, digest="d3").number == 4
    assert [commit.digest for commit in tables.history(uri)] == ["d3", "d2", "d1"]


def test_rows_that_another_program_packed_anew_keep_their_description(tmp_path):
    uri = str(tmp_path / "table")
    tables.write(uri, [batch(0)], {}, digest="d1")
    deltalake.write_deltalake(uri, batch(1000), mode="append")
    deltalake.DeltaTable(uri).optimize.compact()
    assert tables.read(uri)[0].version() == 2
    assert tables.read(uri)[1] == {}
    assert tables.read(uri, 0)[1] == {"digest": "d1"}


def test_a_year_later_a_stock_client_would_remove_nothing(tmp_path):
    uri = str(tmp_path / "table")
    for name in ("d1", "d2"):
        tables.write(uri, [batch(0, label=name)], {"source": name}, digest=name)
    assert deltalake.DeltaTable(uri).vacuum(retention_hours=0, enforce_retention_duration=False) != []
    settings = deltalake.DeltaTable(uri).metadata().configuration
    assert settings == dict.fromkeys(
        ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration"), "interval 36500 days"
    )
    with pytest.raises(deltalake.exceptions.DeltaError, match=r"minimum retention .* 876000 hours"):
        deltalake.DeltaTable(uri).vacuum(retention_hours=24 * 365)


def test_a_version_whose_files_are_gone_says_so_and_names_the_others(tmp_path):
    uri = str(tmp_path / "table")
    for name in ("d1", "d2"):
        tables.write(uri, [batch(0, label=name)], {}, digest=name)
    for file in deltalake.DeltaTable(uri, version=0).file_uris():
        Path(file).unlink()
    with pytest.raises(DataError, match=r"The rows of version 0 .* were removed") as caught:
        tables.read(uri, 0)
    assert caught.value.hint == "The versions whose rows are there: 1."
    assert tables.read(uri)[0].version() == 1


def test_a_moment_names_the_version_that_stood_then(tmp_path):
    uri = str(tmp_path / "table")
    tables.write(uri, [batch(0)], {"source": "first"}, digest="d1")
    time.sleep(0.01)
    between = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    tables.write(uri, [batch(0)], {"source": "second"}, digest="d2")
    assert tables.read(uri, between)[1]["source"] == "first"


WRITER = """
import sys
import pyarrow as pa
from dlops.data import splits, tables
from dlops.errors import DataError
uri, label, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def batches():
    for start in range(0, count, 1000):
        texts = [f"{n} " + "word " * 50 for n in range(start, start + 1000)]
        ids = [splits.identity(text) for text in texts]
        yield pa.table({"id": ids, "text": texts, "label": [label] * 1000, "split": ["train"] * 1000})
        print("batch", flush=True)
print("ready", flush=True)
sys.stdin.readline()
version = tables.write(uri, batches(), {"source": label}, digest=label)
print(version.number, version.new, flush=True)
"""


def writer(uri, label, count=20_000):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, uri, label, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def whole(uri, label, count=20_000):
    table, about = tables.read(uri)
    rows = table.to_pyarrow_table(columns=["id", "label"])
    assert about["digest"] == label
    assert (len(rows), len(set(rows["id"].to_pylist()))) == (count, count)
    assert set(rows["label"].to_pylist()) == {label}


def test_four_writers_at_once_make_four_versions(tmp_path):
    uri = str(tmp_path / "table")
    writers = [writer(uri, f"w{n}") for n in range(4)]
    for process in writers:
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120)[0].splitlines()[-1] for process in writers]
    assert sorted(ended) == [f"{n} True" for n in range(4)]
    whole(uri, tables.history(uri)[0].digest)
    for number in range(4):
        assert tables.read(uri, number)[0].count() == 20_000


def killed(uri, label, moment):
    """Start to write and be killed after so many batches, or (below 0) so many seconds after the last of them."""
    process = writer(uri, label)
    process.stdin.write("\n")
    process.stdin.flush()
    for _ in range(20 if moment < 0 else int(moment)):
        process.stdout.readline()
    time.sleep(-moment if moment < 0 else moment % 1 / 20)
    process.kill()
    process.communicate()


def survives(tmp_path, kills, seed):
    """Kill that many writers at random moments: the table always stands at its last version, and a repeat completes."""
    chance = random.Random(seed)
    for made in (False, True):
        uri, last = str(tmp_path / f"table {made}"), "v0"
        if made:
            tables.write(uri, [batch(start, label="v0") for start in range(0, 20_000, 1000)], {}, digest="v0")
        for number in range(1, kills // 2 + 1):
            killed(uri, f"v{number}", chance.choice([-0.3 * chance.random(), 20 * chance.random()]))
            if Path(uri).exists() and tables._last(uri) is not None:
                last = tables.history(uri)[0].digest
                assert last in {f"v{n}" for n in range(number + 1)}
                whole(uri, last)
        assert tables.write(uri, [batch(n, label="end") for n in range(0, 20_000, 1000)], {}, digest="end").new
        whole(uri, "end")


def test_kills_at_random_moments_leave_the_last_version(tmp_path):
    survives(tmp_path, 20, 1)


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments_leave_the_last_version(tmp_path):
    survives(tmp_path, 100, 2)


@pytest.mark.slow
def test_writing_takes_the_memory_of_a_few_batches(tmp_path):
    program = """
import os, resource, sys
import pyarrow as pa
from dlops.data import tables
def batches():
    for start in range(int(sys.argv[2])):
        texts = [os.urandom(650).hex() for _ in range(3000)]
        yield pa.table({"id": [text[:16] for text in texts], "text": texts, "label": ["x"] * 3000})
tables.write(sys.argv[1], batches(), {}, digest="d")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for count in (100, 500):
        command = [sys.executable, "-c", program, str(tmp_path / str(count)), str(count)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.3 * peaks[0], peaks
    assert peaks[1] < 900, peaks


STOCK = """
import importlib.abc, os, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("dlops", "pipelines", "mlflow"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import deltalake
for number in (0, 1):
    print(sorted(set(deltalake.DeltaTable(sys.argv[1], version=number).to_pyarrow_table()["label"].to_pylist())))
print(deltalake.DeltaTable(sys.argv[1]).history()[0]["dlops"], flush=True)
os._exit(0)  # deltalake's file system may abort a process that ends while Arrow's threads do
"""


def test_a_process_without_dlops_reads_versions(tmp_path):
    uri = str(tmp_path / "table")
    for name in ("d1", "d2"):
        tables.write(uri, [batch(0, label=name)], {}, digest=name)
    read = subprocess.run([sys.executable, "-c", STOCK, uri], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert read.stdout.splitlines() == ["['d1']", "['d2']", '{"digest": "d2"}']


def test_duckdb_reads_versions(tmp_path):
    """Its Delta reader is written in Rust by others than deltalake's; a package of PyPI carries it."""
    duckdb, carrier = pytest.importorskip("duckdb"), pytest.importorskip("duckdb_extension_delta")
    uri = str(tmp_path / "table")
    for name in ("d1", "d2"):
        tables.write(uri, [batch(0, label=name)], {}, digest=name)
    reader = next(Path(carrier.__file__).parent.rglob("delta.duckdb_extension"))
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as database:
        database.load_extension(str(reader))
        for number, name in enumerate(("d1", "d2")):
            rows = f"delta_scan('{uri}', version={number})"
            assert database.execute(f"SELECT label, count(*) FROM {rows} GROUP BY label").fetchall() == [(name, 1000)]


@pytest.mark.parametrize("place", ["file", "file/below", "folder", "/dev/null"])
def test_a_place_that_is_somebody_elses_is_known_before_there_is_anything_to_write(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"is no Delta table|is no folder"):
        tables.check(str(tmp_path / place))
    assert sorted(tmp_path.rglob("*")) == before
    tables.check(str(tmp_path / "new"))
    tables.check(str(tmp_path / "new" / "below"))
