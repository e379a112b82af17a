from __future__ import annotations

import math

from dlops.ml.search.trials import Trial, best
from tests.ml.search.conftest import trial


def test_a_trial_is_worth_its_best_epoch():
    new = Trial(0, {})
    assert (new.score, new.best_epoch, new.counts) == (-math.inf, 0, False)
    for score in (0.51234567, 0.7, 0.7, 0.6):
        new.note(score)
    assert new.scores[0] == 0.512346
    assert (new.score, new.best_epoch, new.up_to(1)) == (0.7, 2, 0.512346)


def test_the_best_are_finished_and_the_first_of_those_that_are_alike():
    found = best([trial(0, [0.5]), trial(1, [0.9], status="pruned"), trial(2, [0.7]), trial(3, [0.7])], 2)
    assert [one.number for one in found] == [2, 3]
