from __future__ import annotations

import pytest

from dlops.ml.search import outgrown

LARGE = {"max_length": "256", "strategy": "no_freeze", "learning_rate": "0.1"}


@pytest.mark.parametrize(
    ("values", "reaches"),
    [
        ({**LARGE}, True),
        ({**LARGE, "max_length": "512", "learning_rate": "0.2"}, True),
        ({**LARGE, "max_length": "128"}, False),
        ({**LARGE, "strategy": "lora"}, False),
        ({"max_length": "512"}, False),
    ],
)
def test_more_of_the_same_needs_no_less_memory(values, reaches):
    assert outgrown.reaches(values, LARGE) == reaches


def test_nothing_follows_from_what_does_not_decide():
    assert not outgrown.reaches({"learning_rate": "0.1"}, {"learning_rate": "0.1"})
