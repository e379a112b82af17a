from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlops.errors import StepFailed
from dlops.ml import targets
from dlops.ml.masked_tokens import IGNORED
from dlops.ml.targets import Classes, MaskedTokens, Number, SeveralClasses


def test_one_class_a_row():
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    encoded = target.encode(["b", "a"])
    assert encoded.tolist() == [1, 0]
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    assert target.loss(logits, encoded).item() == pytest.approx(nn.functional.cross_entropy(logits, encoded).item() * 2)
    found = target.evaluation(logits, encoded)
    assert found.figures["accuracy"] == 1
    assert found.probabilities[0].tolist() == pytest.approx(logits[0].softmax(0).tolist())


def test_several_classes_a_row():
    target = targets.of("multilabel", ("a", "b", "c"), [["a"], []])
    encoded = target.encode([["c", "a"], []])
    assert encoded.tolist() == [[1, 0, 1], [0, 0, 0]]
    logits = torch.tensor([[2.0, -1.0, 3.0], [-2.0, -2.0, 1.0]])
    expected = nn.functional.binary_cross_entropy_with_logits(logits, encoded).item()
    assert target.loss(logits, encoded).item() == pytest.approx(2 * expected)
    assert target.evaluation(logits, encoded).figures["accuracy"] == 0.5


def test_a_number_is_trained_in_units_of_its_spread_and_judged_in_its_own():
    target = targets.of("number", (), [10.0, 20.0, 30.0])
    encoded = target.encode([10.0, 20.0, 30.0])
    assert encoded.mean().item() == pytest.approx(0)
    assert encoded.std(correction=0).item() == pytest.approx(1)
    found = target.evaluation(encoded.unsqueeze(1), encoded)
    assert found.predicted.tolist() == pytest.approx([10, 20, 30])
    assert found.figures["rmse"] == pytest.approx(0, abs=1e-5)
    last = nn.Linear(4, 1)
    rows = torch.randn(5, 4)
    before = last(rows)
    target.in_its_own_units(last)
    torch.testing.assert_close(last(rows), before * target.deviation + target.mean)


def test_numbers_that_are_all_alike_are_no_division_by_zero():
    assert targets.of("number", (), [3.0, 3.0]).encode([4.0]).tolist() == [1.0]


def test_rare_classes_can_count_as_much_as_frequent_ones():
    target = targets.of("classes", ("a", "b", "never"), ["a", "a", "a", "b"], balanced=True)
    assert isinstance(target, Classes)
    assert target.weights.tolist() == pytest.approx([4 / 6, 2.0, 1.0])
    several = targets.of("multilabel", ("a", "b"), [["a"], ["a"], ["a", "b"], []], balanced=True)
    assert isinstance(several, SeveralClasses)
    assert several.weights.tolist() == pytest.approx([1 / 3, 3.0])
    known = targets.of("multilabel", ("all", "none", "half"), [["all", "half"], ["all"]], balanced=True)
    assert known.weights.tolist() == [1.0, 1.0, 1.0], "what each row has is learned too"
    logits = torch.zeros(1, 3)
    rare, usual = (target.loss(logits, target.encode([name])).item() for name in ("b", "a"))
    assert rare == pytest.approx(3 * usual)


@pytest.mark.parametrize("kind", ["classes", "multilabel", "number"])
def test_what_transformers_calls_it(kind):
    names = {"classes": "single_label", "multilabel": "multi_label"}
    target = targets.of(kind, ("a", "b"), {"classes": ["a", "b"], "multilabel": [["a"]], "number": [1.0]}[kind])
    assert target.problem_type == (f"{names[kind]}_classification" if kind in names else "regression")
    assert target.kind == kind
    assert isinstance(target, Number) == (len(target.names) == 1)


def test_hidden_tokens_are_judged_row_by_row():
    target = MaskedTokens()
    assert target.encode(["x"] * 3).tolist() == [0, 1, 2]
    wanted = torch.full((3, 4), IGNORED)
    wanted[0, 1], wanted[0, 2], wanted[2, 3] = 1, 0, 2
    logits = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 1.0, 1.0]])
    apart = nn.functional.cross_entropy(logits, torch.tensor([1, 0, 2]), reduction="none").tolist()
    assert target.weight(wanted) == 3
    assert target.loss(logits, wanted).item() == pytest.approx(sum(apart))
    losses, hidden = target.answers(logits, wanted)
    assert losses.tolist() == pytest.approx([apart[0] + apart[1], 0, apart[2]])
    assert hidden.tolist() == [2, 0, 1]
    found = target.evaluation(losses, hidden)
    assert (found.rows, found.loss) == (3, pytest.approx(sum(apart) / 3))
    assert found.figures == {"perplexity": pytest.approx(np.exp(sum(apart) / 3))}


def test_rows_in_which_nothing_is_hidden_cannot_be_judged():
    target, wanted = MaskedTokens(), torch.full((2, 4), IGNORED)
    answers = target.answers(torch.zeros(0, 3), wanted)
    assert (target.weight(wanted), target.loss(torch.zeros(0, 3), wanted).item()) == (0, 0)
    with pytest.raises(StepFailed, match="can be hidden") as caught:
        target.evaluation(*answers)
    assert caught.value.hint
