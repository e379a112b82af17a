"""An explainer of a model for texts, as MLflow loads it: text in, and out what of it the model's answer rests on.

This file travels inside the logged model. Beside it lie the artifacts `weights` and `tokenizer` (folders of
transformers, the explained model itself), `reader` (the file of Python that reads them), `attributions` (the package
that explains) and `settings` (JSON). It needs mlflow, torch, transformers, pandas, numpy, shap and captum.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from transformers import AutoTokenizer


class TextExplainer(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types for us
    """Gives each text the model's label, its probability, and what each token adds to it."""

    def load_context(self, context: Any) -> None:
        """Load the model and the package that explains it from the artifacts."""
        files = context.artifacts
        self.told = json.loads(Path(files["settings"]).read_text(encoding="utf-8"))
        package = Path(files["attributions"])
        name = _imported(package / "__init__.py", package=package)
        self.methods = importlib.import_module(f"{name}.methods")
        masked_text = importlib.import_module(f"{name}.masked_text")
        scoring = importlib.import_module(f"{name}.scoring")
        reader = sys.modules[_imported(Path(files["reader"]))]
        tokenizer = AutoTokenizer.from_pretrained(files["tokenizer"], **reader.options(files["tokenizer"]))
        model = reader.load(files["weights"])
        config = getattr(model, "backbone", model).config
        self.labels = [config.id2label[place] for place in range(len(config.id2label))]
        kind = config.problem_type or "single_label_classification"
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.scorer = scoring.Scorer(model, tokenizer, kind=kind, device=device)
        self.masker = masked_text.Masker(tokenizer)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Take a frame with a column `text`.

        Gives a frame with `label`, `score`, `base` (what the model makes of the text without any token), `tokens`,
        `values` (what each adds; base and values come to the score) and `method`, row by row. Raises `ValueError`
        where a text is missing.
        """
        del context, params
        missing = model_input["text"].isna()
        if missing.any():
            raise ValueError(f"Row {missing.to_numpy().argmax()} has no text, counted from 0.")
        texts = [self.masker.of(self.masker.cut(str(text))) for text in model_input["text"]]
        wanted = self.methods.targets(self.scorer.scores([text.text for text in texts])) if texts else []
        found = self._attributed(texts, wanted)
        return pd.DataFrame(
            [
                (
                    self.labels[one.target],
                    one.output,
                    one.base,
                    list(one.tokens),
                    [float(value) for value in one.values],
                    one.method,
                )
                for one in found
            ],
            columns=["label", "score", "base", "tokens", "values", "method"],
        )

    def _attributed(self, texts: list[Any], wanted: list[int]) -> list[Any]:
        if not texts:
            return []
        if self.told["method"] == "shap":
            found: list[Any] = self.methods.shap(self.scorer, texts, wanted, evaluations=self.told["max_evals"])
        else:
            found = self.methods.integrated_gradients(self.scorer, texts, wanted, steps=self.told["steps"])
        return found


def _imported(file: Path, package: Path | None = None) -> str:
    """Import a file, or a package, under a name of its own: two explainers in a process have each their own code."""
    name = f"_explainer_{abs(hash(str(file))):x}"
    places = [str(package)] if package else None
    spec: Any = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return name


mlflow.models.set_model(TextExplainer())
