"""All that an evaluation came to: what can be required of it, its document, and what it leaves on its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dlops.ml import baselines, comparison, doubtful_rows, evaluation_pictures, gates
from dlops.ml.answers import Answers, Model
from dlops.ml.comparison import Comparison
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Array, Classification, Labelled, MultiLabel
from dlops.ml.report import FEW, named
from dlops.ml.settings import Evaluate
from dlops.ml.slices import Slices

_NO_SCORES = ("calibration_error",)
"""Figures that say nothing where the model gives labels alone."""


@dataclass(frozen=True)
class Judgement:
    """One model's answers to the rows of one split, judged."""

    settings: Evaluate
    dataset: Dataset
    split: Split
    model: Model
    answers: Answers
    judged: Labelled
    rivals: Mapping[str, Labelled]
    """Baselines on the same rows, by name."""
    other: Model | None
    """The other model, where one was named."""
    against: Comparison | None
    """With the other model, where one was named."""
    slices: Slices | None
    seconds: Array
    """That single texts took."""

    @cached_property
    def figures(self) -> dict[str, float]:
        """Give the figures of all rows."""
        left_out = () if self.answers.scored else _NO_SCORES
        found = {name: value for name, value in self.judged.figures.items() if name not in left_out}
        if self.answers.scored and isinstance(self.judged, Classification | MultiLabel):
            found["average_precision"] = _average_precision(self.judged)
        return {name: value for name, value in found.items() if np.isfinite(value)}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Give the 95 % interval of each figure that has one."""
        return self.judged.intervals()

    @cached_property
    def compared(self) -> Comparison | None:
        """The comparison that the verdict is about: with the other model, else with the best baseline."""
        if self.against or not self.rivals:
            return self.against
        return comparison.compare(self.judged, max(self.rivals.values(), key=lambda rival: rival.value))

    @cached_property
    def facts(self) -> dict[str, float | str]:
        """Give everything that can be required, by name."""
        return {
            **_with_f1(self.figures),
            **_with_f1(self._ends()),
            **{
                f"{what}.{label}": getattr(scores, what)
                for label, scores in self.judged.classes.items()
                for what in _OF_CLASSES
            },
            **(_with_f1(self.slices.figures()) if self.slices else {}),
            **self.latency,
            **(_told(self.compared) if self.compared else {}),
        }

    def _ends(self) -> dict[str, float]:
        return {
            f"{name}_{end}": value
            for name, both in self.intervals.items()
            for end, value in zip(_ENDS, both, strict=True)
        }

    @property
    def latency(self) -> dict[str, float]:
        """Give the milliseconds that a text alone takes: the median, and what 95 of 100 do not exceed."""
        if not len(self.seconds):
            return {}
        return {f"latency_p{share}_ms": float(1000 * np.percentile(self.seconds, share)) for share in (50, 95)}

    @property
    def warnings(self) -> list[str]:
        """Say what makes the figures say little."""
        rows, settings, made = self.judged.rows, self.settings, self.model.made_from
        found = []
        if rows < FEW:
            found.append(f"{rows} rows are too few to say how good the model is")
        if settings.split in ("train", "all"):
            found.append("the model may have been trained on these rows")
        elif made.get("dataset_digest") and made["dataset_digest"] != self.dataset.digest:
            found.append("the model was trained on other data: these rows may be among those")
        elif settings.split == "val":
            found.append("the model was chosen by these rows: it looks better on them than it is")
        others = self.other.made_from.get("dataset_digest") if self.other else None
        if others and others != self.dataset.digest:
            found.append("the other model was trained on other data: these rows may be among those")
        if not self.answers.scored and self.dataset.kind != "number":
            found.append("the model gives labels without probabilities: calibration is not told")
        found += self.slices.alike if self.slices else ()
        if self.dataset.synthetic:
            found.append("the data is synthetic: the figures say nothing about real texts")
        return found

    @property
    def verdict_told(self) -> str:
        """Say how good the model is, and beside what."""
        name = self.judged.headline
        low, high = self.intervals[name]
        told = f"{named(name)} {self.judged.value:.3f} on {self.judged.rows:,} {self._which} rows"
        told = f"{told[0].upper()}{told[1:]} (95 % interval {low:.3f} to {high:.3f})"
        if not (found := self.compared):
            return f"{told}."
        beside = self.settings.against or "the best baseline"
        difference = f"{found.difference:+.3f}, {found.low:+.3f} to {found.high:+.3f}"
        if found.verdict != "not_distinguishable":
            return f"{told}; {found.verdict} than {beside} ({difference})."
        needed = f", which it would take {found.needed:,} rows to tell" if found.needed else ""
        return f"{told}; not distinguishable from {beside} ({difference}){needed}."

    @property
    def _which(self) -> str:
        return "" if self.settings.split == "all" else self.settings.split

    def lists(self) -> dict[str, list[doubtful_rows.Row]]:
        """List the hardest rows, and the likeliest label errors."""
        given = (self.judged, self.split, self.settings.hardest)
        errors = doubtful_rows.label_errors(*given, texts=self.settings.texts) if self.answers.scored else []
        return {"hardest": doubtful_rows.hardest(*given, texts=self.settings.texts), "label_errors": errors}

    def document(self, requirements: Sequence[gates.Answer], lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Collect everything as plain values, for JSON."""
        data, headline = self.dataset, self.judged.headline
        parts = self.slices.parts if self.slices else ()
        worst = self.slices.worst(headline) if self.slices else None
        return {
            "model": self.settings.model,
            "model_uri": self.model.uri,
            "against": self.settings.against or ("the best baseline" if self.compared else ""),
            "split": self.settings.split,
            "rows": self.judged.rows,
            "headline": headline,
            "verdict": self.compared.verdict if self.compared else "",
            "verdict_told": self.verdict_told,
            "warnings": [f"Warning: {text}." for text in self.warnings],
            "dataset": {
                "reference": data.reference,
                "digest": data.digest,
                "source": data.source,
                "synthetic": data.synthetic,
                "kind": data.kind,
                "labels": list(data.labels),
            },
            "requirements": [
                {"requirement": answer.requirement.text, "found": answer.found, "holds": answer.holds}
                for answer in requirements
            ],
            "figures": self.figures,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "classes": {label: asdict(scores) for label, scores in self.judged.classes.items()},
            "confusion": self.judged.confusion.tolist() if isinstance(self.judged, Classification) else None,
            "baselines": {name: rival.figures for name, rival in self.rivals.items()},
            "comparison": self.compared.as_dict() if self.compared else None,
            "slices": [
                {
                    "name": part.name,
                    "rows": part.judged.rows,
                    "few": not part.counts,
                    "figures": part.figures,
                    "interval": list(part.interval),
                }
                for part in parts
            ],
            "worst_slice": worst.name if worst else None,
            "gaps": dict(self.slices.gaps) if self.slices else {},
            "latency": {name.removeprefix("latency_"): value for name, value in self.latency.items()},
            **{name: [asdict(row) for row in rows] for name, rows in lists.items()},
        }

    def metrics(self) -> dict[str, float]:
        """Name the figures as MLflow keeps them."""
        split = self.settings.split
        found = {f"{split}_{name}": value for name, value in {**self.figures, **self._ends()}.items()}
        own = self.judged.metrics(split, per_class=True)
        left_out = [] if self.answers.scored else [f"{split}_{name}" for name in _NO_SCORES]
        found = {**{name: value for name, value in own.items() if name not in left_out}, **found}
        found |= {f"baseline_{name}_{split}_{rival.headline}": rival.value for name, rival in self.rivals.items()}
        if self.slices:
            found |= {name.replace(".", "_"): value for name, value in self.slices.figures().items()}
        if self.compared:
            found |= {name: value for name, value in _told(self.compared).items() if isinstance(value, float)}
        return found | self.latency


_ENDS = ("low", "high")
_OF_CLASSES = ("precision", "recall", "f1")


def names(dataset: Dataset, settings: Evaluate) -> list[str]:
    """Name what can be required of a model on this data, before it has answered."""
    few = dataset.train.at(range(min(2, len(dataset.train))))
    some = baselines.uninformed(replace(dataset, test=few))
    figures = [*some.figures, *([] if dataset.kind == "number" else ["average_precision"])]
    with_ends = [name for name in some.figures if name != "calibration_error"]
    every = [*figures, *(f"{name}_{end}" for name in with_ends for end in _ENDS)]
    found = [*_with_f1(dict.fromkeys(every, 0.0))]
    found += [f"{what}.{label}" for label in dataset.labels for what in _OF_CLASSES]
    if settings.slice_by:
        found += [f"{what}.{name}" for what in ("worst_slice", "gap") for name in _with_f1(some.figures)]
    if settings.latency_rows:
        found += ["latency_p50_ms", "latency_p95_ms"]
    if settings.against or settings.baselines:
        found += ["verdict", "difference", "difference_low", "difference_high"]
    return found


def _average_precision(judged: Classification | MultiLabel) -> float:
    """Give the mean over the classes of the area below precision against recall."""
    from sklearn.metrics import average_precision_score

    found = [average_precision_score(there, scores) for _, there, scores in evaluation_pictures.of_each_class(judged)]
    return float(np.mean(found)) if found else float("nan")


def _with_f1(figures: Mapping[str, float]) -> dict[str, float]:
    """Let `f1` stand for macro F1."""
    short = {name.replace("macro_f1", "f1"): value for name, value in figures.items() if "macro_f1" in name}
    return {**figures, **short}


def _told(compared: Comparison) -> dict[str, float | str]:
    return {
        "verdict": compared.verdict,
        "difference": compared.difference,
        "difference_low": compared.low,
        "difference_high": compared.high,
    }
