from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlops.ml import batches, ranks
from dlops.ml.batches import Collator, FeatureRows, OrderedBatches, RandomBatches, TokenRows
from dlops.ml.tokens import Tokens


def rows(lengths, *, pairs=False):
    """Rows of tokens, each all of one number, its place and one; that of a pair's second text has type 1."""
    ids = torch.cat([torch.full((length,), place + 1, dtype=torch.int32) for place, length in enumerate(lengths)])
    types = torch.cat([torch.tensor([0, *[1] * (length - 1)], dtype=torch.uint8) for length in lengths])
    tokens = Tokens(ids, torch.tensor(lengths).cumsum(0), types if pairs else None)
    return TokenRows(tokens, torch.arange(len(lengths)) % 2)


def lengths(count=500):
    generator = random.Random(0)
    return [generator.randrange(3, 200) for _ in range(count)]


def test_padding_is_masked_and_labels_and_types_follow_their_texts():
    given_rows = rows([3, 1], pairs=True)
    (batch,) = Collator(9, None)([given_rows[0], given_rows[1]])
    assert batch["input_ids"].tolist() == [[2, 9, 9], [1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0], [0, 1, 1]]
    assert batch["labels"].tolist() == [1, 0]
    assert "token_type_ids" not in Collator(9, None)([rows([3])[0]])[0]


@pytest.mark.parametrize("micro_tokens", [None, 1024, 64])
def test_micro_batches_hold_every_row_within_the_budget(micro_tokens):
    drawn = rows(lengths(64))
    parts = Collator(0, micro_tokens)([drawn[place] for place in range(64)])
    assert sorted(int(row[0]) for part in parts for row in part["input_ids"]) == list(range(1, 65))
    if micro_tokens is None:
        assert len(parts) == 1
    else:
        assert all(part["input_ids"].numel() <= micro_tokens or len(part["labels"]) == 1 for part in parts)


def test_micro_batches_of_a_random_batch_waste_little_on_padding():
    drawn, collate = rows(lengths()), Collator(0, 1024)
    loader = batches.training(drawn, collate, RandomBatches(drawn.lengths, rows=32))
    padded = sum(part["input_ids"].numel() for batch in loader for part in batch)
    assert padded < 1.3 * sum(drawn.lengths) < 0.7 * max(drawn.lengths) * len(drawn)


def test_an_epoch_draws_every_row_once_and_differs_from_the_next():
    sampler = RandomBatches([1] * 500, rows=32, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert len(first) == len(sampler) == 16
    for epoch in (first, second):
        assert sorted(row for batch in epoch for row in batch) == list(range(500))
    assert first != second
    assert list(RandomBatches([1] * 500, rows=32, seed=2)) != first
    again = RandomBatches([1] * 500, rows=32, seed=1)
    again.set_epoch(1)
    assert list(again) == second, "whatever was drawn before"


def test_an_interrupted_epoch_goes_on_where_it_was():
    sampler = RandomBatches([1] * 100, rows=8)
    whole = list(sampler)
    sampler.skip = 5
    assert list(sampler) == whole[5:]
    assert list(sampler) == whole, "only once"


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 400), st.integers(0, 5))
def test_a_budget_of_tokens_is_kept_about_and_no_batch_is_empty(drawn, tokens, epoch):
    sampler = RandomBatches(drawn, rows=1, tokens=tokens)
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    assert all(found)
    assert sorted(row for batch in found for row in batch) == list(range(len(drawn)))
    share = sum(drawn) / len(found)
    assert share <= max(tokens, 2 * max(drawn))
    assert max(sum(drawn[row] for row in batch) for batch in found) <= share + max(drawn)


def test_evaluation_gives_every_row_once_and_tells_which():
    drawn = rows(lengths())
    loader = batches.evaluation(drawn, Collator(0, 1024))
    seen = [int(row[0]) - 1 for batch in loader for part in batch for row in part["input_ids"]]
    assert seen == batches.order(loader)
    assert sorted(seen) == list(range(500))


def test_features_are_drawn_at_once():
    drawn = FeatureRows(torch.arange(12.0).reshape(3, 2, 2), torch.tensor([0, 1, 0]))
    (batch,) = batches.whole(drawn.__getitems__([2, 1]))
    assert torch.equal(drawn[2][0], batch["features"][0])
    assert batch["features"].tolist() == drawn.features[[2, 1]].tolist()
    assert batch["labels"].tolist() == [0, 1]
    assert drawn.lengths == [1, 1, 1]


def test_an_accelerator_gets_whole_batches():
    assert batches.micro_tokens("cuda") is None
    assert batches.micro_tokens("cuda", 6 * 384) is None


def test_a_processor_gets_more_tokens_at_once_where_none_is_padding_and_layers_are_narrow():
    padded = batches.micro_tokens("cpu")
    sizes = [batches.micro_tokens("cpu", states) for states in (2 * 128, 6 * 384, 6 * 768, 12 * 768, 24 * 1024)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3] == sizes[4] == padded


def test_halved_parts_hold_the_same_rows_each_as_wide_as_before():
    given = rows([5, 3, 4, 2, 6], pairs=True)
    (batch,) = Collator(0, None)([given[place] for place in range(5)])
    parts = batches.halved([batch])
    assert [len(part["labels"]) for part in parts] == [3, 2]
    assert all(part.keys() == batch.keys() for part in parts)
    for name, tensor in batch.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), tensor)
    for sizes in ([2, 1, 1, 1], [1] * 5, [1] * 5):
        parts = batches.halved(parts)
        assert [len(part["labels"]) for part in parts] == sizes


def test_features_can_be_halved_too():
    features = torch.arange(3.0).reshape(3, 1, 1).expand(3, 2, 3)
    (batch,) = batches.whole((features, torch.arange(3)))
    assert [part["features"][:, 0, 0].tolist() for part in batches.halved([batch])] == [[0, 1], [2]]


def drawn_by(sampler, monkeypatch, count):
    """Give what each of `count` processes draws."""
    found = []
    for number in range(count):
        monkeypatch.setattr(ranks, "place", lambda number=number: (number, count))
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@pytest.mark.parametrize("sampler", [RandomBatches([1] * 100, rows=16), OrderedBatches(lengths(100))])
@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_rows_of_each_batch(sampler, count, monkeypatch):
    whole = list(sampler)
    shares = drawn_by(sampler, monkeypatch, count)
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("sampler", [RandomBatches([1] * 9, rows=8), OrderedBatches([1] * 65)])
def test_where_no_row_is_left_the_first_comes_again(sampler, monkeypatch):
    *_, last = list(sampler)
    assert len(last) == 1
    assert [share[-1] for share in drawn_by(sampler, monkeypatch, 3)] == [last] * 3
