"""A fine-tuned model for texts as an ONNX graph, as MLflow loads it: without torch, and without transformers.

This file travels inside the logged model. Beside it lie the artifacts `model`, the folder of the graph, and `reader`,
the file of Python that reads it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class OnnxClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types for us
    """Gives each text or pair of texts its label, that label's probability, and the probabilities of all labels."""

    def load_context(self, context: Any) -> None:
        """Load graph and tokenizer from the artifacts."""
        self.graph = _module(context.artifacts["reader"]).Graph(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Take a frame with a column `text`, and `text_pair` where the model was trained on pairs.

        Gives a frame with `label`, `score` and `scores`, row by row. Raises `ValueError` where a text is missing.
        """
        del context, params
        given = model_input[[name for name in ("text", "text_pair") if name in model_input]]
        missing = given.isna().any(axis=1)
        if missing.any():
            raise ValueError(f"Row {missing.to_numpy().argmax()} has no text, counted from 0.")
        rows = [tuple(map(str, row)) for row in given.itertuples(index=False)]
        return pd.DataFrame(self.graph.answers(rows), columns=["label", "score", "scores"])


def _module(file: str) -> Any:
    """Import a file under a name of its own, so that two models in a process have each their own code."""
    name = f"_graph_{abs(hash(file)):x}"
    spec: Any = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mlflow.models.set_model(OnnxClassifier())
