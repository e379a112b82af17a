"""Attributions held against shap's own explainer, and against what is known of gradients."""

from __future__ import annotations

import ast
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dlops.ml import attributions
from dlops.ml.attributions import faithfulness, methods, owen
from dlops.ml.attributions.masked_text import Masker
from dlops.ml.attributions.scoring import Scorer

TEXTS = [
    "the film was good and the acting was great",
    "a dull plot the film was awful and bad not good",
    "lovely",
    "the plot was the acting the film",
]


@pytest.fixture
def scorer(loaded):
    network, tokenizer = loaded
    return Scorer(network.inner, tokenizer, kind="single_label_classification")


@pytest.fixture
def masked(scorer):
    masker = Masker(scorer.tokenizer)
    return [masker.of(masker.cut(text)) for text in TEXTS]


def test_what_travels_stands_alone():
    for file in Path(attributions.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
        foreign = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
        assert foreign <= {"numpy", "torch", "shap", "captum"}, file


@pytest.mark.parametrize("evaluations", [500, 20])
@pytest.mark.filterwarnings("ignore")
def test_owen_values_are_shaps(scorer, masked, evaluations):
    import shap
    from transformers import pipeline

    model = pipeline("text-classification", model=scorer.model, tokenizer=scorer.tokenizer, top_k=None, device=-1)
    explainer = shap.Explainer(model, silent=True)
    ours = methods.shap(scorer, masked, [1] * len(masked), evaluations=evaluations)
    for text, found in zip(TEXTS, ours, strict=True):
        theirs = explainer([text], batch_size=methods.TOGETHER, max_evals=evaluations)
        assert found.values == pytest.approx(theirs.values[0][:, 1], abs=1e-4)
        assert found.base == pytest.approx(theirs.base_values[0][1], abs=1e-5)
        assert found.error < 1e-6


def test_owen_values_of_a_sum_are_its_parts():
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    tree = np.array([[0, 1, 0.5, 2], [2, 3, 0.5, 2], [4, 5, 1.0, 4]])
    for evaluations in (100, 4):
        row = owen.row(tree, evaluations=evaluations, together=2)
        (found,) = owen.explain([row], lambda asked: {place: masks @ weights for place, masks in asked.items()})
        assert found.values.sum() == pytest.approx(weights.sum())
        assert found.output - found.base == pytest.approx(weights.sum())
        if evaluations == 100:
            assert found.values == pytest.approx(weights)


def test_values_that_are_late_still_add_up():
    weights = np.arange(8.0)
    parts = [[0, 1, 1, 2], [8, 2, 1, 3], [9, 3, 1, 4], [10, 4, 1, 5], [11, 5, 1, 6], [12, 6, 1, 7], [13, 7, 1, 8]]
    tree = np.array(parts, float)
    row = owen.row(tree, evaluations=1000, together=2)
    (found,) = owen.explain([row], lambda asked: {p: m @ weights for p, m in asked.items()}, until=time.monotonic())
    assert found.values.sum() == pytest.approx(weights.sum())
    assert len(set(found.values.round(6))) == 1, "nothing but the whole is known: each token has its share"


def test_equal_texts_are_read_once(scorer):
    found = scorer.scores(["good", "bad", "good", "good"])
    assert scorer.asked == 2
    assert found[0].tolist() == found[2].tolist() == found[3].tolist()
    assert found.sum(axis=1) == pytest.approx(np.ones(4))


def test_texts_of_any_length_keep_their_places(scorer):
    texts = ["good " * count + "bad" for count in (9, 1, 30, 2, 7, 0, 55)]
    together = scorer.scores(texts)
    for text, scores in zip(texts, together, strict=True):
        assert scorer.scores([text])[0] == pytest.approx(scores, abs=1e-5)


def test_gradients_come_to_the_difference(scorer, masked):
    found = methods.integrated_gradients(scorer, masked, [1] * len(masked), steps=64)
    for one in found:
        assert one.error < 5e-3
        assert one.values[0] == one.values[-1] == 0, "what the tokenizer adds is never hidden"


def test_masks_hide_words(masked, scorer):
    text = masked[0]
    mask = np.ones(len(text), bool)
    mask[2] = False
    assert text.masked(mask[None]) == ["the [MASK]was good and the acting was great"]
    assert text.hidden.count("[MASK]") == int((~text.kept).sum())
    assert text.only([1, 2], 2).sum() == 2
    assert text.without([1, 2], 1).sum() == len(text) - 1


def test_the_text_is_cut_where_the_model_stops_reading(scorer):
    masker = Masker(scorer.tokenizer)
    cut = masker.cut("good " * 500)
    assert len(scorer.tokenizer(cut)["input_ids"]) == scorer.tokenizer.model_max_length
    assert masker.cut("good film") == "good film"


def test_an_order_that_knows_is_more_faithful_than_chance(scorer, masked):
    found = methods.shap(scorer, masked, wanted := [1] * len(masked), evaluations=500)
    orders = [faithfulness.order(text, one.values) for text, one in zip(masked, found, strict=True)]
    worst = [order[::-1] for order in orders]
    good, bad = (faithfulness.judge(scorer, masked, some, wanted).means() for some in (orders, worst))
    assert good["comprehensiveness"] > bad["comprehensiveness"]
    assert good["deletion"] < bad["deletion"]
    assert good["sufficiency"] < bad["sufficiency"]


def test_a_letter_of_several_tokens_is_shown_once(tmp_path):
    """Byte-level tokenizers give each byte of a letter the whole letter's place."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=9)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    masker = Masker(tokenizer)
    text = masker.of("ok\n\nno \N{GRINNING FACE}")
    assert "".join(text.segments) == "ok\n\nno \N{GRINNING FACE}"
    assert text.masked(np.ones((1, len(text)), bool)) == [text.text]
    assert text.hidden == "...", "runs of hidden tokens are one mark where there is no mask token"
    cut = masker.cut("seven l\N{GRINNING FACE}etters")
    assert cut == "seven l", "a letter that does not fit as a whole is left out"
    assert masker.of("") is None
    assert len(masker.of("a").clustering) == 0


def test_unknown_words_are_hidden_too(scorer):
    masker = Masker(scorer.tokenizer)
    text = masker.of("unheard good film")
    values = scorer.gradients([text.ids], [text.kept], [1], steps=8)[0]
    assert values[1] != 0


def test_padding_is_no_text(scorer):
    scorer.tokenizer.padding_side = "left"
    again = Scorer(scorer.model, scorer.tokenizer, kind=scorer.kind)
    masker = Masker(again.tokenizer)
    texts = [masker.of("good film"), masker.of("the film was good and the acting was great")]
    ids, kept = [text.ids for text in texts], [text.kept for text in texts]
    together = again.gradients(ids, kept, [1, 1], steps=8)
    alone = again.gradients(ids[:1], kept[:1], [1], steps=8)
    assert together[0] == pytest.approx(alone[0], abs=1e-5)
