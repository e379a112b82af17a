"""How texts are explained: by which method, and a shard of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from dlops.ml.evaluation import Array
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
            found.append(Text(name, label, masked))
    return found, rejected


def choose(model: Explainable, split: Split, settings: Explain) -> Choice:
    """Find the method that explains: the asked one, or the fastest that is as faithful as SHAP on a sample."""
    if settings.method != "auto":
        return Choice(settings.method, f"method={settings.method} was asked for", {})
    texts, _ = taken(model, split.at(range(min(_SAMPLE, len(split)))))
    if not texts:
        return Choice("integrated_gradients", "there is no text to compare methods on", {})
    masked, wanted = [text.masked for text in texts], targets(model, texts, settings)
    drops: dict[str, float] = {}
    for method in methods.METHODS:
        found = attributed(model.scorer, masked, wanted, method, settings)
        values = [one.values for one in found]
        drops[method] = faithful(model.scorer, masked, values, wanted).means()["comprehensiveness"]
    fast, slow = drops["integrated_gradients"], drops["shap"]
    spread = float(np.std([one.output for one in found]))
    margin = settings.margin * (spread or 1.0 if model.kind == "regression" else 1.0)
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
    other: Explainable, texts: Mapping[str, str], mine: Sequence[Explanation], method: Method, settings: Explain
) -> list[Explanation]:
    """Let another model explain texts, by their ids, for the labels that explanations of them are of.

    Raises:
        StepFailed: it finds no token in one of them.
    """
    found = []
    for start in range(0, len(mine), _SIDE_BY_SIDE):
        some = mine[start : start + _SIDE_BY_SIDE]
        masked = [_masked(other, texts[one.id], one.id) for one in some]
        given = attributed(other.scorer, masked, [other.place(one.target) for one in some], method, settings)
        found += [
            Explanation.of(its, id=one.id, label=one.label, target=one.target)
            for its, one in zip(given, some, strict=True)
        ]
    return found


def _masked(other: Explainable, text: str, name: str) -> MaskedText:
    found = other.masker.of(other.masker.cut(other.cleaned(text)))
    if found is None:
        raise StepFailed(f"against={other.reference} finds no token in row {name}.")
    return found


def trusted(model: Explainable, rows: Sequence[Explanation], seed: int) -> tuple[Faithfulness, Faithfulness]:
    """Hold explanations, and orders by chance, against what the model makes of texts without their top tokens."""
    masked = [text for one in rows if (text := model.masker.of(one.text))]
    wanted = [model.labels.index(one.target) for one in rows]
    generator = np.random.default_rng(seed)
    chance = [faithfulness.chance(text, generator) for text in masked]
    return (
        faithful(model.scorer, masked, [one.values for one in rows], wanted),
        faithfulness.judge(model.scorer, masked, chance, wanted),
    )


def faithful(
    scorer: Scorer, texts: Sequence[MaskedText], values: Sequence[Array], wanted: Sequence[int]
) -> Faithfulness:
    """Hold values of tokens against what the model makes of texts without their top tokens."""
    orders = [faithfulness.order(text, some) for text, some in zip(texts, values, strict=True)]
    return faithfulness.judge(scorer, texts, orders, wanted)
