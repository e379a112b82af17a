from __future__ import annotations

import pytest

from dlops.errors import UsageError
from dlops.ml import combinations
from dlops.ml.datasets import Dataset, Split
from dlops.ml.settings import Finetune


def problems(**given):
    with pytest.raises(UsageError) as caught:
        combinations.check(Finetune(**given))
    return list(caught.value.problems)


def test_all_that_means_nothing_without_labels_is_told_at_once():
    found = problems(objective="mlm", strategy="freeze", head="mean", class_weights="balanced", seeds=2)
    assert [problem.partition(" ")[0] for problem in found] == [
        *("strategy=freeze", "head=mean", "class_weights=balanced", "seeds=2")
    ]
    assert "lora" in found[0]


@pytest.mark.parametrize("strategy", ["freeze_unfreeze", "unfreeze_milestones"])
def test_stages_are_for_heads(strategy):
    (problem,) = problems(objective="mlm", strategy=strategy, epochs=3)
    assert problem.startswith(f"strategy={strategy} means nothing")


@pytest.mark.parametrize("strategy", ["no_freeze", "lora"])
def test_the_rest_goes_without_labels(strategy):
    combinations.check(Finetune(objective="mlm", strategy=strategy, epochs=9, mask_share=0.3))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategy": "unfreeze_milestones"}, "unfreeze=1,2 needs epochs=3 at least, not 2"),
        ({"strategy": "freeze_unfreeze", "unfreeze": (5,), "epochs": 3}, "unfreeze=5 needs epochs=6 at least, not 3"),
        ({"strategy": "unfreeze_milestones", "unfreeze": (3, 1), "epochs": 9}, "unfreeze=3,1 names no two epochs"),
        ({"strategy": "unfreeze_milestones", "unfreeze": (1,), "epochs": 9}, "unfreeze=1 names no two epochs"),
        ({"strategy": "unfreeze_milestones", "unfreeze": (1, 2, 4), "epochs": 9}, "unfreeze=1,2,4 names no two"),
    ],
)
def test_a_stage_that_never_comes_is_refused(given, told):
    (problem,) = problems(**given)
    assert problem.startswith(told)


@pytest.mark.parametrize(
    "given",
    [
        {"strategy": "unfreeze_milestones", "epochs": 3},
        {"strategy": "freeze_unfreeze"},
        {"strategy": "no_freeze", "unfreeze": (7, 3)},
    ],
)
def test_a_stage_that_comes_and_one_that_nobody_asked_for_are_not(given):
    combinations.check(Finetune(**given))


def unused(kind="classes", val=3, **given):
    splits = [Split(["a"] * count, [0] * count) for count in (3, val, 3)]
    return combinations.unused(Finetune(**given), Dataset("/t", 0, "d", "s", False, ("a", "b"), *splits, kind))


def test_by_default_there_is_nothing_to_say():
    assert unused() == unused(strategy="freeze") == unused("number", 0) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategy": "freeze", "learning_rate": 1e-5}, "learning_rate=1e-05 changes nothing: strategy=freeze"),
        ({"strategy": "freeze", "devices": 2}, "devices=2 changes nothing: strategy=freeze trains a head on one"),
        ({"strategy": "freeze", "nodes": 2}, "nodes=2 changes nothing: strategy=freeze trains a head on one"),
        ({"lora_rank": 4}, "lora_rank=4 changes nothing: strategy=no_freeze"),
        ({"strategy": "lora", "unfreeze": (3,)}, "unfreeze=3 changes nothing: strategy=lora"),
        (
            {"strategy": "freeze_unfreeze", "unfreeze_layers": 3},
            "unfreeze_layers=3 changes nothing: strategy=",
        ),
        ({"batch_tokens": 512, "batch_size": 8}, "batch_size=8 changes nothing: batch_tokens=512"),
        ({"mask_share": 0.3}, "mask_share=0.3 changes nothing: objective=labels"),
        ({"objective": "mlm", "intended_use": "x"}, "intended_use=x changes nothing: objective=mlm"),
        ({"kind": "number", "class_weights": "balanced"}, "class_weights=balanced changes nothing: the labels are"),
        ({"val": 0, "early_stopping": 2}, "early_stopping=2 changes nothing: there are no val rows"),
    ],
)
def test_what_changes_nothing_is_told(given, told):
    (found,) = unused(**given)
    assert found.startswith(told)


@pytest.mark.parametrize(
    "given",
    [
        {"strategy": "lora", "lora_rank": 4},
        {"strategy": "unfreeze_milestones", "unfreeze_layers": 3, "unfreeze": (1, 3)},
        {"class_weights": "balanced", "early_stopping": 1, "learning_rate": 1e-5, "devices": 2},
        {"objective": "mlm", "mask_share": 0.3},
    ],
)
def test_what_has_its_part_is_not(given):
    assert unused(**given) == []
