from __future__ import annotations

import random

import pytest

from dlops.ml import batches
from dlops.ml.batches import Buckets, Collator


def rows(count=500):
    generator = random.Random(0)
    return [([number + 1] * generator.randrange(3, 200), number % 2) for number in range(count)]


def test_texts_are_cut_to_what_is_asked_or_to_what_the_model_takes(loaded):
    _, tokenizer = loaded
    texts = ["film " * 100, "good"]
    assert [len(ids) for ids, _ in batches.examples(tokenizer, texts, [0, 1], 10)] == [10, 3]
    assert [len(ids) for ids, _ in batches.examples(tokenizer, texts, [0, 1], 1000)] == [64, 3]


def test_padding_is_masked_and_labels_follow_their_texts():
    (batch,) = Collator(0, None)([([5, 6, 7], 1), ([8], 0)])
    assert batch["input_ids"].tolist() == [[8, 0, 0], [5, 6, 7]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [0, 1]


@pytest.mark.parametrize("micro_tokens", [None, 1024, 64])
def test_micro_batches_hold_every_row_within_the_budget(micro_tokens):
    given = rows(64)
    parts = Collator(0, micro_tokens)(given)
    assert sorted(int(row[0]) for part in parts for row in part["input_ids"]) == [ids[0] for ids, _ in given]
    if micro_tokens is None:
        assert len(parts) == 1
    else:
        assert all(part["input_ids"].numel() <= micro_tokens or len(part["labels"]) == 1 for part in parts)


def test_an_epoch_draws_every_row_once_and_differs_from_the_next():
    buckets = Buckets([len(ids) for ids, _ in rows()], 32, seed=1)
    first, second = list(buckets), list(buckets)
    assert len(first) == len(buckets) == 16
    for epoch in (first, second):
        assert sorted(row for batch in epoch for row in batch) == list(range(500))
    assert first != second


def test_the_seed_decides_the_draw():
    lengths = [len(ids) for ids, _ in rows()]
    assert list(Buckets(lengths, 32, 1)) == list(Buckets(lengths, 32, 1))
    assert list(Buckets(lengths, 32, 1)) != list(Buckets(lengths, 32, 2))


def test_buckets_waste_little_on_padding():
    given = rows()
    padded = sum(
        part["input_ids"].numel() for batch in batches.training(given, Collator(0, None), 32, 0) for part in batch
    )
    real = sum(len(ids) for ids, _ in given)
    assert padded < 1.35 * real
    widest = max(len(ids) for ids, _ in given)
    assert widest * len(given) > 1.8 * real, "the rows were no test of padding"


def test_evaluation_gives_every_row_once():
    seen = [
        label for batch in batches.evaluation(rows(), Collator(0, 1024)) for part in batch for label in part["labels"]
    ]
    assert len(seen) == 500


def test_an_accelerator_gets_whole_batches():
    assert batches.micro_tokens("cuda") is None
    assert batches.micro_tokens("cpu") is not None
