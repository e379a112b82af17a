"""A fine-tuned model for texts, as MLflow loads it: it needs torch, transformers and pandas, and nothing else.

This file travels inside the logged model. The artifact `model` beside it is a plain transformers folder; where it has
`head.json`, a linear head over averaged token states stands on that backbone, its weights in `head.safetensors`. Where
it has Python files, the model is made of them: they are run as this file is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

ROWS = 32
"""Texts of one forward pass."""
THRESHOLD = 0.5
"""Probability from which on one of several classes is given."""
HEAD = "head"
"""Name of the files that describe and hold a head of our own."""


class Head(nn.Module):
    """A linear layer over the averages of one layer's token states, or of every layer's, brought to one scale."""

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, layers: int, hidden: int, outputs: int, *, every: bool, dropout: float = 0.1) -> None:
        super().__init__()
        self.every = every
        """Whether it reads every layer, the embeddings among them, or the last one."""
        width = (layers if every else 1) * hidden
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)

    def forward(self, averages: torch.Tensor) -> torch.Tensor:
        """Take averages, [rows, layers, hidden]; give logits, [rows, outputs]."""
        read = averages if self.every else averages[:, -1:]
        logits: torch.Tensor = self.linear(self.dropout((read.flatten(1) - self.centre) / self.scale))
        return logits


class Pooled(nn.Module):
    """A backbone and a `Head` on it."""

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def averages(self, *, every: bool = True, **inputs: torch.Tensor) -> torch.Tensor:
        """Average the states of each row's tokens, in float32: [rows, layers, hidden], the embeddings being a layer.

        Only the last layer's, [rows, 1, hidden], unless it is to be `every` layer's.
        """
        states = (
            self.backbone(**inputs, output_hidden_states=True).hidden_states
            if every
            else (self.backbone(**inputs).last_hidden_state,)
        )
        mask = inputs["attention_mask"].unsqueeze(-1).to(torch.float32)
        counts = mask.sum(dim=1).clamp(min=1)
        return torch.stack([(state.float() * mask).sum(dim=1) / counts for state in states], dim=1)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Give logits, [rows, outputs]."""
        logits: torch.Tensor = self.head(self.averages(every=self.head.every, **inputs))
        return logits


def options(folder: str | Path) -> dict[str, Any]:
    """Say how the folder is read: its own code is run, which it has only where the model was trained with it."""
    return {"trust_remote_code": any(Path(folder).glob("*.py"))}


def load(folder: str | Path) -> Any:
    """Read the model of a folder; called with the tokenizer's tensors it gives logits."""
    described = Path(folder) / f"{HEAD}.json"
    if not described.is_file():
        model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, **options(folder))
        return model.eval()
    backbone = AutoModel.from_pretrained(folder, use_safetensors=True, **options(folder))
    head = Head(**json.loads(described.read_text(encoding="utf-8")))
    head.load_state_dict(load_file(described.with_suffix(".safetensors")))
    return Pooled(backbone, head).eval()


class TextClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types for us
    """Gives each text or pair of texts its label, that label's probability, and the probabilities of all labels.

    With several classes a row, the label is the list of those of at least half probability and the score the least
    of theirs (of all others', if there is none, the complement of the highest). A number is label and score at once.
    """

    def load_context(self, context: Any) -> None:
        """Load the weights (safetensors) and the tokenizer from the artifact `model`."""
        folder = context.artifacts["model"]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **options(folder))
        self.model = load(folder).to(self.device)
        config: Any = getattr(self.model, "backbone", self.model).config
        self.labels: list[str] = [config.id2label[place] for place in range(len(config.id2label))]
        self.kind = config.problem_type or "single_label_classification"

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Take a frame with a column `text`, and `text_pair` where the model was trained on pairs.

        Gives a frame with `label`, `score` and `scores`, row by row. Raises `ValueError` where a text is missing.
        """
        del context, params
        missing = model_input[[name for name in ("text", "text_pair") if name in model_input]].isna().any(axis=1)
        if missing.any():
            raise ValueError(f"Row {missing.to_numpy().argmax()} has no text, counted from 0.")
        texts = [str(text) for text in model_input["text"]]
        pairs = [str(text) for text in model_input["text_pair"]] if "text_pair" in model_input else None
        scores = self.scores(texts, pairs)
        return pd.DataFrame([self._answer(row) for row in scores.tolist()], columns=["label", "score", "scores"])

    def scores(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> torch.Tensor:
        """Give probabilities, or numbers, [texts, labels].

        Texts of like length share a forward pass, so little is padding.
        """
        found = torch.zeros(len(texts), len(self.labels))
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]) + (len(pairs[row]) if pairs else 0))
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            inputs = self.tokenizer(
                [texts[row] for row in rows],
                [pairs[row] for row in rows] if pairs else None,
                padding=True,
                truncation=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                answer = self.model(**inputs.to(self.device))
            found[rows] = self._scores(getattr(answer, "logits", answer).float()).cpu()
        return found

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        if self.kind == "regression":
            return logits
        return logits.sigmoid() if self.kind == "multi_label_classification" else logits.softmax(dim=1)

    def _answer(self, row: list[float]) -> tuple[Any, float, dict[str, float]]:
        scores = dict(zip(self.labels, row, strict=True))
        if self.kind == "regression":
            return row[0], row[0], scores
        if self.kind == "multi_label_classification":
            given = [label for label, score in scores.items() if score >= THRESHOLD]
            return given, min([scores[label] for label in given], default=1 - max(row)), scores
        label = max(scores, key=scores.__getitem__)
        return label, scores[label], scores


mlflow.models.set_model(TextClassifier())
