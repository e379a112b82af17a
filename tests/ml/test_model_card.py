from __future__ import annotations

import numpy as np
import pytest
import yaml

from dlops.ml import model_card, report
from dlops.ml.datasets import Dataset, Split
from dlops.ml.settings import Finetune
from tests.ml.test_evaluation import classified, numbers, several  # noqa: F401 (fixtures)
from tests.ml.test_report import evaluated, trained


def described(test, rivals=None, *, kind="classes", labels=("a", "b"), synthetic=False, model="hub/model"):
    split = Split(["x"] * 4, list(labels) * 2)
    dataset = Dataset("/tables/sample", 2, "d" * 32, "reviews.csv", synthetic, labels, split, split, split, kind)
    return report.summary(Finetune(model=model), dataset, trained(test), rivals or {}, revision="c" * 40)


def head(card):
    before, content, _ = card.split("---\n", 2)
    assert before == ""
    return yaml.safe_load(content)


def limits(found):
    return model_card.markdown(found).split("## Limits\n")[1]


def both(right, wrong, sure=0.9, rows=200):
    """Two labels with `rows` rows each, of which so many are right, and `wrong` of the second's are not."""
    predicted = [0] * right + [1] * (rows - right) + [0] * wrong + [1] * (rows - wrong)
    return classified([0] * rows + [1] * rows, predicted, ("a", "b"), sure)


def test_the_head_is_what_model_hubs_read():
    card = model_card.markdown(described(evaluated(380)))
    assert head(card) == {
        "base_model": "hub/model",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["dlops", "classes"],
    }


def test_it_tells_what_the_model_is_made_of_and_how_good_it_is():
    found = described(evaluated(380), {"majority": evaluated(200)})
    card = model_card.markdown(found)
    assert "Gives each text one of `a`, `b`, with its probability." in card
    assert f"`hub/model` at `{'c' * 40}`" in card
    assert f"data: `/tables/sample@2`, digest `{'d' * 32}`, made from reviews.csv" in card
    assert "- rows: 4 train, 4 val, 4 test" in card
    assert found["verdict"] in card
    assert "| this model | 0.950 |" in card


def test_the_intended_use_is_what_the_user_says():
    found = described(evaluated(380))
    assert "## Intended use\n\nTexts like those of the data" in model_card.markdown(found)
    card = model_card.markdown(found, intended_use="Sorting letters.")
    assert "## Intended use\n\nSorting letters.\n" in card
    assert "Texts like those of the data" not in card


def test_a_good_model_on_many_rows_has_no_limits_but_those_of_all():
    found = limits(described(both(190, 10, sure=0.95), {"majority": both(200, 200)}))
    assert found.count("\n- ") == 2
    assert "other sources, languages and times were not tested" in found
    assert "Groups of people" in found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"test": both(190, 10), "synthetic": True}, "The data is synthetic"),
        ({"test": both(190, 10), "rivals": {"bag_of_words": both(190, 9)}}, "does not beat the bag of words"),
        ({"test": both(19, 1, rows=29)}, "Fewer than 30 test rows have `a`, `b`."),
        ({"test": both(99, 0)}, "Less than half of the rows of `a` are found."),
        ({"test": both(150, 50, sure=0.99)}, "off by 0.24 on average"),
    ],
)
def test_what_the_figures_give_reason_to_doubt_is_said(given, said):
    assert said in limits(described(**given))
    assert said not in limits(described(both(190, 10, sure=0.95), {"majority": both(200, 200)}))


def test_the_bounds_of_few_and_weak():
    found = limits(described(both(15, 0, rows=30)))
    assert "Fewer than" not in found
    assert "Less than half" not in found


def test_numbers_and_several_labels(several, numbers):  # noqa: F811 (fixtures)
    card = model_card.markdown(described(numbers, kind="number", labels=()))
    assert "Gives each text a number." in card
    assert "pipeline_tag" not in head(card)
    assert head(card)["tags"] == ["dlops", "number"]
    card = model_card.markdown(described(several, kind="multilabel", labels=several.labels))
    assert "any number of `bad`, `so-so`, `good`, each with its probability" in card
    assert head(card)["pipeline_tag"] == "text-classification"


def columns(line):
    """Count the cells of a row as Markdown does: a pipe behind a backslash ends none."""
    return line.replace("\\\\", "").replace("\\|", "").count("|") - 1


@pytest.mark.parametrize("weird", ["a|b", "a`b", "``", "a\nb", "---\n- x", "\\", "a\\|b", "<b>", "é😀", "\x85\x1b[2J"])
def test_no_label_or_name_breaks_head_table_or_lists(weird):
    labels = (weird, "plain")
    test = classified(np.array([0, 1] * 20), np.array([0] * 40), labels)
    found = described(test, labels=labels, model=weird)
    card, plain = (
        model_card.markdown(found),
        model_card.markdown(
            described(
                test := classified(np.array([0, 1] * 20), np.array([0] * 40), ("other", "plain")),
                labels=("other", "plain"),
            )
        ),
    )
    assert head(card)["base_model"] == weird
    assert len(card.split("---\n", 2)[2].splitlines()) == len(plain.split("---\n", 2)[2].splitlines())
    (line,) = [line for line in card.splitlines() if line.endswith(" | 0.500 | 1.000 | 0.667 | 20 |")]
    assert columns(line) == 5
    assert "<b>" not in line.replace("\\<b>", "")
    assert "\x1b" not in card


def test_backticks_in_a_label_end_no_code():
    labels = ("a`b", "`")
    card = model_card.markdown(described(classified([0, 1], [0, 1], labels), labels=labels))
    assert "one of ``a`b``, `` ` ``, with" in card
