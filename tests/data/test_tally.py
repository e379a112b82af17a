from __future__ import annotations

from dataclasses import dataclass

from dlops.data.tally import Tally


@dataclass
class Seen(Tally):
    rows: int = 0
    words: int = 0


def test_each_count_is_the_sum_of_its_own():
    seen, more = Seen(1, 20), Seen(words=5)
    seen.add(more)
    assert (seen, more) == (Seen(1, 25), Seen(0, 5))
