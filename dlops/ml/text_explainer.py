"""An explainer of a model for texts, as MLflow loads it: text in, and out what of it the model's answer rests on.

This file travels inside the logged model. Beside it lie the artifacts `weights` and `tokenizer` (folders of
transformers, the explained model itself), `reader` (the file of Python that reads them), `attributions` (the package
that explains), `cleaning` (a file of Python that cleans texts) and `settings` (JSON). It needs mlflow, torch,
transformers, pandas, numpy, shap and captum.
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

ROWS = 16
"""Texts that are explained together."""


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
        alone = "multi_label_classification" if len(self.labels) == 1 else "single_label_classification"
        kind = config.problem_type or alone
        switches = sys.modules[_imported(Path(files["cleaning"]))].Switches
        self.clean = switches(**self.told["cleaning"]).clean if self.told["cleaning"] is not None else str
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
        texts = [self.clean(str(text)) for text in model_input["text"]]
        rows = [row for start in range(0, len(texts), ROWS) for row in self._rows(texts[start : start + ROWS])]
        return pd.DataFrame(rows, columns=["label", "score", "base", "tokens", "values", "method"])

    def _rows(self, texts: list[str]) -> list[tuple[Any, ...]]:
        """Explain some texts together."""
        scores = self.scorer.scores(texts)
        label = self.told["label"]
        wanted = self.methods.targets(scores) if label is None else [self.labels.index(label)] * len(texts)
        masked = [self.masker.of(self.masker.cut(text)) if text.strip() else None for text in texts]
        there = [place for place, text in enumerate(masked) if text is not None]
        found = dict(
            zip(there, self._attributed([masked[row] for row in there], [wanted[row] for row in there]), strict=True)
        )
        return [
            (
                self.labels[target],
                float(scores[row, target]),
                float(found[row].base if row in found else scores[row, target]),
                list(found[row].tokens) if row in found else [],
                [float(value) for value in found[row].values] if row in found else [],
                self.told["method"],
            )
            for row, target in enumerate(wanted)
        ]

    def _attributed(self, texts: list[Any], wanted: list[int]) -> list[Any]:
        if not texts:
            return []
        if self.told["method"] == "shap":
            found: list[Any] = self.methods.shap(
                self.scorer, texts, wanted, evaluations=self.told["max_evals"], seconds=self.told["time_limit"]
            )
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
