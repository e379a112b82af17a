"""Explanations beside a plain `shap.Explainer(pipeline)`, text by text in turn, and write `benchmarks/EXPLAIN.md`.

`REVIEWS` names a CSV file of texts and labels; without it the texts are synthetic. `ROWS` is how many texts are
explained, 8 by default; `MODEL` a folder of a model that transformers wrote, instead of one that is trained first.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks import page
from benchmarks.measure import Claim, Result
from benchmarks.trainings import Workplace
from dlops.data import sample
from dlops.data.cleaning import Cleaning
from dlops.ml import explainable, hardware, logged_models
from dlops.ml.attributions import faithfulness, methods
from dlops.ml.attributions.masked_text import MaskedText, Masker
from dlops.ml.attributions.scoring import Scorer
from dlops.ml.hardware import Arithmetic
from dlops.ml.settings import Explain

RESULTS = Path(__file__).parent / "EXPLAIN.md"
REVIEWS = os.environ.get("REVIEWS", "")
ROWS = int(os.environ.get("ROWS", "8"))
_SETTINGS = Explain(model="")
_EVALUATIONS = 500
"""That shap's own explainer takes by default."""
_EXACT, _ALIKE, _LESS = 1e-4, 0.9, 0.05
"""How far values with the same masks may be off; how alike ranks must be, and how much less faithful they may be."""


@dataclass
class Way:
    """One way to explain: its seconds for each text, and its values."""

    seconds: list[float]
    values: list[Any]

    def drop(self, scorer: Scorer, texts: list[MaskedText], wanted: list[int]) -> float:
        """Give how much the output falls when the top fifth of the tokens is hidden, on average."""
        orders = [faithfulness.order(text, values) for text, values in zip(texts, self.values, strict=True)]
        return faithfulness.judge(scorer, texts, orders, wanted).means()["comprehensiveness"]


def main() -> int:
    """Explain each text in every way, one after the other; exit 1 when a goal is missed."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.environ["MODEL"]) if os.environ.get("MODEL") else _trained(Path(name))
        fast = hardware.arithmetic("auto")
        exact = Arithmetic(fast.accelerator, bf16=False)
        (slow_scorer, _), (scorer, _) = (explainable.opened(folder, folder, how) for how in (exact, fast))
        masker = Masker(scorer.tokenizer)
        texts = [masker.of(masker.cut(text)) for text in _texts()]
        wanted = methods.targets(slow_scorer.scores([text.text for text in texts]))
        plain = _plain(folder)
        ways = {name: Way([], []) for name in ("plain", "exact", "shap", "gradients")}
        for number, text in enumerate([texts[0], *texts]):
            for name, explain in {
                "plain": lambda text, target: plain(text, target),
                "exact": lambda text, target: _shap(slow_scorer, text, target, _EVALUATIONS),
                "shap": lambda text, target: _shap(scorer, text, target, _SETTINGS.max_evals),
                "gradients": lambda text, target: _gradients(scorer, text, target),
            }.items():
                began = time.perf_counter()
                values = explain(text, wanted[max(0, number - 1)])
                if number:  # the first is not counted: all is warm then
                    ways[name].seconds.append(time.perf_counter() - began)
                    ways[name].values.append(values)
        drops = {name: way.drop(slow_scorer, texts, wanted) for name, way in ways.items()}
        generator = np.random.default_rng(0)
        by_chance = faithfulness.judge(slow_scorer, texts, [faithfulness.chance(t, generator) for t in texts], wanted)
    report, met = _report(ways, drops, by_chance.means()["comprehensiveness"], [len(text) for text in texts])
    print(report)
    if REVIEWS and not os.environ.get("ROWS"):
        RESULTS.write_text(report)
    return 0 if met else 1


def _trained(folder: Path) -> Path:
    """Fine-tune a whole model, and give its weights."""
    work = Workplace(folder, reviews=REVIEWS, rows=0)
    uri = work.fine_tuned("no_freeze", epochs=1)
    with logged_models.fetched(uri) as found:
        return Path(shutil.copytree(found.weights, folder / "weights"))


def _texts() -> list[str]:
    raw = pd.read_csv(REVIEWS).iloc[:, 0] if REVIEWS else pd.Series([text for text, _ in sample.generate(1)])
    return Cleaning().texts(raw.sample(ROWS, random_state=1).tolist())


def _plain(folder: Path) -> Any:
    import shap
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    explainer = shap.Explainer(
        pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True), silent=True
    )

    def explain(text: MaskedText, target: int) -> Any:
        found = explainer([text.text], batch_size=methods.TOGETHER, max_evals=_EVALUATIONS)
        return found.values[0][:, target]

    return explain


def _shap(scorer: Scorer, text: MaskedText, target: int, evaluations: int) -> Any:
    return methods.shap(scorer, [text], [target], evaluations=evaluations)[0].values


def _gradients(scorer: Scorer, text: MaskedText, target: int) -> Any:
    return methods.integrated_gradients(scorer, [text], [target], steps=_SETTINGS.steps)[0].values


def _report(ways: dict[str, Way], drops: dict[str, float], chance: float, lengths: list[int]) -> tuple[str, bool]:
    plain, exact, shipped, gradients = (ways[name] for name in ("plain", "exact", "shap", "gradients"))
    results = [
        Result(Claim("shap, as shipped", "at least 3 times as fast", 1 / 3), shipped.seconds, plain.seconds),
        Result(
            Claim("auto, where it takes gradients", "at least 40 times as fast", 1 / 40),
            gradients.seconds,
            plain.seconds,
        ),
    ]
    off = max(float(np.abs(one - other).max()) for one, other in zip(exact.values, plain.values, strict=True))
    ranks = [float(spearmanr(one, other).statistic) for one, other in zip(shipped.values, plain.values, strict=True)]
    alike = float(np.mean(ranks))
    others = {
        f"values of shap in float32 with the same masks: at most {off:.1e} off (goal {_EXACT:g})": off <= _EXACT,
        f"ranks of shap as shipped: {alike:.3f} alike (goal {_ALIKE})": alike >= _ALIKE,
        f"drop of shap as shipped: {drops['shap']:.3f}, plain {drops['plain']:.3f} (goal: {_LESS} less at most)": drops[
            "shap"
        ]
        >= drops["plain"] - _LESS,
        f"drop of gradients: {drops['gradients']:.3f} (goal: not below shap's as shipped)": drops["gradients"]
        >= drops["shap"],
    }
    lines = "\n".join(f"- {told}: {'yes' if met else 'no'}" for told, met in others.items())
    report = f"""# Explaining

`python -m benchmarks.explain`, {page.machine("dlops", "torch", "transformers", "shap", "captum")}.
dlops computes in {hardware.arithmetic("auto")}; MiniLM, fine-tuned as a whole, on {len(lengths)} texts of
{Path(REVIEWS).name or "the synthetic sample"}, {np.mean(lengths):.0f} tokens each on average.

The other is `shap.Explainer(pipeline)` with {_EVALUATIONS} evaluations, {methods.TOGETHER} at a time. As shipped are
`max_evals={_SETTINGS.max_evals}` and `steps={_SETTINGS.steps}`. Each text is explained in every way
before the next one is; seconds a text.

{page.table(results)}

{lines}
- drop of an order by chance: {chance:.3f}
"""
    return report, all(result.met for result in results) and all(others.values())


if __name__ == "__main__":
    sys.exit(main())
