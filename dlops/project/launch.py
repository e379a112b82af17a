"""Launch one entry point and follow it to its truthful end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dlops.errors import ConfigError, DlopsError, Interrupted, StepFailed, UnreachableError, UsageError
from dlops.project import environment, plan, preflight, resume, runs
from dlops.project.environment import Environment
from dlops.project.outcome import Outcome, error_of
from dlops.project.plan import Plan, Request
from dlops.targets.interface import Event, Launched, Show, Target
from dlops.worker.job import Job

_KINDS: dict[str, type[DlopsError]] = {"unreachable": UnreachableError, "usage": UsageError, "config": ConfigError}


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which nobody at a terminal has typed."""


def launch(
    request: Request,
    target: Target,
    *,
    show: Show,
    leave: Callable[[], bool] = lambda: False,
    detach: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Plan, check, start and follow; `show` is called with each event on the way.

    Ctrl-C ends the run; but one that goes on elsewhere stays as it is where `leave`, asked then, says so.

    Raises:
        UsageError, ConfigError: something is wrong, and no run was created.
        UnreachableError: the tracking store or the target does not answer, and no run was created.
    """
    planned, job = prepare(request, target, show, dry_run=dry_run)
    runs.unhurried()
    with signals_as_interrupts():
        launched = target.start(job, show)
        asked = (lambda: False) if target.here else leave
        return follow(planned, launched, show, leave=asked, detach=detach, stays=target.stays)


def prepare(request: Request, target: Target, show: Show, *, dry_run: bool = False) -> tuple[Plan, Job]:
    """Plan, check, and make the environment, unless nothing is to be started; give the plan and what a worker is asked.

    Raises:
        UsageError, ConfigError: something is wrong.
    """
    planned = plan.with_commit(plan.make(request))
    unbuilt = Environment(planned.environment_kind, ())
    preflight.check(planned, planned.job(unbuilt), target)
    if dry_run:
        return planned, planned.job(unbuilt)
    if planned.environment_kind == "uv":
        show({"event": "preparing", "text": f"environment of {planned.project.environment_file}"})
    made = environment.ready if target.here else environment.elsewhere
    job = planned.job(made(planned.environment_kind, planned.project.environment_file, planned.lock))
    if not target.here:
        preflight.check(planned, job, target)  # what is to be installed is known only now
    return planned, job


def follow(
    planned: Plan,
    launched: Launched,
    show: Show,
    *,
    leave: Callable[[], bool] = lambda: False,
    detach: bool = False,
    stays: bool = False,
) -> Outcome:
    """Follow a launch to its end, or until it is left alone."""
    facts: dict[str, Any] = {
        "step": planned.step,
        "target": planned.target,
        "entry_point": planned.entry_point.name,
        "tracking_uri": planned.tracking_uri,
        "params": planned.shown_values,
    }
    interrupted = False
    while True:
        try:
            for event in launched.events():
                show(event)
                if interrupted and event["event"] == "lost" and "run_id" not in facts:
                    raise Interrupted(f"{planned.step} was ended before its run began.")
                if event["event"] == "started":
                    facts |= {"run_id": event["run_id"], "experiment_id": event["experiment_id"]}
                    if detach:
                        return Outcome(**facts, status="RUNNING")
                elif outcome := _outcome(event, facts, planned):
                    return outcome
        except KeyboardInterrupt as asked:
            typed = not isinstance(asked, _Terminated)
            if "run_id" in facts and not interrupted and (stays or (typed and _is_left(leave))):
                return Outcome(**facts, status="RUNNING")
            launched.terminate()
            show({"event": "interrupted"})
            interrupted = True


def _is_left(leave: Callable[[], bool]) -> bool:
    """Ask; who interrupts that too wants the run's end."""
    try:
        return leave()
    except KeyboardInterrupt:
        return False


def _outcome(event: Event, facts: dict[str, Any], planned: Plan) -> Outcome | None:
    """Turn an event that ends the following into the outcome, any other into nothing."""
    match event["event"]:
        case "ready":
            return Outcome(**facts, status="RUNNING", outputs=event["outputs"], duration_s=event["duration_s"])
        case "planned":
            return Outcome(**facts, status="PLANNED", plan=planned.as_dict())
        case "failed":
            raise _KINDS.get(event["kind"], UnreachableError)(event["message"], hint=event["hint"])
        case "lost":
            run_id = facts.get("run_id", "")
            said = runs.close_lost(planned.tracking_uri, run_id) if run_id else event["text"]
            hint = _way_on(planned, run_id) or "Launch it again."
            what = f"{planned.step} failed." if event.get("hosted") else f"The worker of {planned.step} was killed."
            error = StepFailed(f"{what}\n{said}".strip(), hint=hint)
            return Outcome(**facts, status="FAILED", error=error)
        case "ended":
            held: dict[str, Any] = {name: event[name] for name in ("params", "metrics", "outputs") if name in event}
            way_on = _way_on(planned, facts["run_id"])
            option = plan.option(planned.tracking_uri)
            error_found = error_of(event, planned.step, facts["run_id"], option=option, way_on=way_on)
            facts = {**facts, **held, "duration_s": event["duration_s"]}
            return Outcome(**facts, status=event["status"], error=error_found)
    return None


def _way_on(planned: Plan, run_id: str) -> str:
    """Say how an interrupted run can go on, if its entry point can."""
    option = plan.option(planned.tracking_uri)
    if run_id and planned.step == resume.PIPELINE:
        return f"`dlops resume {run_id}{option}` goes on with the steps that are left."
    can = run_id and resume.PARAMETER in planned.values
    return f"`dlops resume {run_id}{option}` goes on from its last checkpoint." if can else ""


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Treat SIGTERM much as Ctrl-C while a run is followed: both ask the worker to end it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
