"""From what was read to what is written: no row is lost without being counted, and none moves."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.data import splits, tables
from dlops.data.cleaning import Cleaning
from dlops.data.columns import Wanted
from dlops.data.preparation import Fingerprint, NothingReadError, Preparation, Recipe, without
from dlops.data.rejects import Rejects
from dlops.data.rows import Chunk, Reject
from dlops.data.sources import Source
from dlops.data.staging import Staging
from dlops.errors import DataError


def source(*chunks, rejects=()):
    def read(reject):
        for row in rejects:
            reject(row)
        yield from chunks

    return Source("memory", "memory", read)


def chunk(**columns):
    return Chunk("memory", list(range(1, len(next(iter(columns.values()))) + 1)), columns)


def prepared(*chunks, rejects=(), stop=False, **recipe):
    """Give the written rows as one table, and where all the others went."""
    recipe = Recipe(**{"wanted": Wanted(), "cleaning": Cleaning(), **recipe})
    with Staging() as staged, Rejects(stop=stop) as taken:
        preparation = Preparation(recipe, source(*chunks, rejects=rejects), taken)
        preparation.read(staged, lambda _: None)
        parts = list(preparation.finished(staged))
    rows = pa.concat_tables(parts) if parts else pa.table({"id": [], "text": []})
    preparation.counts.rows = len(rows)
    return rows, preparation.counts


def conserved(counts):
    left = (counts.rejects, counts.empty, counts.short, counts.long, counts.duplicates, counts.near_duplicates)
    return counts.rows_in == counts.rows + sum(left)


def test_rows_are_cleaned_keyed_split_and_in_the_order_of_their_ids():
    rows, counts = prepared(chunk(review=["<br />b  b", "a", "c"], sentiment=["pos", "neg", "pos"]))
    assert rows.column_names == ["id", "text", "label", "split"]
    found = rows.to_pylist()
    assert {row["text"]: row["label"] for row in found} == {"b b": "pos", "a": "neg", "c": "pos"}
    assert [row["id"] for row in found] == sorted(splits.identity(row["text"]) for row in found)
    assert all(row["split"] == splits.assign(row["text"], (0.7, 0.1, 0.2), 0) for row in found)
    assert (counts.rows_in, counts.rows) == (3, 3)


def test_where_rows_go():
    rows, counts = prepared(
        chunk(
            text=["a", "a", "b", "", None, "c", 5, "d", "\ud800", "e", "long" * 9],
            label=["x", "y", "x", "x", "x", None, "x", {"a": 1}, "x", " ", "x"],
        ),
        rejects=[Reject("memory", 9, "ragged")],
        cleaning=Cleaning(max_characters=20),
    )
    assert rows["text"].to_pylist() == sorted("ab", key=splits.identity)
    assert (counts.duplicates, counts.conflicting, counts.empty, counts.rejects, counts.long) == (1, 1, 4, 4, 1)
    assert conserved(counts)


VALUES = st.sampled_from(["a", "a ", "b", "", None, 3, "\ud800", "cc", "<b>a</b>"])


@given(st.lists(st.tuples(VALUES, st.sampled_from(["x", "y", None, [], 1.5])), min_size=1), st.integers(0, 3))
@settings(deadline=None)
def test_rows_in_are_rows_out_and_all_that_was_left_out(pairs, rejected):
    texts, labels = zip(*pairs, strict=True)
    _, counts = prepared(
        chunk(text=list(texts), label=list(labels)),
        rejects=[Reject("memory", 1, "x")] * rejected,
        cleaning=Cleaning(min_characters=2),
        target="classes",
    )
    assert counts.rows_in == len(pairs) + rejected
    assert conserved(counts)


def test_a_pair_is_a_row_of_its_own_and_is_kept():
    rows, counts = prepared(
        chunk(text=["a", "a", "a"], second=["x", "y", "x"], label=["1", "0", "1"]), wanted=Wanted(text_pair="second")
    )
    assert sorted(rows["text_pair"].to_pylist()) == ["x", "y"]
    assert counts.duplicates == 1


def test_groups_are_not_torn_apart():
    count = 200
    rows, _ = prepared(
        chunk(
            text=[f"t{n}" for n in range(count)], label=["x", "y"] * 100, author=[f"a{n % 40}" for n in range(count)]
        ),
        wanted=Wanted(group="author"),
    )
    homes = {}
    for row in rows.to_pylist():
        homes.setdefault(row["group"], set()).add(row["split"])
    assert {len(home) for home in homes.values()} == {1}
    assert set().union(*homes.values()) == {"train", "val", "test"}


def test_the_sources_own_splits_and_what_leaks_between_them():
    rows, counts = prepared(
        chunk(text=["a", "b", "c", "a", "d"], label=["x"] * 5, fold=["train", "dev", "TEST", "test", "sometimes"]),
        wanted=Wanted(split="fold"),
    )
    found = dict(zip(rows["text"].to_pylist(), rows["split"].to_pylist(), strict=True))
    assert found == {"a": "train", "b": "val", "c": "test"}
    assert (counts.leaking, counts.rejects) == (1, 1)


@pytest.mark.parametrize(
    ("target", "values", "kind", "first"),
    [
        ("auto", [["b", "a"], []], pa.list_(pa.string()), ["a", "b"]),
        ("multilabel", ["b|a", ""], pa.list_(pa.string()), ["a", "b"]),
        ("number", ["4.5", 2], pa.float64(), 4.5),
        ("auto", [1.0, 2.0], pa.string(), "1"),
    ],
)
def test_labels_of_every_kind_have_their_type(target, values, kind, first):
    rows, _ = prepared(chunk(text=["first", "second"], label=values), target=target, label_separator="|")
    assert rows.schema.field("label").type == kind
    assert next(row["label"] for row in rows.to_pylist() if row["text"] == "first") == first


def test_further_columns_are_kept_as_texts():
    rows, _ = prepared(
        chunk(text=["a"], label=["x"], stars=[3], tags=[["p", "q"]]), wanted=Wanted(keep=("stars", "tags"))
    )
    (row,) = rows.to_pylist()
    assert (row["stars"], json.loads(row["tags"])) == ("3", ["p", "q"])


def test_a_file_without_the_column_is_named():
    with pytest.raises(DataError, match="has no column 'label'"):
        prepared(chunk(text=["a"], label=["x"]), chunk(text=["b"], mood=["x"]))


def test_no_rows_at_all():
    with pytest.raises(NothingReadError):
        prepared()


def test_rejects_may_end_the_work():
    with pytest.raises(DataError, match="memory:2: column 'text' holds a int"):
        prepared(chunk(text=["a", 5], label=["x", "x"]), stop=True)


def test_the_fingerprint_is_the_digest_of_the_table_and_sees_every_column_but_the_text():
    rows, _ = prepared(chunk(text=["a", "b"], label=["x", "y"], by=["p", "q"]), wanted=Wanted(keep=("by",)))
    plain, kept = Fingerprint(), Fingerprint()
    plain.update(rows.drop_columns(["by"]))
    kept.update(rows)
    assert plain.hexdigest() == tables.digest((row["id"], row["label"], row["split"]) for row in rows.to_pylist())
    assert kept.hexdigest() != plain.hexdigest()
    in_parts = Fingerprint()
    for part in (rows.slice(0, 1), rows.slice(1, 0), rows.slice(1)):
        in_parts.update(part)
    assert in_parts.hexdigest() == kept.hexdigest()


def test_rows_are_taken_out_by_id():
    rows, _ = prepared(chunk(text=["a", "b", "c"], label=["x", "y", "x"]))
    names = rows["id"].to_pylist()
    assert [part["id"].to_pylist() for part in without([rows], frozenset(names[1:2]))] == [[names[0], names[2]]]
    assert list(without([rows], frozenset())) == [rows]


def test_rows_without_labels_are_each_there_once():
    rows, counts = prepared(
        chunk(text=["a", "a ", "b", ""], label=["x", "y", None, "x"]), wanted=Wanted(labelled=False), target="none"
    )
    assert rows.column_names == ["id", "text", "split"]
    assert sorted(rows["text"].to_pylist()) == ["a", "b"]
    assert (counts.duplicates, counts.conflicting, counts.empty) == (1, 0, 1)
    fingerprint = Fingerprint()
    fingerprint.update(rows)
    assert fingerprint.hexdigest() == tables.digest((row["id"], row["split"]) for row in rows.to_pylist())
