"""A fine-tuned model for texts as an ONNX graph, and what turns texts into its numbers and those into answers.

This file travels inside logged models, and is what serves them: it needs onnxruntime, tokenizers and numpy, no more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

Answer: TypeAlias = tuple[Any, float, dict[str, float]]
"""Label, score and scores of a text."""

ROWS = 32
"""Texts of one pass through the graph on a GPU, which are of like length; a processor is fastest at one."""
THRESHOLD = 0.5
"""Probability from which on one of several classes is given."""
_GPU = "CUDAExecutionProvider"
GRAPH, TOKENIZER, DESCRIPTION = "model.onnx", "tokenizer.json", "export.json"
LONE = "lone.onnx"
"""The same graph without what only texts that are answered together need."""
_SLOW = ("SkipLayerNormFusion",)
"""Fusions to operations that take a processor longer than what they are made of: a tenth of it all."""


class Graph:
    """A folder of `model.onnx`, whose answers are probabilities (numbers, where the labels are), and `tokenizer.json`.

    `export.json` beside them says how the two fit together. Where there is a `lone.onnx`, a processor computes that
    instead, as it takes one text at a time, however many it is asked. `threads` compute one pass, by default as many
    as OMP_NUM_THREADS says, or all.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        self.labels: list[str] = told["labels"]
        self.kind: str = told["kind"]
        self.inputs: list[str] = told["inputs"]
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        if told["truncation"]:
            self.tokenizer.enable_truncation(**told["truncation"])
        self.tokenizer.enable_padding(**told["padding"])
        lone = folder / LONE
        self.session = _session(lone if _takes_one() and lone.is_file() else folder / GRAPH, threads)
        self.rows = ROWS if _GPU in self.session.get_providers() else 1

    def answers(self, rows: Sequence[tuple[str, ...]]) -> list[Answer]:
        """Answer rows of one text each, or of two where the model was trained on pairs."""
        return [self._answer(row) for row in self.scores(rows).tolist()]

    def scores(self, rows: Sequence[tuple[str, ...]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Give probabilities, or numbers, [rows, labels]."""
        found = np.zeros((len(rows), len(self.labels)), np.float32)
        order = sorted(range(len(rows)), key=lambda row: sum(map(len, rows[row])))
        for start in range(0, len(order), self.rows):
            some = order[start : start + self.rows]
            encoded = self.tokenizer.encode_batch_fast(
                [rows[row] if len(rows[row]) > 1 else rows[row][0] for row in some]
            )
            tensors = {
                "input_ids": [one.ids for one in encoded],
                "attention_mask": [one.attention_mask for one in encoded],
                "token_type_ids": [one.type_ids for one in encoded],
            }
            fed = {name: np.array(tensors[name], np.int64) for name in self.inputs}
            found[some] = self.session.run(None, fed)[0]
        return found

    def _answer(self, row: list[float]) -> Answer:
        scores = dict(zip(self.labels, row, strict=True))
        if self.kind == "regression":
            return row[0], row[0], scores
        if self.kind == "multi_label_classification":
            given = [label for label, score in scores.items() if score >= THRESHOLD]
            return given, min([scores[label] for label in given], default=1 - max(row)), scores
        label = max(scores, key=scores.__getitem__)
        return label, scores[label], scores


def _takes_one() -> bool:
    """Say whether no GPU can come into it, so that there is but one text in each pass, whatever is asked."""
    return _GPU not in onnxruntime.get_available_providers()


def _session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    told = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(told) if told.isdigit() else 0)
    there = onnxruntime.get_available_providers()
    providers = [name for name in (_GPU, "CPUExecutionProvider") if name in there]
    slow = () if _GPU in there else _SLOW
    return onnxruntime.InferenceSession(graph, options, providers=providers, disabled_optimizers=list(slow))
