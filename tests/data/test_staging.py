"""Whatever the size, each text comes back once, in the order of its key, the first that came."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.data import splits, staging
from dlops.data.staging import Dropped, Staging


def rows(*pairs):
    texts, labels = zip(*pairs, strict=True)
    return pa.table(
        {"key": pa.array(staging.keys(pa.array(texts, pa.string()))), "text": list(texts), "label": list(labels)}
    )


def gone_through(staged):
    found, counts = [], Counter()
    for part in staged.parts():
        kept, gone = staging.once(part)
        found += list(zip(kept["text"].to_pylist(), kept["label"].to_pylist(), strict=True))
        counts.update(dataclasses.asdict(gone))
    return found, Dropped(**counts)


@pytest.fixture
def on_disk(monkeypatch):
    """Everything goes to disk at once."""
    monkeypatch.setattr(staging, "_IN_MEMORY", 0)
    monkeypatch.setattr(staging, "_GATHERED", 0)


def test_a_key_is_the_rows_id():
    assert f"{staging.keys(pa.array(['a text']))[0]:016x}" == splits.identity("a text")
    assert staging.keys(*map(pa.array, "ab"))[0] != staging.keys(*map(pa.array, "ac"))[0]


def check(batches):
    """Hold what comes back to what a dictionary says."""
    expected, conflicting, count = {}, 0, 0
    with Staging() as staged:
        for batch in batches:
            staged.add(rows(*batch))
            for text, label in batch:
                conflicting += expected.setdefault(text, label) != label
                count += 1
        found, dropped = gone_through(staged)
        assert gone_through(staged) == (found, dropped), "a second time"
    assert dict(found) == expected
    assert [text for text, _ in found] == sorted(expected, key=splits.identity)
    assert dropped == Dropped(count - len(expected), conflicting)


BATCHES = st.lists(st.lists(st.tuples(st.text("abc", max_size=2), st.sampled_from("xy")), min_size=1), max_size=5)


@given(BATCHES)
@settings(deadline=None)
def test_in_memory(batches):
    check(batches)


@given(BATCHES)
@settings(max_examples=25, deadline=None)
def test_on_disk(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "_IN_MEMORY", 0)
        patch.setattr(staging, "_GATHERED", 0)
        check(batches)


def test_nothing_is_left_on_disk(on_disk):
    with Staging() as staged:
        staged.add(rows(*((str(number), "x") for number in range(1000))))
        folder = staged._folder
        assert sum(len(part) for part in staged.parts()) == 1000
    assert not folder.exists()


def test_a_text_in_two_splits_of_the_source_is_told():
    table = rows(("a", "x"), ("a", "x"), ("b", "x")).append_column("own_split", pa.array(["train", "test", "test"]))
    with Staging() as staged:
        staged.add(table)
        (part,) = staged.parts()
    assert staging.once(part)[1] == Dropped(1, 0, 1)
