from __future__ import annotations

import pytest

from dlops.config import folders
from dlops.ml import tokens

TEXTS = ["good film", "the plot was awful", "", "good"]


@pytest.fixture
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def test_rows_are_those_of_the_tokenizer(tokenizer):
    found = tokens.encode(tokenizer, TEXTS, None, 16)
    assert len(found) == 4
    assert found.types is None
    for place, text in enumerate(TEXTS):
        assert found.row(place)[0].tolist() == tokenizer(text)["input_ids"]
    assert found.lengths == [len(tokenizer(text)["input_ids"]) for text in TEXTS]


def test_pairs_have_types(tokenizer):
    found = tokens.encode(tokenizer, TEXTS[:2], ["bad", "dull"], 16)
    expected = tokenizer(TEXTS[1], "dull")
    ids, types = found.row(1)
    assert (ids.tolist(), types.tolist()) == (expected["input_ids"], expected["token_type_ids"])


def test_long_texts_are_cut_to_what_is_asked_and_to_what_the_model_takes(tokenizer):
    long = ["good " * 500]
    assert tokens.encode(tokenizer, long, None, 16).lengths == [16]
    assert tokens.encode(tokenizer, long, None, 4096).lengths == [64]


def test_nothing_is_tokenized_twice(tokenizer, monkeypatch):
    first = tokens.encode(tokenizer, TEXTS, None, 16)
    assert len(list((folders.cache() / "tokens").iterdir())) == 1
    monkeypatch.setattr(tokens, "_tokenize", None)
    assert tokens.encode(tokenizer, TEXTS, None, 16).key == first.key
    for texts, pairs, length in ((TEXTS[::-1], None, 16), (TEXTS, TEXTS, 16), (TEXTS, None, 3)):
        with pytest.raises(TypeError):
            tokens.encode(tokenizer, texts, pairs, length)


def test_no_rows(tokenizer):
    assert tokens.encode(tokenizer, [], None, 16).lengths == []
