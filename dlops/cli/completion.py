"""What the shell offers when Tab is pressed: steps' parameters and their choices, entry points, targets."""

from __future__ import annotations

from typing import Any

from dlops.errors import DlopsError


def parameters(ctx: Any, incomplete: str) -> list[str]:
    """Offer `key=` for each parameter, and after `key=` its choices."""
    found = _entry_point(ctx)
    if found is None:
        return []
    name, equals, begun = incomplete.partition("=")
    if not equals:
        return [f"{parameter.name}=" for parameter in found.parameters if parameter.name.startswith(incomplete)]
    chosen = next((parameter for parameter in found.parameters if parameter.name == name), None)
    if chosen is None:
        return []
    choices = ("true", "false") if chosen.type == "bool" else chosen.choices
    return [f"{name}={choice}" for choice in choices if choice.startswith(begun)]


def entry_points(ctx: Any, incomplete: str) -> list[str]:
    """Offer the project's entry points."""
    from dlops.project import source, spec

    try:
        names = spec.load(source.folder(ctx.params.get("uri") or ".").folder).entry_points
    except DlopsError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def targets(incomplete: str) -> list[str]:
    """Offer the targets there are."""
    from dlops.targets.names import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def steps(incomplete: str) -> list[str]:
    """Offer the steps there are."""
    from dlops.steps import STEPS

    return [step.name for step in STEPS if step.name.startswith(incomplete)]


def environments(incomplete: str) -> list[str]:
    """Offer the kinds of environment."""
    from dlops.project.environment import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def _entry_point(ctx: Any) -> Any:
    from dlops.project import plan

    step = ctx.params.get("step") or ctx.info_name or ""
    try:
        return plan.entry_point(step, ctx.params.get("uri") or ".", ctx.params.get("entry_point") or "")
    except DlopsError:
        return None
