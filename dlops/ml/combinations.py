"""Settings that do not go together: those that are refused, and those that change nothing, which is told."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from dlops.errors import UsageError
from dlops.ml.settings import Finetune

if TYPE_CHECKING:
    from dlops.ml.datasets import Dataset

_STAGED = ("freeze_unfreeze", "unfreeze_milestones")
_DEFAULTS = {field.name: field.default for field in fields(Finetune)}


def check(settings: Finetune) -> None:
    """Refuse what makes no sense together.

    Raises:
        UsageError: some settings do not; all at once.
    """
    problems = [*_without_labels(settings), *_stages(settings)]
    if problems:
        raise UsageError("The parameters do not go together.", problems=problems)


def _without_labels(settings: Finetune) -> list[str]:
    if settings.objective != "mlm":
        return []
    wrong = {
        "strategy": settings.strategy in ("freeze", *_STAGED),
        "head": settings.head != "auto",
        "class_weights": settings.class_weights != "none",
        "seeds": settings.seeds != 1,
        "weights_from": settings.weights_from is not None,
    }
    ways_out = {"strategy": "; no_freeze and lora go with it"}
    return [
        f"{_told(settings, name)} means nothing with objective=mlm{ways_out.get(name, '')}"
        for name in wrong
        if wrong[name]
    ]


def _stages(settings: Finetune) -> list[str]:
    if settings.strategy not in _STAGED:
        return []
    milestones = settings.unfreeze[:1] if settings.strategy == "freeze_unfreeze" else settings.unfreeze
    told, problems = _told(settings, "unfreeze"), []
    if settings.strategy == "unfreeze_milestones" and (len(milestones) != 2 or milestones[0] >= milestones[-1]):
        problems.append(f"{told} names no two epochs, the second after the first, as unfreeze_milestones needs them")
    if settings.epochs <= max(milestones):
        problems.append(
            f"{told} needs epochs={max(milestones) + 1} at least, not {settings.epochs}:"
            " epochs count from 0, and not everything would be trained"
        )
    return problems


def unused(settings: Finetune, dataset: Dataset) -> list[str]:
    """Name the settings that were chosen, and change nothing beside the others or on this data."""
    strategy = _told(settings, "strategy")
    frozen = strategy if settings.strategy == "freeze" else ""
    judged = "there are no val rows" if not len(dataset.val) else ""
    mlm = settings.objective == "mlm"
    reasons = {
        "learning_rate": frozen,
        "devices": f"{frozen} trains a head on one" if frozen else "",
        "nodes": f"{frozen} trains a head on one" if frozen else "",
        "unfreeze": strategy if settings.strategy not in _STAGED else "",
        "unfreeze_layers": strategy if settings.strategy != "unfreeze_milestones" else "",
        "lora_rank": strategy if settings.strategy != "lora" else "",
        "batch_size": _told(settings, "batch_tokens") if settings.batch_tokens else "",
        "mask_share": "" if mlm else _told(settings, "objective"),
        "intended_use": _told(settings, "objective") if mlm else "",
        "class_weights": "the labels are numbers" if dataset.kind == "number" else "",
        "early_stopping": judged,
    }
    return [
        f"{_told(settings, name)} changes nothing: {reason}"
        for name, reason in reasons.items()
        if reason and getattr(settings, name) != _DEFAULTS[name]
    ]


def _told(settings: Finetune, name: str) -> str:
    """Write a setting as the command line has it."""
    value = getattr(settings, name)
    return f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
