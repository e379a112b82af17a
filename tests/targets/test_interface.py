"""Every target offers what the launcher asks of one, in the same words."""

from __future__ import annotations

import inspect

import pytest

from dlops.targets import interface
from dlops.targets.dry_run import DryRun, Planned
from dlops.targets.local import Local, LocalRun


def methods(kind):
    return {
        name: tuple(inspect.signature(value).parameters)
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (Local, interface.Target),
        (DryRun, interface.Target),
        (LocalRun, interface.Launched),
        (Planned, interface.Launched),
    ],
)
def test_offers_what_is_asked(kind, asked):
    assert methods(asked)
    assert methods(asked).items() <= methods(kind).items()
