from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.data import difference, splits, staging, tables
from dlops.errors import DataError


def columns(rows):
    """Rows of (text, label, split) as the columns of a dataset."""
    texts, labels, names = zip(*rows, strict=True)
    return {"id": [splits.identity(text) for text in texts], "text": texts, "label": labels, "split": names}


def compared(before, after, *, about=({}, {}), **options):
    with tempfile.TemporaryDirectory() as folder:
        for name, rows, told in zip("ab", (before, after), about, strict=True):
            tables.write(f"{folder}/{name}", rows if isinstance(rows, dict) else columns(rows), told)
        return difference.between((f"{folder}/a", None), (f"{folder}/b", None), **options)


def thousand():
    return [(f"text {n}", "xyz"[n % 3], ("train", "val", "test")[n % 10 // 8]) for n in range(1000)]


def test_planted_changes_are_found_exactly():
    before = thousand()
    after = list(before)
    for n in range(7):
        after[n] = (after[n][0], "new", after[n][2])
    for n in range(100, 105):
        after[n] = (*after[n][:2], "test")
    after[104] = (after[104][0], "new", "test")
    gone = set(range(200, 211))
    after = [row for n, row in enumerate(after) if n not in gone] + [(f"more {n}", "x", "train") for n in range(13)]
    random.Random(0).shuffle(after)

    found = compared(before, after, examples=3, texts=True)
    assert found.counts == {"added": 13, "removed": 11, "relabelled": 8, "moved": 5, "changed": 0}
    assert not found.same
    assert (found.a.shares.total, found.b.shares.total) == (1000, 1002)
    assert found.b.shares.labels["new"] == {"train": 7, "test": 1}
    assert {kind: len(named) for kind, named in found.examples.items()} == {
        **dict.fromkeys(("added", "removed", "relabelled", "moved"), 3),
        "changed": 0,
    }
    known = {splits.identity(text): (text, label, split) for text, label, split in [*before, *after]}
    for named in found.examples.values():
        for example in named:
            text, label, split = known[example.id]
            assert example.text == text
            assert example.after in (None, {"label": label, "split": split})
    assert all(example.before is None for example in found.examples["added"])
    assert all(example.after is None for example in found.examples["removed"])


def test_equal_datasets_are_the_same_and_name_nothing():
    found = compared(thousand(), thousand()[::-1], examples=5)
    assert found.same
    assert set(found.counts.values()) == {0}
    assert not any(found.examples.values())


def test_texts_are_left_out_unless_asked_for():
    found = compared([("secret", "x", "train")], [("other", "x", "train")], examples=5)
    assert "secret" not in str(found.as_dict())
    assert found.as_dict()["examples"]["removed"][0]["id"] == splits.identity("secret")


rows = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xy"), st.sampled_from(splits.NAMES)), min_size=1
)


@settings(max_examples=40, deadline=None)
@given(before=rows, after=rows)
def test_counts_add_up_and_are_those_of_the_way_back(before, after):
    """Whatever the rows, doubles among them: what is added and removed accounts for the rows of every text."""
    found, back = compared(before, after), compared(after, before)
    counts = found.counts
    assert len(before) + counts["added"] - counts["removed"] == len(after)
    assert back.counts == {**counts, "added": counts["removed"], "removed": counts["added"]}
    texts = [Counter(text for text, *_ in side) for side in (before, after)]
    assert counts["added"] == (texts[1] - texts[0]).total()
    assert counts["removed"] == (texts[0] - texts[1]).total()
    assert found.same == (Counter(before) == Counter(after))


def test_a_table_of_another_making_is_matched_by_its_texts(tmp_path):
    ours = tables.write(str(tmp_path / "ours"), columns(thousand()), {})
    theirs = pa.table(
        {
            "id": list(range(1000)),
            "text": [text for text, *_ in thousand()],
            "label": [label for _, label, _ in thousand()],
        }
    )
    deltalake.write_deltalake(tmp_path / "theirs", theirs)
    found = difference.between((ours.uri, 0), (str(tmp_path / "theirs"), None), examples=1, texts=True)
    assert found.counts == {"added": 0, "removed": 0, "relabelled": 0, "moved": 1000, "changed": 0}
    assert found.examples["moved"][0].after["split"] is None
    assert found.examples["moved"][0].text.startswith("text ")
    assert found.b.shares.rows == {"all": 1000}


def test_a_table_without_texts_is_refused(tmp_path):
    deltalake.write_deltalake(tmp_path / "t", pa.table({"words": ["a"]}))
    with pytest.raises(DataError, match="no column 'text'") as caught:
        difference.between((str(tmp_path / "t"), None), (str(tmp_path / "t"), None))
    assert "words" in caught.value.hint


@pytest.mark.parametrize("labels", [([["x"], ["x", "y"]], [["x"], ["y"]]), ([1.0, 2.0], [1.0, 2.5])])
def test_labels_of_every_kind_are_compared(labels):
    before, after = ({**columns([("a", "", "train"), ("b", "", "train")]), "label": column} for column in labels)
    found = compared_tables(before, after)
    assert found.counts == {"added": 0, "removed": 0, "relabelled": 1, "moved": 0, "changed": 0}


def test_other_columns_are_compared_where_both_have_them():
    one = {**columns([("a", "x", "train"), ("b", "x", "train")]), "group": ["g", "h"], "gone": ["1", "2"]}
    other = {**columns([("a", "x", "train"), ("b", "x", "train")]), "group": ["g", None], "new": ["1", "2"]}
    found = compared_tables(one, other)
    assert found.counts == {"added": 0, "removed": 0, "relabelled": 0, "moved": 0, "changed": 1}
    assert compared_tables(one, {name: one[name] for name in one if name != "gone"}).same is False


def compared_tables(before, after):
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in zip("ab", (before, after), strict=True):
            tables.write(f"{folder}/{name}", [pa.table(rows)], {}, digest=name)
        return difference.between((f"{folder}/a", None), (f"{folder}/b", None))


def test_what_goes_to_disk_is_compared_alike(monkeypatch):
    after = [(text, "new" if text.endswith("7") else label, split) for text, label, split in thousand()]
    expected = compared(thousand(), after, examples=9)
    monkeypatch.setattr(staging, "_IN_MEMORY", 1)
    monkeypatch.setattr(staging, "_GATHERED", 1)
    found = compared(thousand(), after, examples=9)
    assert found.counts == expected.counts
    assert found.counts["relabelled"] == 100
    assert found.examples == expected.examples


def test_checks_stand_side_by_side():
    checks = [
        [{"name": "balance", "status": "ok", "figure": 0.5}],
        [{"name": "balance", "status": "warning", "figure": 0.1}, {"name": "leakage", "status": "ok", "figure": 0}],
    ]
    found = compared(thousand(), thousand(), about=[{"checks": listed} for listed in checks])
    assert found.checks() == [
        {"name": "balance", "a": checks[0][0], "b": checks[1][0]},
        {"name": "leakage", "a": None, "b": checks[1][1]},
    ]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Twice four million rows that all moved to another label differ by no more than a part's memory."""
    program = """
import resource, sys
import pyarrow as pa
from dlops.data import difference, tables
count, folder = int(sys.argv[1]), sys.argv[2]
def batches(label):
    for start in range(0, count, 20_000):
        ids = [f"{n * 2654435761 % 2**64:016x}" for n in range(start, start + 20_000)]
        same = lambda text: pa.array([text] * 20_000)
        yield pa.table({"id": ids, "text": same("t"), "label": same(label), "split": same("train")})
for label in "xy":
    tables.write(f"{folder}/{label}", batches(label), {}, digest=label)
found = difference.between((f"{folder}/x", None), (f"{folder}/y", None))
assert found.counts["relabelled"] == count and not found.counts["added"], found.counts
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for count in (1_000_000, 4_000_000):
        folder = str(tmp_path / str(count))
        Path(folder).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, str(count), folder], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.5 * peaks[0], peaks
    assert peaks[1] < 1500, peaks


def test_datasets_without_labels_are_compared_too():
    before, after = ({name: list(values) for name, values in columns(thousand()).items()} for _ in range(2))
    after["split"][:3] = ["test"] * 3
    labels = before.pop("label")
    del after["label"]
    found = compared(before, after, examples=1)
    assert found.counts == {"added": 0, "removed": 0, "relabelled": 0, "moved": 3, "changed": 0}
    assert (found.a.shares.labelled, "label_shares" in found.as_dict()["a"]) == (False, False)
    found = compared(before, {**before, "label": labels})
    assert (found.counts["relabelled"], found.counts["moved"], found.same) == (1000, 0, False)
