"""A job on its way: unreadable, unchanged, for one key."""

from __future__ import annotations

import pytest

from dlops.worker import sealed


@pytest.mark.parametrize("text", ["", "x", '{"command": "ü 🙂 hunter2-secret"}', "long " * 100_000])
def test_it_comes_back_whole(text):
    key = sealed.new_key()
    closed = sealed.seal(text, key)
    assert sealed.unseal(closed, key) == text
    assert len(text) < 8 or text[:8].encode() not in closed


def test_one_key_says_nothing_of_another():
    first, second = sealed.new_key(), sealed.new_key()
    assert first != second
    assert sealed.seal("hunter2", first) != sealed.seal("hunter2", second)
    with pytest.raises(ValueError, match="another key"):
        sealed.unseal(sealed.seal("hunter2", first), second)


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_a_changed_one_is_refused(place):
    key = sealed.new_key()
    closed = bytearray(sealed.seal("the job", key))
    closed[place] ^= 1
    with pytest.raises(ValueError, match="was changed"):
        sealed.unseal(bytes(closed), key)
    with pytest.raises(ValueError, match="was changed"):
        sealed.unseal(b"", key)
