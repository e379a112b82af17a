from __future__ import annotations

import os

import pytest
import torch

from dlops.config import folders
from dlops.ml import cache


@pytest.fixture
def computed():
    calls = []

    def compute():
        calls.append(1)
        return {"numbers": torch.arange(len(calls), len(calls) + 3)}

    compute.calls = calls
    return compute


def test_what_was_computed_is_not_computed_again(computed):
    first = cache.remembered("things", "k", computed)
    again = cache.remembered("things", "k", computed)
    assert len(computed.calls) == 1
    assert torch.equal(first["numbers"], again["numbers"])
    assert cache.is_there("things", "k")
    assert not cache.is_there("things", "other")
    cache.remembered("things", "other", computed)
    assert len(computed.calls) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_file_counts_as_none(computed, damage):
    cache.remembered("things", "k", computed)
    file = folders.cache() / "things" / "k.safetensors"
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-5], "empty": b"", "noise": os.urandom(300)}[damage])
    assert cache.remembered("things", "k", computed)["numbers"].tolist() == [2, 3, 4]
    assert cache.remembered("things", "k", computed)["numbers"].tolist() == [2, 3, 4]


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(computed):
    folders.cache().mkdir(parents=True)
    (folders.cache() / "things").write_text("in the way")
    assert cache.remembered("things", "k", computed)["numbers"].tolist() == [1, 2, 3]
    assert cache.remembered("things", "k", computed)["numbers"].tolist() == [2, 3, 4]


def test_what_was_not_used_for_longest_goes_first(computed, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 250)
    for age, name in ((30, "old"), (20, "used"), (10, "young")):
        cache.remembered("things", name, computed)
        file = folders.cache() / "things" / f"{name}.safetensors"
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    cache.remembered("things", "used", computed)
    cache.remembered("things", "new", computed)
    left = {file.name.partition(".")[0] for file in (folders.cache() / "things").iterdir()}
    assert "new" in left
    assert "old" not in left
    assert ("used" in left) >= ("young" in left)


def test_a_key_stands_for_content():
    numbers = torch.arange(6)
    assert cache.key("a", numbers) == cache.key("a", numbers.clone())
    others = [("ab",), ("a", "b"), ("b", "a"), ("a", numbers), ("a", numbers.reshape(2, 3)), ("a", numbers + 1)]
    assert len({cache.key(*parts) for parts in others}) == len(others)
