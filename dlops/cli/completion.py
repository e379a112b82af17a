"""What the shell offers when Tab is pressed: parameters and their choices, runs, entry points, targets."""

from __future__ import annotations

from typing import Any

from dlops.errors import DlopsError


def parameters(ctx: Any, incomplete: str) -> list[str]:
    """Offer `key=` for each parameter, or `--key` where that was begun; after the name its choices."""
    found = entry_point(ctx)
    if found is None:
        return []
    known = {parameter.name: parameter for parameter in found.parameters}
    typed: list[str] = ctx.params.get("overrides") or []
    before, last = ["", "", *typed][-2:]
    name, equals, begun = incomplete.partition("=")
    kept = f"{name}="
    if last == "=":  # bash takes `=` for a word of its own, and has only what follows it replaced
        name, equals, begun, kept = _parameter_name(before), "=", incomplete, ""
    elif (last.startswith("--") or not incomplete) and _parameter_name(last) in known:
        name, equals, begun, kept = _parameter_name(last), "=", incomplete, ""
    if not equals and incomplete.startswith("-"):
        options = [f"--{name if '_' in incomplete else name.replace('_', '-')}" for name in known]
        return [option for option in options if option.startswith(incomplete)]
    if not equals:
        return [f"{name}=" for name in known if name.startswith(incomplete)]
    if name not in known:
        return []
    choices = ("true", "false") if known[name].type == "bool" else known[name].choices
    return [f"{kept}{choice}" for choice in choices if choice.startswith(begun)]


def runs(ctx: Any, incomplete: str) -> list[str]:
    """Offer the latest runs whose ids begin so."""
    from dlops.project import plan
    from dlops.project.runs import latest_ids

    return latest_ids(plan.tracking_uri(ctx.params.get("tracking_uri") or ""), incomplete)


def registered_models(ctx: Any, incomplete: str) -> list[str]:
    """Offer the registered models whose names begin so."""
    from dlops.project import plan
    from dlops.registry import versions

    try:
        names = versions.names(versions.connect(plan.tracking_uri(ctx.params.get("tracking_uri") or "")))
    except DlopsError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def entry_points(ctx: Any, incomplete: str) -> list[str]:
    """Offer the project's entry points."""
    from dlops.project import remotes, source, spec

    uri = ctx.params.get("uri") or "."
    if remotes.is_remote(uri):
        return []  # nobody waits for a network between two keys
    try:
        names = spec.load(source.of(uri).folder).entry_points
    except DlopsError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def targets(incomplete: str) -> list[str]:
    """Offer the targets there are."""
    from dlops.targets import names

    try:
        return [name for name in names.known() if name.startswith(incomplete)]
    except DlopsError:
        return []


def steps(incomplete: str) -> list[str]:
    """Offer the steps there are."""
    from dlops.steps import STEPS

    return [step.name for step in STEPS if step.name.startswith(incomplete)]


def pipeline_steps(ctx: Any, incomplete: str) -> list[str]:
    """Offer the steps of the pipeline."""
    found = _pipeline(ctx)
    return [name for name in found.steps if name.startswith(incomplete)] if found else []


def pipeline_parameters(ctx: Any, incomplete: str) -> list[str]:
    """Offer `STEP.` for each step of the pipeline, `STEP.key=` once its name is there."""
    found = _pipeline(ctx)
    if found is None or "=" in incomplete:
        return []
    name, dot, begun = incomplete.partition(".")
    if not dot:
        return [f"{step}." for step in found.steps if step.startswith(name)]
    if name not in found.steps:
        return []
    from dlops.project import plan

    try:
        parameters = plan.entry_point(found.steps[name].kind, ctx.params.get("uri") or ".").parameters
    except DlopsError:
        return []
    return [f"{name}.{parameter.name}=" for parameter in parameters if parameter.name.startswith(begun)]


def _pipeline(ctx: Any) -> Any:
    """Read the pipeline that a command line is about; `None` where there is none on this machine."""
    from dlops.project import remotes, source
    from dlops.project.pipeline import definition

    uri = ctx.params.get("uri") or "."
    if remotes.is_remote(uri):
        return None
    try:
        return definition.load(ctx.params.get("config") or source.of(uri).folder / definition.FILE)
    except DlopsError:
        return None


def environments(incomplete: str) -> list[str]:
    """Offer the kinds of environment."""
    from dlops.project.environment import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def _parameter_name(word: str) -> str:
    return word.removeprefix("--").replace("-", "_") if word.startswith("--") else word


def entry_point(ctx: Any) -> Any:
    """Find the entry point that a command line is about; `None` where the project has none, or is none."""
    from dlops.project import plan

    step = ctx.params.get("step") or ctx.info_name or ""
    try:
        return plan.entry_point(step, ctx.params.get("uri") or ".", ctx.params.get("entry_point") or "")
    except DlopsError:
        return None
