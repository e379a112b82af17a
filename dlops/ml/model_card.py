"""The model's card (Mitchell et al., 2019): what it is, of which data, how good, for what, and for what not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from dlops.config.terminal import visible
from dlops.ml import report

_ANSWERS = {
    "classes": "one of {labels}, with its probability",
    "multilabel": "any number of {labels}, each with its probability",
    "number": "a number",
}
_PIPELINES = {"classes": "text-classification", "multilabel": "text-classification"}


def markdown(found: Mapping[str, Any], *, intended_use: str = "") -> str:
    """Write the card of a summary; model hubs read the YAML at its head.

    `intended_use` is what the user says that the model is for.
    """
    data, revision = found["dataset"], found["model_revision"]
    rows, labels = data["rows"], _codes(data["labels"])
    head = {"base_model": found["model"], "library_name": "transformers", "tags": ["dlops", data["kind"]]}
    if pipeline := _PIPELINES.get(data["kind"]):
        head["pipeline_tag"] = pipeline
    lines = [
        "---",
        *(f"{name}: {_yaml(value)}" for name, value in sorted(head.items())),
        "---",
        "",
        "# Model card",
        "",
        f"Gives each text {_ANSWERS[data['kind']].format(labels=labels)}.",
        "",
        f"- foundation model: {_code(found['model'])}{f' at {_code(revision)}' if revision else ''}",
        f"- fine-tuned with strategy `{found['strategy']}`, epoch {found['best_epoch']} kept",
        f"- data: {_code(data['reference'])}, digest `{data['digest']}`, made from {visible(data['source'])}",
        f"- rows: {rows['train']} train, {rows['val']} val, {rows['test']} test",
        "",
        "## Intended use",
        "",
        intended_use or "Texts like those of the data, in the same language and of the same origin.",
        "",
        "## Figures",
        "",
        found["verdict"],
        "",
        *report.figures(found),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(found)),
    ]
    return "\n".join(lines) + "\n"


def _limits(found: Mapping[str, Any]) -> list[str]:
    """Say what the figures themselves give reason to doubt."""
    data, test = found["dataset"], found["test"]
    limits = ["The figures hold for texts like the test rows; other sources, languages and times were not tested."]
    if data["synthetic"]:
        limits.append("The data is synthetic: nothing here says how the model does on texts that people wrote.")
    if found["warning"]:
        limits.append(f"Tested on {data['rows']['test']} rows, {found['warning']}.")
    few = [label for label, scores in test["classes"].items() if scores["rows"] < _FEW]
    if few:
        limits.append(f"Fewer than {_FEW} test rows have {_codes(few)}.")
    weak = [label for label, scores in test["classes"].items() if scores["recall"] < _WEAK and label not in few]
    if weak:
        limits.append(f"Less than half of the rows of {_codes(weak)} are found.")
    if (error := test.get("calibration_error", 0.0)) > _OFF:
        limits.append(f"Its probabilities are off by {error:.2f} on average: they are no shares of right answers.")
    limits.append("Groups of people that the texts speak of, or come from, were not looked at one by one.")
    return limits


def _yaml(value: Any) -> str:
    """Write a value on one line: quoted, so that a name is no date, number or line of its own."""
    return yaml.safe_dump(value, default_style='"', default_flow_style=True, allow_unicode=True, width=_LINE).strip()


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(_code(text) for text in texts)


def _code(text: str) -> str:
    """Write a text as code, whatever it holds: between more backticks than stand together in it."""
    text = visible(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in (text[:1], text[-1:]) else f"{fence}{text}{fence}"


_FEW = 30
"""Test rows of a label below which its figures say little."""
_WEAK = 0.5
"""Recall below which a label is said to be found rarely."""
_LINE = 2**16
"""Columns that the head's lines have room for: none is folded."""
_OFF = 0.1
"""Calibration error above which it is mentioned."""
