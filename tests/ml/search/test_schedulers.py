from __future__ import annotations

import pytest

from dlops.ml.search import schedulers
from dlops.ml.search.schedulers import Asha, Hyperband, Median, Scheduler
from tests.ml.search.conftest import trial, tuned


def allowed(scheduler, new, *others):
    everybody = [*(trial(number, scores) for number, scores in enumerate(others)), new]
    return scheduler.goes_on(new, everybody)


def test_asha_lets_the_best_share_go_on_at_each_halt():
    asha = Asha(grace=1, reduction=3)
    others = [[0.5], [0.6], [0.7], [0.8], [0.9]]
    assert allowed(asha, trial(5, [0.95]), *others), "the best of six"
    assert allowed(asha, trial(5, [0.85]), *others), "the second of six: a third are two"
    assert not allowed(asha, trial(5, [0.75]), *others)
    assert not allowed(asha, trial(5, [0.8]), *others), "of those that are alike, the first"
    assert allowed(asha, trial(5, [0.75, 0.1]), *others), "two epochs are no halt"
    assert not allowed(asha, trial(5, [0.1, 0.2, 0.3]), [0.1, 0.2, 0.9]), "three are one"
    assert allowed(asha, trial(5, [0.1, 0.9, 0.3]), [0.1, 0.2, 0.8]), "the best epoch so far counts"


def test_asha_keeps_nobody_waiting():
    asha = Asha(grace=2, reduction=4)
    assert allowed(asha, trial(0, [0.1]))
    assert allowed(asha, trial(0, [0.1, 0.1])), "the first at a halt goes on"
    assert not allowed(asha, trial(1, [0.05, 0.05]), [0.1, 0.1])


def test_hyperband_gives_some_trials_more_time():
    hyperband = Hyperband(grace=1, reduction=3, epochs=9)
    assert hyperband.brackets == 3
    bad = [0.1]
    others = [[0.9, 0.9, 0.9]] * 3
    assert not allowed(hyperband, trial(3, bad), *others), "bracket 0 halts after an epoch"
    assert allowed(hyperband, trial(4, bad), *others), "bracket 1 after three"
    assert not allowed(hyperband, trial(4, bad * 3), *others)
    assert allowed(hyperband, trial(5, bad * 3), *others), "bracket 2 not before the end"
    assert Hyperband(grace=2, reduction=3, epochs=1).brackets == 1


def test_median_ends_what_is_below_the_others_average():
    rule = Median(grace=2)
    others = [[0.4, 0.6], [0.5, 0.7], [0.6, 0.8]]  # means 0.5, 0.6, 0.7
    assert allowed(rule, trial(3, [0.1]), *others), "in its grace"
    assert not allowed(rule, trial(3, [0.1, 0.59]), *others)
    assert allowed(rule, trial(3, [0.61, 0.1]), *others), "its best epoch counts"
    assert allowed(rule, trial(3, [0.1, 0.1]), *others[:2]), "two others are too few"


@pytest.mark.parametrize(
    ("name", "kind"), [("asha", Asha), ("hyperband", Hyperband), ("median", Median), ("none", Scheduler)]
)
def test_the_settings_choose(name, kind):
    found = schedulers.of(tuned(scheduler=name, grace_epochs=2, reduction=4), 9)
    assert type(found) is kind
    if name in ("asha", "hyperband"):
        assert (found.grace, found.reduction) == (2, 4)


def test_without_a_scheduler_everything_goes_on():
    assert allowed(Scheduler(), trial(1, [0.0]), [1.0], [1.0])
