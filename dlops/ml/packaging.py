"""The model as MLflow keeps it: safetensors, tokenizer, labels, signature, pinned requirements, readable code."""

from __future__ import annotations

import importlib.metadata
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Map, Schema

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dlops.ml.datasets import Dataset

NAME = "model"
_CODE = Path(__file__).with_name("text_classifier.py")
"""Not imported here: it is read by whoever loads the model."""
_REQUIREMENTS = ("mlflow", "torch", "transformers", "safetensors", "tokenizers", "pandas", "numpy")


def log(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dataset: Dataset, *, max_length: int, backbone: str
) -> str:
    """Log a fine-tuned model on the active run, and give its `models:/m-…` URI.

    It is a pyfunc model whose artifact `model` is a plain transformers folder; nothing in it is pickled, and
    nothing in it needs `dlops`.
    """
    tokenizer.model_max_length = min(max_length, tokenizer.model_max_length)
    metadata = {
        "labels": list(dataset.labels),
        "backbone": backbone,
        "dataset": dataset.reference,
        "dataset_digest": dataset.digest,
        "synthetic": dataset.synthetic,
    }
    with tempfile.TemporaryDirectory(prefix="dlops-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = str(Path(scratch) / NAME)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        info = mlflow.pyfunc.log_model(
            name=NAME,
            python_model=str(_CODE),
            artifacts={"model": folder},
            signature=signature(),
            pip_requirements=requirements(),
            metadata=metadata,
        )
    return str(info.model_uri)


def signature() -> ModelSignature:
    """Column `text` in; `label`, `score` and `scores` (label to probability) out."""
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "label"),
                ColSpec(DataType.double, "score"),
                ColSpec(Map(DataType.double), "scores"),
            ]
        ),
    )


def requirements() -> list[str]:
    """Pin what the model needs to the versions it was made with, without a local label such as `+cpu`."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in _REQUIREMENTS]
