"""A logged model as explanations need it: its weights and its tokenizer, whatever form it is registered in."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow

from dlops.data.text_cleaning import Switches
from dlops.errors import StepFailed, UsageError
from dlops.ml import logged_models, text_classifier
from dlops.ml.attributions.masked_text import Masker
from dlops.ml.attributions.scoring import Scorer
from dlops.ml.hardware import Arithmetic


@dataclass(frozen=True)
class Explainable:
    """A model whose answers can be attributed to tokens."""

    reference: str
    """As it was named."""
    uri: str
    """What that stands for, and always will."""
    classifier: str
    """The model whose weights are read: itself, or what it is an export or a package of."""
    labels: tuple[str, ...]
    kind: str
    """`problem_type` of its config."""
    made_from: Mapping[str, Any]
    scorer: Scorer
    switches: Switches | None
    """How a package with an inference pipeline cleans texts."""

    @cached_property
    def masker(self) -> Masker:
        """What hides tokens of texts."""
        return Masker(self.scorer.tokenizer)

    def place(self, label: str) -> int:
        """Give the place of a label.

        Raises:
            UsageError: the model knows no such label.
        """
        if label not in self.labels:
            raise UsageError(f"label={label}: the model knows {', '.join(self.labels)}.")
        return self.labels.index(label)

    def check_beside(self, other: Explainable) -> None:
        """Refuse another model that could not explain the labels that this one gives.

        Raises:
            UsageError: it does not know them.
        """
        if unknown := sorted(set(self.labels) - set(other.labels)):
            raise UsageError(
                f"against={other.reference}: it knows {', '.join(other.labels)}, and not {', '.join(unknown)}."
            )

    def cleaned(self, text: str) -> str:
        """Clean a text as the model would before it answers."""
        return self.switches.clean(text) if self.switches else text


def load(reference: str, arithmetic: Arithmetic) -> Explainable:
    """Load a model's weights.

    Raises:
        StepFailed: there is none, it has no weights as transformers writes them, takes pairs of texts, or its tokenizer
            does not tell where tokens are.
    """
    uri = logged_models.resolve(reference)
    classifier = logged_models.origin(uri)
    info = mlflow.models.get_model_info(uri)
    made: Mapping[str, Any] = info.metadata or {}
    if info.signature and len(info.signature.inputs or ()) > 1:
        raise StepFailed(f"{reference} takes pairs of texts: explanations are of single texts.")
    with logged_models.fetched(classifier) as folders:
        scorer, labels = opened(folders.weights, folders.tokenizer, arithmetic)
    told = made.get("inference_pipeline", {}).get("cleaning")
    return Explainable(
        reference, uri, classifier, labels, scorer.kind, made, scorer, Switches(**told) if told else None
    )


def opened(weights: Path, tokenizer: Path, arithmetic: Arithmetic) -> tuple[Scorer, tuple[str, ...]]:
    """Load a model from a folder of weights, and one of a tokenizer; give its labels too.

    Raises:
        StepFailed: the tokenizer does not tell where in a text tokens are.
    """
    from transformers import AutoTokenizer

    _check_head(weights)
    logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)  # long texts are cut, as told
    words = AutoTokenizer.from_pretrained(tokenizer, **text_classifier.options(tokenizer))
    if not words.is_fast:
        raise StepFailed("The model's tokenizer does not tell where in a text its tokens are: it cannot be explained.")
    model = text_classifier.load(weights)
    backbone = getattr(model, "backbone", model)
    if arithmetic.attention:
        backbone.set_attn_implementation(arithmetic.attention)
    config = backbone.config
    # As transformers' pipelines: one output that nothing is said of is a probability of its own.
    alone = "multi_label_classification" if len(config.id2label) == 1 else "single_label_classification"
    kind = config.problem_type or alone
    labels = tuple(config.id2label[place] for place in range(len(config.id2label)))
    return Scorer(model, words, kind=kind, device=arithmetic.accelerator, bf16=arithmetic.bf16), labels


def _check_head(weights: Path) -> None:
    """Refuse weights without a head that gives labels: transformers would draw one by chance."""
    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    names = config.get("architectures") or [""]
    if not (weights / f"{text_classifier.HEAD}.json").is_file() and "SequenceClassification" not in names[0]:
        own = any("SequenceClassification" in name for name in config.get("auto_map", {}))
        if not own:
            raise StepFailed(
                f"The model gives no labels (it is a {names[0] or 'backbone'}): there is nothing to explain.",
                hint="Fine-tune it first: dlops finetune model=…",
            )
