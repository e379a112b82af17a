"""An explainer as a model of its own: it holds the model that it explains, and is registered under a name."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Schema

from dlops.data import scratch, text_cleaning
from dlops.ml import attributions, logged_models, packaging, record, text_classifier
from dlops.ml.explainable import Explainable
from dlops.ml.explaining import Choice
from dlops.ml.progress import say
from dlops.ml.settings import Explain
from dlops.registry import lineage, versions

NAME = "explainer"
_CODE = Path(__file__).with_name("text_explainer.py")
_REQUIREMENTS = ("mlflow", "torch", "transformers", "safetensors", "tokenizers", "pandas", "numpy", "shap", "captum")


def register(model: Explainable, choice: Choice, settings: Explain) -> str:
    """Log an explainer of the model on the run that is open, and register it; give its version.

    Raises:
        UnreachableError: the registry does not take it.
    """
    uri = log(model, choice, settings)
    tags = {"dlops_run": str(record.run_id()), "dlops_explains": model.uri, "dlops_method": choice.method}
    version = versions.create(uri, str(settings.register_as), tags)
    record.output("explainer", f"models:/{settings.register_as}/{version}")
    say(f"The explainer is version {version} of {settings.register_as}")
    return version


def log(model: Explainable, choice: Choice, settings: Explain) -> str:
    """Log an explainer of the model, and give its `models:/m-…` URI."""
    told = {
        "method": choice.method,
        "max_evals": settings.max_evals,
        "time_limit": settings.time_limit,
        "steps": settings.steps,
        "label": settings.label,
        "cleaning": asdict(model.switches) if model.switches else None,
    }
    with scratch.folder() as folder, logged_models.fetched(model.classifier) as found, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (folder / "settings.json").write_text(json.dumps(told), encoding="utf-8")
        package = Path(str(attributions.__file__)).parent
        shutil.copytree(package, folder / "attributions", ignore=shutil.ignore_patterns("__pycache__"))
        logged: Any = Model.log(
            name=NAME,
            artifact_path=None,
            flavor=mlflow.pyfunc,
            python_model=str(_CODE),
            artifacts={
                "weights": str(found.weights),
                "tokenizer": str(found.tokenizer),
                "reader": str(text_classifier.__file__),
                "cleaning": str(text_cleaning.__file__),
                "attributions": str(folder / "attributions"),
                "settings": str(folder / "settings.json"),
            },
            signature=_signature(),
            pip_requirements=packaging.pinned(_REQUIREMENTS),
            metadata={**model.made_from, "explains": model.uri, **told},
            tags={lineage.MADE_OF: model.classifier},
        )
    return str(logged.model_uri)


def _signature() -> ModelSignature:
    """A column `text` in; label, score, base, tokens, values and method out."""
    text, number = DataType.string, DataType.double
    return ModelSignature(
        inputs=Schema([ColSpec(text, "text")]),
        outputs=Schema(
            [
                ColSpec(text, "label"),
                ColSpec(number, "score"),
                ColSpec(number, "base"),
                ColSpec(Array(text), "tokens"),
                ColSpec(Array(number), "values"),
                ColSpec(text, "method"),
            ]
        ),
    )
