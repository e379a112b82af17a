"""A chunk on its own becomes rows that can be used, and every other row is counted."""

from __future__ import annotations

import json
import pickle
from dataclasses import astuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.data import conversion, splits, staging
from dlops.data.cleaning import Changes, Cleaning
from dlops.data.columns import Roles
from dlops.data.conversion import Conversion, Counts
from dlops.data.labels import Labels
from dlops.data.rows import Chunk, Reject
from dlops.errors import DataError
from tests.data import ugly


def chunk(**columns):
    return Chunk("a.csv", list(range(2, 2 + len(next(iter(columns.values()))))), columns, 77)


def converted(*unread, kind="classes", roles=None, cleaning=None, **columns):
    roles, cleaning = roles or {}, cleaning or {}
    made = Conversion(
        roles=Roles(text="text", label="label", **roles), labels=Labels(kind=kind), cleaning=Cleaning(**cleaning)
    )
    return made(chunk(**columns), unread)


def told(made):
    return [(reject.line, reject.reason) for reject in made.rejects]


def test_rows_are_cleaned_keyed_and_counted():
    made = converted(text=["<b>a</b>  b", "c d e", "c d e"], label=[" x ", 1.0, "y"])
    assert made.rows.column_names == ["key", "text", "label"]
    assert made.rows.schema.types == [pa.uint64(), pa.string(), pa.string()]
    assert made.rows["text"].to_pylist() == ["a b", "c d e", "c d e"]
    assert made.rows["label"].to_pylist() == ["x", "1", "y"]
    assert [f"{key:016x}" for key in made.rows["key"].to_pylist()] == [
        splits.identity(t) for t in ("a b", "c d e", "c d e")
    ]
    assert made.counts == Counts(rows_in=3)
    assert made.changes == Changes(texts=3, changed=1, html=1)
    assert (made.as_read.texts, made.as_read.shortest, made.as_read.longest) == (3, 2, 3)
    assert (made.rejects, made.position) == ([], 77)


def test_values_that_are_equal_but_not_the_same_are_told_apart():
    made = converted(text=list("abcd"), label=[1, True, "1", 1.0])
    assert made.rows["label"].to_pylist() == ["1", "true", "1", "1"]


@pytest.mark.parametrize(("kind", "value", "said"), ugly.LABELS)
def test_what_is_no_label_is_told_in_its_place(kind, value, said):
    made = converted(text=list("abcd"), label=[None, value, "1", value], kind=kind)
    assert [line for line, _ in told(made)] == [3, 5]
    assert all(reason.startswith("column 'label': ") and said in reason for _, reason in told(made))
    assert made.rows["text"].to_pylist() == ["c"]
    assert made.counts == Counts(rows_in=4, rejects=2, empty=1)


def test_what_is_no_text_is_told_before_what_is_no_label():
    made = converted(text=[5, "\ud800", "a", None], label=[{}, "x", {}, "x"])
    assert told(made) == [
        (2, "column 'text' holds a int, not a text"),
        (3, "column 'text' holds half a character (a lone surrogate)"),
        (4, "column 'label': a dict is not one class name or number"),
    ]
    assert made.counts == Counts(rows_in=4, rejects=3, empty=1)


def test_a_row_is_left_out_for_one_reason_only():
    texts = ["", " ", "a", "ab", "abcd", "abcde", None, "abc"]
    made = converted(text=texts, label=["x"] * 7 + [" "], cleaning={"min_characters": 2, "max_characters": 4})
    assert made.rows["text"].to_pylist() == ["ab", "abcd"]
    assert made.counts == Counts(rows_in=8, empty=4, short=1, long=1)


def test_further_roles():
    roles = {"text_pair": "second", "group": "by", "split": "fold", "keep": ("stars",)}
    made = converted(
        text=["a", "b", "c"],
        second=["<i>x</i>", None, "z"],
        label=["1", "0", "1"],
        by=[7, None, "\ud800"],
        fold=["training", "dev", "sometimes"],
        stars=[["p"], {"q": 1}, None],
        roles=roles,
    )
    first, second = made.rows.to_pylist()
    assert first["key"] == staging.keys(pa.array(["a"]), pa.array(["x"]))[0]
    assert (first["text_pair"], second["text_pair"]) == ("x", "")
    assert (first["own_split"], second["own_split"]) == ("train", "val")
    assert (first["group"], second["group"]) == ("7", None)
    assert (json.loads(first["stars"]), json.loads(second["stars"])) == (["p"], {"q": 1})
    assert told(made)[0][0] == 4


def test_rows_without_labels():
    made = Conversion(roles=Roles(text="text"), labels=None, cleaning=Cleaning())(
        chunk(text=["a ", "", 5], label=["x"] * 3)
    )
    assert made.rows.column_names == ["key", "text"]
    assert made.rows["text"].to_pylist() == ["a"]
    assert made.counts == Counts(rows_in=3, rejects=1, empty=1)


def test_rows_that_could_not_be_read_are_counted_with_the_next_chunk():
    unread = Reject("a.csv", 1, "ragged")
    made = converted(unread, text=["a", 5], label=["x", "x"])
    assert [reject.line for reject in made.rejects] == [1, 3]
    assert made.counts == Counts(rows_in=3, rejects=2)
    rest = Conversion(
        roles=Roles(text="text", label="label"), labels=Labels(kind="classes"), cleaning=Cleaning()
    ).nothing([unread])
    assert (len(rest.rows), rest.rejects, rest.counts) == (0, [unread], Counts(rows_in=1, rejects=1))


def test_no_row_can_be_used():
    made = converted(text=[None], label=["x"])
    assert len(made.rows) == 0
    assert made.rows.schema == converted(text=["a"], label=["x"]).rows.schema


def test_a_column_that_is_missing_is_named():
    with pytest.raises(DataError, match=r"a\.csv has no column 'label'"):
        converted(text=["a"], mood=["x"])


def test_counts_are_added():
    counts = Counts(*range(10))
    counts.add(Counts(*range(0, 100, 10)))
    assert astuple(counts) == tuple(range(0, 110, 11))


def test_it_can_be_sent_to_another_process():
    made = Conversion(
        roles=Roles(text="text", label="label"), labels=Labels(kind="number"), cleaning=Cleaning(unicode="NFKC")
    )
    assert pickle.loads(pickle.dumps(made)) == made


TEXTS = st.sampled_from(["a", "<br />b", " c", "", None, "é", "e\u0301", "[1]", "train", "1"])


@given(
    st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), min_size=1), st.sampled_from(["classes", "multilabel", "number"])
)
@settings(max_examples=100, deadline=None)
def test_arrow_texts_and_python_texts_become_the_same(found, kind):
    lists = dict(zip(("text", "label", "fold", "by"), map(list, zip(*found, strict=True)), strict=True))
    arrays = {name: pa.array(values, pa.string()) for name, values in lists.items()}
    roles = {"split": "fold", "group": "by"}
    one, other = (converted(kind=kind, roles=roles, **columns) for columns in (lists, arrays))
    assert one.rows.equals(other.rows)
    assert (one.counts, one.changes, one.rejects) == (other.counts, other.changes, other.rejects)
    assert one.as_read.counts.tolist() == other.as_read.counts.tolist()


def test_values_are_written_as_texts():
    assert conversion.written(["a", None, 1.5, "\ud800", {"k": [1]}]).to_pylist() == [
        *("a", None, "1.5", '"\\ud800"', '{"k": [1]}')
    ]
    texts = pa.array(["a", None])
    assert conversion.written(texts) is texts
    assert conversion.written(pa.array([1, None])).to_pylist() == ["1", None]
