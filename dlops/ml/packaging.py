"""The model as MLflow keeps it: safetensors, tokenizer, labels, signature, pinned requirements, readable code."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Map, Schema

from dlops.data import scratch
from dlops.ml.networks import Network, Standard

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from dlops.ml.datasets import Dataset

NAME = "model"
_CODE = Path(__file__).with_name("text_classifier.py")
"""Not imported here: it is read by whoever loads the model."""
_WEIGHTS = "artifacts/model"
"""Where `mlflow.pyfunc` puts the folder of weights."""
_REQUIREMENTS = ("mlflow", "torch", "transformers", "safetensors", "tokenizers", "pandas", "numpy")


def log(
    network: Network,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    *,
    max_length: int,
    backbone: str,
    card: str = "",
    revision: str | None = None,
) -> str:
    """Log a fine-tuned model on the active run, and give its `models:/m-…` URI.

    `backbone` and `revision` name what it was trained from: as the user did, and what that stood for.

    It is a pyfunc model whose artifact `model` is a transformers folder; nothing in it is pickled, and nothing in it
    needs `dlops`. With a standard head it is a model of MLflow's flavor `transformers` too.
    """
    tokenizer.model_max_length = min(max_length, tokenizer.model_max_length)
    with scratch.folder() as parent, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = parent / NAME
        network.save(folder)
        tokenizer.save_pretrained(folder)
        if card:
            (folder / "README.md").write_text(card, encoding="utf-8")
        info = Model.log(
            name=NAME,
            artifact_path=None,
            flavor=sys.modules[__name__],
            python_model=str(_CODE),
            artifacts={"model": str(folder)},
            signature=signature(dataset),
            input_example=example(dataset),
            pip_requirements=requirements(folder),
            metadata={"labels": list(dataset.labels), **_made_from(dataset, backbone, revision)},
            pipeline=(network.inner, tokenizer) if isinstance(network, Standard) else None,
        )
    return str(info.model_uri)


def log_foundation(
    network: Network,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    *,
    backbone: str,
    revision: str | None,
) -> str:
    """Log a model that guesses hidden tokens, and give its `models:/m-…` URI: a foundation for the next run.

    It is a model of MLflow's own flavor `transformers`.
    """
    logging.getLogger("mlflow.transformers").setLevel(logging.ERROR)  # it looks for a card on the hub, and finds none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = mlflow.transformers.log_model(
            transformers_model={"model": network.inner, "tokenizer": tokenizer},
            name=NAME,
            task="fill-mask",
            pip_requirements=requirements(),
            metadata=_made_from(dataset, backbone, revision),
        )
    return str(info.model_uri)


def _made_from(dataset: Dataset, backbone: str, revision: str | None) -> dict[str, Any]:
    return {
        "backbone": backbone,
        "backbone_revision": revision,
        "dataset": dataset.reference,
        "dataset_digest": dataset.digest,
        "synthetic": dataset.synthetic,
        "cleaning": dict(dataset.cleaning) if dataset.cleaning else None,
    }


def save_model(path: str, mlflow_model: Model, *, pipeline: tuple[Any, Any] | None, **others: Any) -> None:
    """Write a model's folder, as `Model.log` asks a flavor to.

    A model and tokenizer that make a `pipeline` of transformers are described as MLflow's own flavor does, without a
    second copy of the weights (`mlflow.transformers.model_io` reads it).
    """
    mlflow.pyfunc.save_model(path, mlflow_model=mlflow_model, **others)
    if pipeline:
        model, tokenizer = pipeline
        tokenizer.save_pretrained(Path(path) / "components" / "tokenizer")
        mlflow_model.add_flavor(
            "transformers",
            task="text-classification",
            instance_type="TextClassificationPipeline",
            model_binary=_WEIGHTS,
            pipeline_model_type=type(model).__name__,
            components=["tokenizer"],
            tokenizer_type="AutoTokenizer",
            transformers_version=importlib.metadata.version("transformers"),
            code=None,
        )
        mlflow_model.save(str(Path(path) / "MLmodel"))


def signature(dataset: Dataset) -> ModelSignature:
    """Column `text`, and `text_pair` for pairs, in; `label`, `score` and `scores` (label to probability) out."""
    label: Any = {"multilabel": Array(DataType.string), "number": DataType.double}.get(dataset.kind, DataType.string)
    paired = dataset.train.pairs is not None
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, name) for name in ("text", *(["text_pair"] if paired else []))]),
        outputs=Schema(
            [ColSpec(label, "label"), ColSpec(DataType.double, "score"), ColSpec(Map(DataType.double), "scores")]
        ),
    )


def example(dataset: Dataset) -> pd.DataFrame:
    """Show what the model takes; no text of the data is given away."""
    columns = ("text", "text_pair")[: 1 if dataset.train.pairs is None else 2]
    return pd.DataFrame(
        {name: [f"A {name.replace('_', ' ')} like those that the model was trained on."] for name in columns}
    )


def requirements(folder: Path | None = None) -> list[str]:
    """Pin what the model needs, the code in its folder included, to the versions it was made with."""
    return pinned(dict.fromkeys([*_REQUIREMENTS, *(_imported(folder) if folder else [])]))


def pinned(names: Iterable[str]) -> list[str]:
    """Pin distributions to the versions that are here, without local labels such as `+cpu`."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


def _imported(folder: Path) -> list[str]:
    """Name the distributions whose packages the folder's Python files import."""
    from transformers.dynamic_module_utils import get_imports

    known = importlib.metadata.packages_distributions()
    return [name for file in sorted(folder.glob("*.py")) for word in get_imports(file) for name in known.get(word, ())]
