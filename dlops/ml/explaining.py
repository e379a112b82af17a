"""How texts are explained: by which method, and a shard of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlops.errors import StepFailed
from dlops.ml.attributions import faithfulness, methods
from dlops.ml.attributions.faithfulness import Faithfulness
from dlops.ml.attributions.masked_text import MaskedText
from dlops.ml.attributions.methods import Attribution, Method
from dlops.ml.attributions.scoring import Scorer
from dlops.ml.datasets import Split
from dlops.ml.explainable import Explainable
from dlops.ml.explanations import Explanation
from dlops.ml.settings import Explain

SHARD = 64
"""Texts that are explained, and kept, together."""
_SIDE_BY_SIDE = 16
"""Texts whose masked variants share passes through the model."""
_SAMPLE = 8
"""Texts that both methods explain, where the better one is to be found."""


@dataclass(frozen=True)
class Reject:
    """A text that cannot be explained, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """Which method explains, and what it was preferred for."""

    method: Method
    why: str
    drops: dict[str, float]
    """By method, how much the output falls on average when its top fifth of the tokens is hidden."""


@dataclass(frozen=True)
class Text:
    """A text that can be explained, and what is known of it."""

    id: str
    label: Any
    whole: str
    """As it is before this model cleans and cuts it."""
    masked: MaskedText


def taken(model: Explainable, split: Split) -> tuple[list[Text], list[Reject]]:
    """Take texts apart; those of which nothing could be hidden are rejected, with the reason."""
    found, rejected = [], []
    labels = split.labels or [None] * len(split)
    for name, text, label in zip(split.ids(), split.texts, labels, strict=True):
        cleaned = model.cleaned(text)
        if not cleaned.strip():
            rejected.append(Reject(name, "the text is empty"))
            continue
        masked = model.masker.of(model.masker.cut(cleaned))
        if masked is None:
            rejected.append(Reject(name, "the tokenizer finds no token in the text"))
        else:
            found.append(Text(name, label, text, masked))
    return found, rejected


def choose(model: Explainable, split: Split, settings: Explain) -> Choice:
    """Find the method that explains: the asked one, or the fastest that is as faithful as SHAP on a sample."""
    if settings.method != "auto":
        return Choice(settings.method, f"method={settings.method} was asked for", {})
    texts, _ = taken(model, split.at(range(min(_SAMPLE, len(split)))))
    if not texts:
        return Choice("integrated_gradients", "there is no text to compare methods on", {})
    wanted = targets(model, texts, settings)
    drops: dict[str, float] = {}
    both: tuple[Method, ...] = ("integrated_gradients", "shap")
    for method in both:
        found = attributed(model.scorer, [text.masked for text in texts], wanted, method, settings)
        drops[method] = faithful(model.scorer, texts, found).means()["comprehensiveness"]
    fast, slow = drops["integrated_gradients"], drops["shap"]
    outputs = model.scorer.scores([text.masked.text for text in texts])
    margin = settings.margin * (float(outputs.std()) or 1.0 if model.kind == "regression" else 1.0)
    told = f"on {len(texts)} texts the output falls by {fast:.3f} without its top tokens, by {slow:.3f} without SHAP's"
    if fast >= slow - margin:
        return Choice("integrated_gradients", f"{told}: as faithful, and many times faster", drops)
    return Choice("shap", f"{told}: gradients are less faithful by more than {margin:.3g}", drops)


def targets(model: Explainable, texts: Sequence[Text], settings: Explain) -> list[int]:
    """Give the place of the label that is explained for each text."""
    if settings.label is not None:
        return [model.place(settings.label)] * len(texts)
    return methods.targets(model.scorer.scores([text.masked.text for text in texts]))


def attributed(
    scorer: Scorer, texts: Sequence[MaskedText], wanted: Sequence[int], method: Method, settings: Explain
) -> list[Attribution]:
    """Attribute the model's answers by a method."""
    if method == "shap":
        return methods.shap(scorer, texts, wanted, evaluations=settings.max_evals, seconds=settings.time_limit)
    return methods.integrated_gradients(scorer, texts, wanted, steps=settings.steps)


def explained(
    model: Explainable, texts: Sequence[Text], method: Method, settings: Explain
) -> Iterator[list[Explanation]]:
    """Explain texts, some at a time."""
    for start in range(0, len(texts), _SIDE_BY_SIDE):
        some = texts[start : start + _SIDE_BY_SIDE]
        wanted = targets(model, some, settings)
        found = attributed(model.scorer, [text.masked for text in some], wanted, method, settings)
        yield [
            Explanation.of(
                one,
                id=text.id,
                label=text.label,
                target=(target := model.labels[one.target]),
                disagrees=settings.label is None and _disagrees(model.kind, text.label, target),
            )
            for text, one in zip(some, found, strict=True)
        ]


def _disagrees(kind: str, label: Any, target: str) -> bool:
    """Say whether the data has another label than the model's likeliest one."""
    if label is None or kind == "regression":
        return False
    return target not in label if isinstance(label, list) else str(label) != target


def of_labels(
    other: Explainable, texts: Sequence[Text], mine: Sequence[Explanation], method: Method, settings: Explain
) -> list[Explanation]:
    """Let another model explain texts for the labels that explanations of them are of, which it must know.

    Raises:
        StepFailed: it finds no token in one of them.
    """
    found = []
    for text, one in zip(texts, mine, strict=True):
        masked = other.masker.of(other.masker.cut(other.cleaned(text.whole)))
        if masked is None:
            raise StepFailed(f"against={other.reference} finds no token in row {text.id}.")
        place = other.place(one.target)
        (given,) = attributed(other.scorer, [masked], [place], method, settings)
        found.append(Explanation.of(given, id=text.id, label=text.label, target=one.target))
    return found


def trusted(model: Explainable, rows: Sequence[Explanation], seed: int) -> tuple[Faithfulness, Faithfulness]:
    """Hold explanations, and orders by chance, against what the model makes of texts without their top tokens."""
    masked = [model.masker.of(one.text) for one in rows]
    texts = [Text(one.id, one.label, one.text, text) for one, text in zip(rows, masked, strict=True) if text]
    wanted = [model.labels.index(one.target) for one in rows]
    orders = [faithfulness.order(text.masked, one.values) for text, one in zip(texts, rows, strict=True)]
    judged = faithfulness.judge(model.scorer, [text.masked for text in texts], orders, wanted)
    return judged, by_chance(model.scorer, texts, wanted, seed)


def faithful(scorer: Scorer, texts: Sequence[Text], found: Sequence[Attribution]) -> Faithfulness:
    """Hold attributions against what the model makes of texts without their top tokens."""
    masked = [text.masked for text in texts]
    orders = [faithfulness.order(text, one.values) for text, one in zip(masked, found, strict=True)]
    return faithfulness.judge(scorer, masked, orders, [one.target for one in found])


def by_chance(scorer: Scorer, texts: Sequence[Text], wanted: Sequence[int], seed: int) -> Faithfulness:
    """Give what an order of tokens comes to that is drawn by chance: the floor of any method."""
    generator = np.random.default_rng(seed)
    masked = [text.masked for text in texts]
    return faithfulness.judge(scorer, masked, [faithfulness.chance(text, generator) for text in masked], wanted)
