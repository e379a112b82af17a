from __future__ import annotations

from collections import Counter

from dlops.data import sample, splits
from dlops.ml import baselines
from dlops.ml.datasets import Dataset, Split


def test_it_is_large_enough_and_balanced():
    rows = sample.generate(0)
    texts = dict(rows)
    assert len(texts) == sample.ROWS >= 2000
    assert len(rows) > len(texts), "some rows come twice, for ingest to find"
    counts = Counter(texts.values())
    assert set(counts) == set(sample.LABELS)
    assert 0.45 < counts["positive"] / len(texts) < 0.55


def test_the_seed_decides():
    assert sample.generate(3) == sample.generate(3)
    assert sample.generate(3) != sample.generate(4)


def test_no_placeholder_is_left():
    assert not any(mark in text for text, _ in sample.generate(0) for mark in "{}")


def test_words_alone_do_not_tell_the_opinion():
    rows = list(dict(sample.generate(0)).items())
    parts = {"train": [], "val": [], "test": []}
    for text, label in rows:
        parts[splits.assign(text, (0.7, 0.1, 0.2), 0)].append((text, label))
    train, test = (Split([t for t, _ in parts[name]], [x for _, x in parts[name]]) for name in ("train", "test"))
    about = {"uri": "/sample", "version": 0, "digest": "", "source": "sample", "synthetic": True}
    dataset = Dataset(**about, labels=sample.LABELS, train=train, val=Split([], []), test=test)
    assert 0.5 < baselines.bag_of_words(dataset).value < 0.75
