"""Targets by name; `local` always exists."""

from __future__ import annotations

import pytest

from dlops.errors import UsageError
from dlops.targets.names import NAMES, named


@pytest.mark.parametrize("name", NAMES)
def test_each_name_gives_a_target_of_that_name(name):
    assert named(name).name == name


def test_local_always_exists():
    assert "local" in NAMES


@pytest.mark.parametrize(
    ("name", "said"),
    [("locl", "There is no target 'locl'; did you mean 'local'?"), ("gpu", "There is no target 'gpu'.")],
)
def test_an_unknown_one_is_told_with_the_nearest(name, said):
    with pytest.raises(UsageError) as caught:
        named(name)
    assert str(caught.value) == said
