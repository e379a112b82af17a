"""All that a set of explanations came to: what can be required of it, its document, and what it leaves on its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlops.data import scratch
from dlops.ml import explanation_page, explanation_pictures, gates, record
from dlops.ml.attributions.faithfulness import Faithfulness
from dlops.ml.datasets import Dataset
from dlops.ml.explainable import Explainable
from dlops.ml.explained_set import Collected, Contrast
from dlops.ml.explaining import Choice, Reject
from dlops.ml.explanations import Explanation
from dlops.ml.progress import say
from dlops.ml.settings import Explain

REPORT, DOCUMENT, REJECTS = "explanations.html", "explanations.json", "rejects.json"
PLOTS = "plots"
NAMES = ("rows", "rejected", "additivity_error", "comprehensiveness", "sufficiency", "deletion", "gain")
"""What can be required; with another model `rank_correlation` too."""


@dataclass(frozen=True)
class Explained:
    """Explanations of a set of texts, and how far they can be trusted."""

    settings: Explain
    model: Explainable
    dataset: Dataset | None
    choice: Choice
    collected: Collected
    rejected: Sequence[Reject]
    trust: Faithfulness | None
    chance: Faithfulness | None
    """What an order drawn by chance comes to, on the same rows."""
    contrast: Contrast | None
    seconds: float
    """That all of it took."""

    @property
    def facts(self) -> dict[str, float | str]:
        """Give everything that can be required, by name."""
        found: dict[str, float | str] = {
            "rows": float(self.collected.rows),
            "rejected": float(len(self.rejected)),
            "additivity_error": self.collected.mean_error,
        }
        if self.trust and self.chance:
            means, floor = self.trust.means(), self.chance.means()
            found |= {**means, "gain": means["comprehensiveness"] - floor["comprehensiveness"]}
        if self.contrast:
            found["rank_correlation"] = self.contrast.correlation
        return found

    def document(self, answers: Sequence[gates.Answer]) -> dict[str, Any]:
        """Give everything as plain values."""
        trust = (
            {
                **self.trust.means(),
                "by_chance": self.chance.means(),
                "rows": len(self.trust.deletion),
            }
            if self.trust and self.chance
            else {}
        )
        words = {label: self.collected.words(label) for label in self.collected.labels}
        data = self.dataset
        return {
            "model": self.settings.model,
            "model_uri": self.model.uri,
            "dataset": {"reference": data.reference, "digest": data.digest, "split": self.settings.split}
            if data
            else None,
            "method": self.choice.method,
            "why": self.choice.why,
            "drops": self.choice.drops,
            "rows": self.collected.rows,
            "rejected": len(self.rejected),
            "seconds_a_row": self.seconds / max(1, self.collected.rows),
            "additivity_error": {"mean": self.collected.mean_error, "largest": self.collected.largest_error},
            "trust": trust,
            "words": {label: [word.as_dict() for word in found] for label, found in words.items() if found},
            "against": {"model": self.settings.against, **self.contrast.as_dict()} if self.contrast else None,
            "requirements": [
                {"requirement": one.requirement.text, "found": one.found, "holds": one.holds} for one in answers
            ],
        }


def log(found: Explained, answers: Sequence[gates.Answer]) -> None:
    """Leave everything on the run: report, document, metrics, plots, rejects; the output `report`."""
    collected = found.collected
    document = found.document(answers)
    drawn = _pictures(found)
    for name, figure in drawn.items():
        record.picture(name, figure)
    record.metrics({name: float(value) for name, value in found.facts.items() if value == value})
    record.document(DOCUMENT, document)
    record.text(REPORT, explanation_page.html(document, drawn, collected.first, collected.wrong))
    _log_plots(collected.first)
    if collected.wrong:
        record.table("disagreements.json", [_disagreement(one) for one in collected.wrong])
    if found.rejected:
        record.table(REJECTS, [vars(one) for one in found.rejected])
        say(f"{len(found.rejected)} rows could not be explained: {REJECTS} says why")
    record.output("report", f"runs:/{record.run_id()}/{REPORT}")
    say(_told(found))
    for answer in answers:
        say(str(answer))


def _pictures(found: Explained) -> dict[str, Any]:
    title = f"{found.settings.model[-50:]}, {found.choice.method}, {found.collected.rows} rows"
    words = {label: found.collected.words(label) for label in found.collected.labels}
    drawn = {}
    if any(words.values()):
        drawn["words.png"] = explanation_pictures.strongest(words, title)
    if found.contrast and (found.contrast.gained or found.contrast.lost):
        drawn["contrast.png"] = explanation_pictures.contrast(
            found.contrast, f"{title}\nagainst {found.settings.against}"
        )
    return drawn


def _log_plots(rows: Sequence[Explanation]) -> None:
    """Keep shap's own plots of some rows: a page of each text, and a picture of its words."""
    with scratch.folder() as folder:
        for place, one in enumerate(rows):
            name = f"{place:03}-{one.id[:12]}"
            (folder / f"{name}.html").write_text(explanation_pictures.text_plot(one), encoding="utf-8")
            explanation_pictures.bars(one).savefig(folder / f"{name}.png", dpi=100)
            for suffix in ("html", "png"):
                record.file(folder / f"{name}.{suffix}", PLOTS)


def _disagreement(one: Explanation) -> dict[str, Any]:
    drove = sorted(one.words(), key=lambda entry: -entry[1])[:5]
    return {
        "id": one.id,
        "label": one.label,
        "answer": one.target,
        "probability": one.output,
        "words": ", ".join(f"{word} {value:+.3f}" for word, value in drove),
        "text": one.text,
    }


def _told(found: Explained) -> str:
    method = found.choice.method.replace("_", " ")
    rows = found.collected.rows
    told = f"{rows:,} rows explained by {method}, {found.seconds / max(1, rows):.2g} s each"
    if found.trust and found.chance:
        mine, floor = found.trust.means()["comprehensiveness"], found.chance.means()["comprehensiveness"]
        told += f"; without its top fifth of the tokens the output falls by {mine:.3f} (by chance {floor:.3f})"
    return f"{told}."


def facts_named(settings: Explain) -> Mapping[str, None]:
    """Name what can be required of these settings."""
    return dict.fromkeys([*NAMES, *(["rank_correlation"] if settings.against else [])])
