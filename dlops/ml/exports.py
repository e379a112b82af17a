"""Exports of a model that is registered: each is held to the model's own answers before it is kept with the version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlops.errors import GateFailed
from dlops.ml import answers, comparison, datasets, onnx_export, parity, record
from dlops.ml.answers import Answer
from dlops.ml.comparison import Comparison
from dlops.ml.evaluation import THRESHOLD, Array
from dlops.ml.judgement import Judgement
from dlops.ml.onnx_export import Form
from dlops.ml.progress import say
from dlops.ml.report import named
from dlops.ml.settings import Register
from dlops.registry import lineage

DOCUMENT = "exports.json"
_EXACT = 1e-3
"""How far scores of a float32 export may be off: the same sums in another order differ by far less."""
_NEAR = 0.1
"""Of the spread of the model's numbers: as far apart two of them are still taken for the same."""


@dataclass(frozen=True)
class Export:
    """A model in another form, beside the model itself, on the same rows."""

    form: Form
    uri: str
    rows: int
    agreement: float
    """Share of rows with the same label (of numbers, of those that are less than a tenth of their spread apart)."""
    largest: float
    """Difference of a score, of all rows the largest; of numbers the relative one."""
    compared: Comparison
    """Its headline figure beside the model's."""
    milliseconds: tuple[float, float] | None
    """Median that a text alone takes: in this form, and by the model itself; `None` where that is not measured."""

    @property
    def tags(self) -> dict[str, str]:
        """What the version is told of it."""
        return {_tag(self.form): self.uri, f"{_tag(self.form)}_agreement": f"{self.agreement:.4f}"}

    @property
    def metrics(self) -> dict[str, float]:
        """Its figures, as the run keeps them."""
        name = f"export_{self.form.replace('-', '_')}"
        return {f"{name}_agreement": self.agreement, f"{name}_largest_difference": self.largest}

    def problems(self, settings: Register) -> list[str]:
        """Tell why it is refused, if it is."""
        found = []
        if not self.agreement >= settings.export_agreement:
            wanted = settings.export_agreement
            found.append(
                f"export={self.form}: {self.agreement:.2%} of {self.rows} labels are the same, not {wanted:.1%}"
            )
        if self.form == "onnx" and not self.largest <= _EXACT:
            found.append(f"export={self.form}: a score is {self.largest:.2g} off, more than {_EXACT:g}")
        return found

    def __str__(self) -> str:
        found = self.compared
        taken = "{:.1f} ms a text instead of {:.1f}".format(*self.milliseconds) if self.milliseconds else ""
        told = [
            f"{self.agreement:.2%} of {self.rows} labels are the model's",
            f"a score is at most {self.largest:.2g} off",
            f"{named(found.name)} {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})",
            *([taken] if taken else []),
        ]
        return f"{self.form}: {', '.join(told)}"

    def document(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "format": self.form,
            "model": self.uri,
            "rows": self.rows,
            "agreement": self.agreement,
            "largest_difference": self.largest,
            "compared": self.compared.as_dict(),
            "milliseconds": self.milliseconds and self.milliseconds[0],
            "milliseconds_of_the_model": self.milliseconds and self.milliseconds[1],
        }


def missing(forms: Sequence[Form], tags: Mapping[str, str]) -> list[Form]:
    """Give those that a version with these tags does not have."""
    return [form for form in dict.fromkeys(forms) if _tag(form) not in tags]


def make(
    classifier: str, forms: Sequence[Form], found: Judgement, settings: Register, packaged: Callable[[str], str]
) -> list[Export]:
    """Export the classifier, and hold what came of each form, once `packaged`, to the answers that were judged.

    Raises:
        StepFailed: the model cannot be exported.
        GateFailed: an export answers too many rows otherwise than the model.
    """
    made = []
    for form in forms:
        say(f"The model is exported as {form}")
        made.append(_checked(form, packaged(onnx_export.log(classifier, form)), found, settings))
        say(str(made[-1]))
    if made:
        record.document(DOCUMENT, {"exports": [one.document() for one in made]})
        record.metrics({name: value for one in made for name, value in one.metrics.items()})
    if problems := [problem for one in made for problem in one.problems(settings)]:
        raise GateFailed("An export is not what the model is.", problems=problems, hint="Leave it out of export=.")
    return made


def _checked(form: Form, uri: str, found: Judgement, settings: Register) -> Export:
    places = datasets.drawn(len(found.split), settings.export_rows, settings.seed)
    split = found.split.at(places)
    before = answers.Answers([found.answers.rows[place] for place in places], found.answers.scored)
    model = answers.load_at(uri)
    seconds = model.seconds(found.split, settings.latency_rows)
    after = model.answers(split)
    data = found.dataset
    judged = [given.judged(data.kind, data.labels, split, data.unit) for given in (after, before)]
    return Export(
        form,
        uri,
        len(places),
        agreement(*_answered(before.rows, after.rows), data.kind),
        max(map(parity.distance, before.rows, after.rows)),
        comparison.compare(*judged),
        (_median_ms(seconds), _median_ms(found.seconds)) if len(seconds) else None,
    )


def _tag(form: Form) -> str:
    return f"{lineage.EXPORT}{form.replace('-', '_')}"


def _median_ms(seconds: Array) -> float:
    return float(1000 * np.median(seconds))


def _answered(before: Sequence[Answer], after: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """Leave out what the model itself does not answer: that another form does not either says nothing."""
    places = [place for place, one in enumerate(before) if isinstance(one, float) or answers.NO_ANSWER not in one]
    return [before[place] for place in places], [after[place] for place in places]


def agreement(before: Sequence[Answer], after: Sequence[Answer], kind: str) -> float:
    """Give the share of rows that both answer with the same label or labels, or about the same number."""
    if kind == "number":
        apart = np.abs(np.asarray(before, np.float64) - np.asarray(after, np.float64))
        return float(np.mean(apart <= _NEAR * np.std(np.asarray(before, np.float64))))
    labels = _labels if kind == "multilabel" else _label
    same = [labels(one) == labels(other) for one, other in zip(before, after, strict=True)]
    return float(np.mean(same)) if same else float("nan")


def _label(answer: Any) -> Any:
    return max(answer, key=answer.__getitem__)


def _labels(answer: Any) -> frozenset[str]:
    return frozenset(name for name, score in answer.items() if score >= THRESHOLD)
