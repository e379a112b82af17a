from __future__ import annotations

import json

import pytest

from dlops.errors import UsageError
from dlops.ml.search import asked
from dlops.ml.settings import Tune
from tests.ml.search.conftest import tuned


def test_the_defaults_search_what_counts():
    whole, points = asked.read(Tune())
    assert points == ()
    assert {axis.name for axis in whole.counting(asked.fixed(Tune()))} == {
        *("learning_rate", "head_learning_rate", "batch_size")
    }
    frozen = asked.fixed(Tune(strategy="freeze"))
    assert {axis.name for axis in whole.counting(frozen)} == {"head_learning_rate", "batch_size"}
    assert "resume_from" not in frozen
    assert "trials" not in frozen


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"axes": {"trials": {"randint": [1, 2]}}}, "trials is no parameter of finetune, but of the search itself"),
        ({"axes": {"dataset": {"choice": ["a", "b"]}}}, "dataset is not searched: scores on other rows"),
        ({"axes": {"seed": {"randint": [0, 9]}}}, "the best of several seeds is luck"),
        ({"axes": {"epochs": {"randint": [1, 600]}}}, "at most 500 epochs, not 600"),
        ({"axes": {"epochs": {"choice": [1, 700]}}}, "at most 500 epochs, not 700"),
        ({"axes": {"batch_size": {"grid": [8]}}}, "grid axes (batch_size) are for search=grid"),
        ({"search": "grid"}, "search=grid needs axes of kind grid"),
        (
            {
                "axes": {
                    "strategy": {"choice": ["freeze", "lora"]},
                    "lora_rank": {"grid": [2, 4], "when": {"strategy": "lora"}},
                },
                "search": "grid",
            },
            "the grid axis lora_rank depends on strategy",
        ),
        ({"objective": "mlm"}, "objective=mlm is not searched"),
        ({"seeds": 3}, "confirm_seeds"),
        ({"nodes": 2}, "spread over the nodes"),
        ({"points": '[{"batch_size": "7"}]'}, "points: point 1: batch_size=7 is outside"),
    ],
)
def test_what_cannot_be_searched_is_refused(given, problem):
    settings = tuned(given.pop("axes", None), **given)
    with pytest.raises(UsageError) as refused:
        asked.read(settings)
    assert problem in "\n".join(refused.value.problems)


def test_all_problems_at_once():
    wrong = json.dumps({"raet": {}, "trials": {"randint": [1, 2]}})
    with pytest.raises(UsageError) as refused:
        asked.read(Tune(space=wrong, search="grid", seeds=2, points="{}"))
    assert len(refused.value.problems) == 4, "of points in a space that is wrong, nobody can tell"
    with pytest.raises(UsageError) as refused:
        asked.read(Tune(space="{}"))
    assert "the space is empty" in str(refused.value.problems)
