"""An engine whose answers are explanations: what each token of a text adds to the model's answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlops.data.text_cleaning import Switches
from dlops.ml import explainable, hardware
from dlops.ml.attributions import methods
from dlops.ml.attributions.masked_text import Masker
from dlops.ml.settings import Explain

_DEFAULTS = Explain(model="")


class Explaining:
    """A model of torch's, and what attributes its answers."""

    def __init__(self, folder: Path, switches: Switches | None) -> None:
        self._scorer, self._labels = explainable.opened(folder, folder, hardware.arithmetic("auto"))
        self._masker, self._switches = Masker(self._scorer.tokenizer), switches

    def answers(self, rows: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Explain rows of a text, a label (empty for the likeliest) and a method."""
        return [self._explained(*row) for row in rows]

    def _explained(self, text: str, label: str, method: str) -> dict[str, Any]:
        if label and label not in self._labels:
            raise ValueError(f"label: the model knows {', '.join(self._labels)}")
        cleaned = self._switches.clean(text) if self._switches else text
        masked = self._masker.of(self._masker.cut(cleaned)) if cleaned.strip() else None
        if masked is None:
            raise ValueError("text: the tokenizer finds no token in it")
        scores = self._scorer.scores([masked.text])
        target = self._labels.index(label) if label else methods.targets(scores)[0]
        if method == "shap":
            (found,) = methods.shap(self._scorer, [masked], [target], evaluations=_DEFAULTS.max_evals, seconds=0.0)
        else:
            (found,) = methods.integrated_gradients(self._scorer, [masked], [target], steps=_DEFAULTS.steps)
        return {
            "label": self._labels[target],
            "score": float(scores[0, target]),
            "base": float(found.base),
            "method": method,
            "tokens": list(found.tokens),
            "values": [float(value) for value in found.values],
        }
