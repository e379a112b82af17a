"""What a search is asked to do, and everything that is wrong with that, at once."""

from __future__ import annotations

from dataclasses import replace

from dlops.config import schema, space
from dlops.config.parameters import STRUCTURES
from dlops.config.space import Space
from dlops.errors import UsageError
from dlops.ml.search import population
from dlops.ml.settings import Finetune, Tune

KNOWN = {parameter.name: parameter for parameter in schema.parameters(Finetune)}
"""What can be searched, but for what is fixed."""
_ALL = {parameter.name: parameter for parameter in schema.parameters(Tune) if parameter.type not in STRUCTURES}
_FIXED = {
    "dataset": "scores on other rows say nothing of each other",
    "objective": "scores of another objective say nothing of each other",
    "seed": "the best of several seeds is luck: confirm_seeds judges the best trials by several",
    "seeds": "confirm_seeds judges the best trials by several",
    "accelerator": "what computes decides of no score",
    "devices": "every trial has one: others are for other trials",
    "nodes": "every trial has one: others are for other trials",
    "weights_from": "it is for the stretches of scheduler=pbt",
    "resume_from": "it is for `dlops resume`",
    "intended_use": "it changes no score",
    "stall_seconds": "it changes no score",
    "checkpoint_seconds": "it changes no score",
    "trust_remote_code": "it is for you to decide",
    "allow_pickle": "it is for you to decide",
}
"""Parameters of `finetune` that are not searched, and why."""
_LONGEST = 500
"""Epochs that a trial has at most: its scores are kept in one tag of its run."""


def read(settings: Tune) -> tuple[Space, tuple[dict[str, str], ...]]:
    """Give the space and the points to try first.

    Raises:
        UsageError: with all that is wrong with the settings.
    """
    problems: list[str] = []
    wrong: list[str] = []
    searched = space.parse(settings.space, _ALL, wrong)
    problems += [f"space: {problem}" for problem in wrong]
    wrong = []
    points = space.points(settings.points, searched, _ALL, wrong) if not problems else ()
    problems += [f"points: {problem}" for problem in wrong]
    for axis in searched.axes:
        if axis.name not in KNOWN:
            problems.append(f"space: {axis.name} is no parameter of finetune, but of the search itself")
        elif axis.name in _FIXED:
            problems.append(f"space: {axis.name} is not searched: {_FIXED[axis.name]}")
    problems += _not_together(settings, searched)
    if problems:
        raise UsageError("The search cannot be done.", problems=problems)
    return searched, points


def is_worth_a_process(settings: Tune, searched: Space) -> bool:
    """Say whether trials may take longer than it takes to start a process: all but heads on frozen layers may."""
    drawn = [axis.values for axis in searched.axes if axis.name == "strategy"]
    return set(drawn[0] if drawn else (settings.strategy,)) != {"freeze"}


def of_a_trial(settings: Tune) -> Tune:
    """Give the settings by which a trial is trained: with `pbt` it has the epochs of a stretch."""
    return replace(settings, epochs=settings.grace_epochs) if settings.scheduler == "pbt" else settings


def fixed(settings: Tune) -> dict[str, str]:
    """Give the canonical text of each parameter of `finetune` as trials have it that do not draw it."""
    given = of_a_trial(settings)
    return {
        name: parameter.canonical(getattr(given, name)) for name, parameter in KNOWN.items() if name != "resume_from"
    }


def _not_together(settings: Tune, searched: Space) -> list[str]:
    problems = []
    if settings.objective != "labels":
        problems.append("objective=mlm is not searched: its score says nothing of what the model is for")
    if settings.seeds != 1:
        problems.append("seeds means nothing to a search: confirm_seeds judges the best trials by several")
    if settings.nodes != 1:
        problems.append("nodes means nothing to a search: its trials are spread over the nodes of the cluster")
    if not searched.axes:
        problems.append("the space is empty: name the parameters to search, `space={learning_rate: {…}}`")
    if settings.search == "grid" and not searched.grid():
        problems.append("search=grid needs axes of kind grid: `batch_size: {grid: [8, 16]}`")
    if settings.search != "grid" and searched.grid():
        names = ", ".join(axis.name for axis in searched.grid())
        problems.append(f"grid axes ({names}) are for search=grid: write choice, or set search=grid")
    drawn = {axis.name for axis in searched.axes if axis.kind != "grid"}
    problems += [
        f"the grid axis {axis.name} depends on {', '.join(above)}, which must be a grid axis too"
        for axis in searched.grid()
        if (above := drawn.intersection(axis.when))
    ]
    if settings.scheduler == "pbt":
        problems += population.problems(settings, searched)
    longest = most_epochs(settings, searched)
    if longest > _LONGEST:
        problems.append(f"a trial has at most {_LONGEST} epochs, not {longest}")
    return problems


def most_epochs(settings: Tune, searched: Space) -> int:
    """Give how many epochs a trial may have."""
    axis = next((axis for axis in searched.axes if axis.name == "epochs"), None)
    if axis is None:
        return settings.epochs
    drawn = int(axis.figures[1]) if axis.figures else max(int(text) for text in axis.values)
    return max(settings.epochs, drawn)
