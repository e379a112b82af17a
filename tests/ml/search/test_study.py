from __future__ import annotations

import json
import math

import pytest

from tests.ml.search.conftest import SPACE, studied, trial, tuned


def never(_values):
    return False


def score(values):
    return round(0.9 - 0.1 * abs(math.log10(float(values["head_learning_rate"])) + 2), 6)


def searched(study, count, before=()):
    """Try so many, each by how near its rate is to 0.01; give the trials."""
    found = list(before)
    for one in found:
        study.tell(one)
    while len(found) < count:
        values = study.ask([one.values for one in found], never)
        if values is None:
            break
        found.append(trial(len(found), [score(values) - 0.1, score(values)], **values))
        study.tell(found[-1])
    return found


@pytest.mark.parametrize("search", ["tpe", "random"])
def test_the_defaults_are_first_then_the_points_then_what_is_drawn(search):
    study = studied(tuned(search=search, points='[{"batch_size": "8", "head_learning_rate": "0.05"}]'))
    found = searched(study, 12)
    assert found[0].values == {"head_learning_rate": "0.001", "batch_size": "16"}
    assert found[1].values == {"head_learning_rate": "0.05", "batch_size": "8"}
    assert {one.values["batch_size"] for one in found} == {"8", "16", "32"}
    for one in found:
        rate = one.values["head_learning_rate"]
        assert 1e-4 <= float(rate) <= 1e-1
        assert float(rate) == float(f"{float(rate):.4g}"), "people type it again"
    assert study.size is None


@pytest.mark.parametrize("search", ["tpe", "random"])
@pytest.mark.parametrize("done", [1, 7, 19])
def test_a_search_that_goes_on_tries_what_it_would_have_tried(search, done):
    settings = tuned(search=search, seed=3)
    whole = searched(studied(settings), 20)
    resumed = searched(studied(settings), 20, before=whole[:done])
    assert [one.values for one in resumed] == [one.values for one in whole]
    other = searched(studied(tuned(search=search, seed=4)), 20)
    assert [one.values for one in other] != [one.values for one in whole]


def test_tpe_learns_where_it_goes_well():
    by_chance = searched(studied(tuned(search="random")), 40)
    learned = searched(studied(tuned(search="tpe")), 40)

    def late(found):
        return sum(one.score for one in found[20:]) / 20

    assert late(learned) > late(by_chance) + 0.02


def test_a_grid_is_gone_through_once():
    axes = {
        "batch_size": {"grid": ["8", "16"]},
        "strategy": {"grid": ["freeze", "lora"]},
        "lora_rank": {"grid": ["2", "4"], "when": {"strategy": "lora"}},
        "head_learning_rate": {"loguniform": ["1e-4", "1e-1"]},
    }
    study = studied(tuned(axes, search="grid"))
    found = searched(study, 99)
    pairs = [tuple(one.values.get(name, "") for name in ("batch_size", "strategy", "lora_rank")) for one in found]
    grid = {
        *(("8", "freeze", ""), ("16", "freeze", "")),
        *((rows, "lora", rank) for rows in ("8", "16") for rank in ("2", "4")),
    }
    assert set(pairs) == grid
    assert len(pairs) == len(grid) == study.size - 1, "the defaults are one of them, and are not tried again"


def test_what_was_tried_is_not_tried_again_and_a_small_space_ends():
    study, tried = studied(tuned({"batch_size": {"choice": ["8", "16", "32"]}}, search="random")), []
    while (values := study.ask(tried, never)) is not None:
        tried.append(values)
        study.tell(trial(len(tried) - 1, [0.5], **values))
    assert sorted(values["batch_size"] for values in tried) == ["16", "32", "8"]


def test_what_is_refused_is_passed_over():
    study = studied(tuned(search="random", points='[{"batch_size": "32"}]'))
    tried = [study.defaults()]
    for _ in range(8):
        values = study.ask(tried, lambda values: values["batch_size"] == "32")
        assert values["batch_size"] != "32"
        tried.append(values)


def test_tpe_keeps_away_from_what_failed():
    study, found = studied(tuned(search="tpe", seed=1)), []
    for number in range(40):
        values = study.ask([one.values for one in found], never)
        failed = float(values["head_learning_rate"]) > 1e-2
        status = "out_of_memory" if failed else "finished"
        found.append(trial(number, [] if failed else [0.5 + number * 1e-4], status=status, **values))
        study.tell(found[-1])
    early, late = found[5:15], found[25:]
    assert sum(one.status == "finished" for one in late) / len(late) > 0.85
    assert any(one.status == "out_of_memory" for one in early)


def test_values_are_conditional_on_each_other():
    axes = {
        "lora_rank": {"randint": [2, 16], "when": {"strategy": "lora"}},
        "strategy": {"choice": ["freeze", "lora"]},
    }
    study, tried = studied(tuned(axes, search="tpe")), []
    for number in range(12):
        tried.append(study.ask(tried, never))
        study.tell(trial(number, [0.1 * number], **tried[-1]))
    assert all(("lora_rank" in values) == (values["strategy"] == "lora") for values in tried)
    assert {values["strategy"] for values in tried} == {"freeze", "lora"}


def test_defaults_outside_of_the_space_are_tried_all_the_same():
    axes = {"head_learning_rate": {"uniform": ["0.01", "0.1"]}}
    study = studied(tuned(axes))
    found = [study.ask([], never)]
    assert found == [{"head_learning_rate": "0.001"}]
    study.tell(trial(0, [0.9], **found[0]))
    assert study.ask(found, never) is not None
    assert study.importance() == {}


@pytest.mark.parametrize(
    ("axes", "point", "expected"),
    [
        ({"weight_decay": {"uniform": [0, 0.5]}}, {"weight_decay": "0"}, {"weight_decay": "0.0"}),
        ({"weight_decay": {"uniform": [0, 0.5]}}, {"weight_decay": "0.0123456"}, {"weight_decay": "0.0123456"}),
        (
            {
                "strategy": {"choice": ["no_freeze", "lora"]},
                "lora_rank": {"randint": [2, 16], "when": {"strategy": "lora"}},
            },
            {"strategy": "no_freeze", "lora_rank": "4"},
            {"strategy": "no_freeze"},
        ),
    ],
)
def test_a_point_is_tried_once_as_it_was_written(axes, point, expected):
    study = studied(tuned(axes, points=json.dumps([point]), search="random"))
    tried = [study.ask([], never)]
    for _ in range(4):
        tried.append(study.ask(tried, never))
    assert tried.count(expected) == 1
    assert expected in tried[:2]
    assert len({json.dumps(values) for values in tried}) == 5


def test_steps_are_kept_to_the_last_digit():
    study, tried = studied(tuned({"warm_up": {"quniform": [0, 0.2, 0.00125]}}, search="random")), []
    for number in range(20):
        tried.append(study.ask(tried, never))
        study.tell(trial(number, [float(tried[-1]["warm_up"])], **tried[-1]))
    steps = [float(values["warm_up"]) / 0.00125 for values in tried[1:]]
    assert all(abs(step - round(step)) < 1e-9 for step in steps)


def test_trials_that_failed_say_nothing_of_what_decides():
    study, tried = studied(tuned(search="random")), []
    for number in range(20):
        tried.append(study.ask(tried, never))
        failed = number % 2 == 1
        status = "failed" if failed else "finished"
        study.tell(trial(number, [] if failed else [-50.0], status=status, **tried[-1]))
    assert study.importance() == {}


def test_importance_names_what_decides():
    study = studied(tuned(search="random"))
    searched(study, 30)
    shares = study.importance()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["head_learning_rate"] > 0.8
    assert set(shares) == set(SPACE)
