"""The table of steps: one word each, the same in the command, the script, the entry point and the config."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One stage of the life cycle."""

    name: str
    summary: str
    outputs: tuple[str, ...]
    """Names of the tags `dlops.output.NAME` that the step answers with."""
    next: str
    """What a user types after it; an output's name in braces stands for its value."""


STEPS = (
    Step(
        "ingest",
        "Turn raw data into a versioned, checked dataset.",
        ("dataset", "digest"),
        "dlops finetune dataset={dataset}",
    ),
    Step("finetune", "Fine-tune a pretrained model on an ingested dataset.", ("model",), "dlops ui"),
    Step(
        "tune",
        "Search the parameters of finetune for better ones.",
        ("best_config", "best_run", "model"),
        "dlops finetune -c {best_config}",
    ),
    Step(
        "evaluate",
        "Judge a model beside others, and hold it to requirements.",
        ("verdict", "report"),
        "dlops ui",
    ),
    Step(
        "explain",
        "Explain what of each text a model's answers rest on.",
        ("report", "explainer"),
        "dlops ui",
    ),
    Step("register", "Register a model that has earned it.", ("version",), "dlops models"),
    Step("serve", "Answer over HTTP, from the version an alias names.", ("url",), "curl {url}/version"),
    Step(
        "predict",
        "Answer every row of a source, each once.",
        ("predictions", "rejects"),
        "dlops ui",
    ),
)


def named(name: str) -> Step | None:
    """Find a step by its name."""
    return next((step for step in STEPS if step.name == name), None)
