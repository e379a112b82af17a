"""A fine-tuned model for texts as an ONNX graph, as MLflow loads it: without torch, and without transformers.

This file travels inside the logged model. The artifact `model` beside it is a folder with `model.onnx`, whose answers
are probabilities (numbers, where the labels are), `tokenizer.json`, and `export.json`: how the two fit together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
from tokenizers import Tokenizer

ROWS = 4
"""Texts of one pass through the graph, which are of like length: more of them are no faster on processors."""
THRESHOLD = 0.5
"""Probability from which on one of several classes is given."""
GRAPH, TOKENIZER, DESCRIPTION = "model.onnx", "tokenizer.json", "export.json"


class OnnxClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types for us
    """Gives each text or pair of texts its label, that label's probability, and the probabilities of all labels."""

    def load_context(self, context: Any) -> None:
        """Load graph and tokenizer from the artifact `model`."""
        folder = Path(context.artifacts["model"])
        told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        self.labels: list[str] = told["labels"]
        self.kind: str = told["kind"]
        self.inputs: list[str] = told["inputs"]
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        if told["truncation"]:
            self.tokenizer.enable_truncation(**told["truncation"])
        self.tokenizer.enable_padding(**told["padding"])
        self.session = session(folder / GRAPH)

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
        answers = [self._answer(row) for row in self.scores(rows).tolist()]
        return pd.DataFrame(answers, columns=["label", "score", "scores"])

    def scores(self, rows: Sequence[tuple[str, ...]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Give probabilities, or numbers, [rows, labels]; a row is a text, or two."""
        found = np.zeros((len(rows), len(self.labels)), np.float32)
        order = sorted(range(len(rows)), key=lambda row: sum(map(len, rows[row])))
        for start in range(0, len(order), ROWS):
            some = order[start : start + ROWS]
            encoded = self.tokenizer.encode_batch([rows[row] if len(rows[row]) > 1 else rows[row][0] for row in some])
            tensors = {
                "input_ids": [one.ids for one in encoded],
                "attention_mask": [one.attention_mask for one in encoded],
                "token_type_ids": [one.type_ids for one in encoded],
            }
            fed = {name: np.array(tensors[name], np.int64) for name in self.inputs}
            found[some] = self.session.run(None, fed)[0]
        return found

    def _answer(self, row: list[float]) -> tuple[Any, float, dict[str, float]]:
        scores = dict(zip(self.labels, row, strict=True))
        if self.kind == "regression":
            return row[0], row[0], scores
        if self.kind == "multi_label_classification":
            given = [label for label, score in scores.items() if score >= THRESHOLD]
            return given, min([scores[label] for label in given], default=1 - max(row)), scores
        label = max(scores, key=scores.__getitem__)
        return label, scores[label], scores


def session(graph: Path) -> onnxruntime.InferenceSession:
    """Open a graph, on as many processors as OMP_NUM_THREADS says, or all."""
    options = onnxruntime.SessionOptions()
    told = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(told) if told.isdigit() else 0
    there = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there]
    return onnxruntime.InferenceSession(graph, options, providers=providers)


mlflow.models.set_model(OnnxClassifier())
