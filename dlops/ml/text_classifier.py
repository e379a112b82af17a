"""A fine-tuned text classifier, as MLflow loads it: it needs torch, transformers and pandas, and nothing else.

This file travels inside the logged model. The artifact `model` beside it is a plain transformers folder.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas as pd
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

ROWS = 32
"""Texts of one forward pass."""


class TextClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types for us
    """Gives each text its most likely label, that label's probability, and the probabilities of all labels."""

    def load_context(self, context: Any) -> None:
        """Load the weights (safetensors) and the tokenizer from the artifact `model`."""
        folder = context.artifacts["model"]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True)
        self.model = model.to(self.device).eval()
        self.labels = [model.config.id2label[place] for place in range(model.config.num_labels)]

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Take a frame with a column `text`; give a frame with `label`, `score` and `scores`, row by row."""
        del context, params
        texts = [str(text) for text in model_input["text"]]
        scores = self.probabilities(texts)
        best = scores.argmax(dim=1).tolist() if texts else []
        return pd.DataFrame(
            {
                "label": [self.labels[place] for place in best],
                "score": [row[place] for row, place in zip(scores.tolist(), best, strict=True)],
                "scores": [dict(zip(self.labels, row, strict=True)) for row in scores.tolist()],
            }
        )

    def probabilities(self, texts: list[str]) -> torch.Tensor:
        """Give probabilities, [texts, labels]; texts of like length share a forward pass, so little is padding."""
        found = torch.zeros(len(texts), len(self.labels))
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            inputs = self.tokenizer([texts[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                logits = self.model(**inputs.to(self.device)).logits
            found[rows] = logits.float().softmax(dim=1).cpu()
        return found


mlflow.models.set_model(TextClassifier())
