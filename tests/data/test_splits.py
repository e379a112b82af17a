from __future__ import annotations

from collections import Counter

import pytest

from dlops.data import splits
from dlops.errors import UsageError

SHARES = (0.6, 0.1, 0.3)


def test_shares_come_out_as_asked():
    counts = Counter(splits.assign(f"text {number}", SHARES, 0) for number in range(20000))
    for name, share in zip(splits.NAMES, SHARES, strict=True):
        assert counts[name] / 20000 == pytest.approx(share, abs=0.012)


def test_a_row_never_moves():
    """Written down, not computed: a change of the method would move every user's rows."""
    assert [splits.assign(text, SHARES, 7) for text in ("a", "b", "c", "d", "e", "f")] == FROZEN


def test_another_seed_deals_anew():
    texts = [str(number) for number in range(100)]
    dealt = [[splits.assign(text, SHARES, seed) for text in texts] for seed in (0, 1)]
    assert dealt[0] != dealt[1]


def test_without_val_rows():
    assert {splits.assign(str(number), (0.5, 0.0, 0.5), 0) for number in range(200)} == {"train", "test"}


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.7, 0.1, 0.1), (0.0, 0.5, 0.5), (0.9, 0.1, 0.0), (0.5, 0.3, 0.3)])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(UsageError, match="splits"):
        splits.check(shares)


def test_shares_may_be_off_by_rounding():
    splits.check((0.7, 0.1, 0.2))
    splits.check((1 / 3, 1 / 3, 1 / 3))


def test_identity_is_of_the_text_alone():
    assert splits.identity("größe") == splits.identity("größe")
    assert splits.identity("a") != splits.identity("b")
    assert len(splits.identity("a")) == 16


FROZEN = ["val", "train", "test", "test", "train", "train"]


def test_rows_that_are_only_trained_on_need_no_test():
    splits.check((1.0, 0.0, 0.0), needed=("train",))
    with pytest.raises(UsageError) as caught:
        splits.check((0.0, 0.5, 0.5), needed=("train",))
    assert caught.value.problems == ("the share of train must be above 0",)
    with pytest.raises(UsageError, match="shares of train and test must be above 0"):
        splits.check((1.0, 0.0, 0.0))
