"""What becomes of each step of a pipeline, and why: taken from the cache, run, or not known before another has run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlops.errors import ConfigError, UsageError
from dlops.project import environment, plan, resume
from dlops.project.pipeline import fingerprint, inputs, packages, references, step_requests
from dlops.project.pipeline.asked import Asked
from dlops.project.pipeline.definition import Pipeline, Step, text_of
from dlops.project.pipeline.fingerprint import Ingredients, Input
from dlops.project.pipeline.finished import PARENT, STEP, Store
from dlops.project.pipeline.progress import CACHED, LEFT_OUT, SKIPPED, TAKEN
from dlops.project.pipeline.results import Result, of_all
from dlops.project.plan import Plan, Request
from dlops.worker import masking

WILL_RUN, UNKNOWN = "will run", "unknown"
"""States of a step before anything runs, beside those that it keeps: cached, taken, skipped, left out."""
_FRESH = 1.0
"""Seconds for which the digests of a project's files are not made again: several steps are looked at in a row."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One step as it is before it runs."""

    step: Step
    state: str
    why: str = ""
    result: Result | None = None
    """Of one that need not run."""
    plan: Plan | None = None
    request: Request | None = None
    """Of one that runs."""
    ingredients: Ingredients | None = None
    own: str = ""
    """Digest of what no other step gives."""

    def document(self, pipeline: Pipeline) -> dict[str, Any]:
        """Give it as `--dry-run --json` shows it."""
        held: dict[str, Any] = {
            "name": self.step.name,
            "state": self.state,
            "why": self.why,
            "target": self.plan.target if self.plan else "local",
            "needs": list(pipeline.steps[self.step.name].before),
            "fingerprint": self.ingredients.digest if self.ingredients and self.state != UNKNOWN else None,
        }
        if self.result:
            held |= {"run_id": self.result.run_id, "outputs": dict(self.result.outputs)}
        return held


class Planner:
    """Looks at steps, one after the other, as what they need becomes known."""

    def __init__(self, asked: Asked, pipeline: Pipeline, folder: Path, store: Store | None) -> None:
        """Take a pipeline of the project in `folder`; `store` is `None` where nothing was ever recorded.

        Raises:
            UsageError: it names steps that there are not.
        """
        self.asked, self.pipeline, self.chosen = asked, pipeline, asked.selection.names(pipeline)
        self._folder, self._store = folder, store
        self._digests: dict[tuple[str, ...] | None, tuple[float, dict[str, str]]] = {}
        self._locks: dict[tuple[str, bool], tuple[str, ...]] = {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets of all steps: one of them may stand in a value of another."""
        held = (self.asked.values(step) for step in self.pipeline.steps.values())
        found = (masking.known_secrets({}, {name: text_of(value) for name, value in values.items()}) for values in held)
        return tuple(dict.fromkeys(itertools.chain.from_iterable(found)))

    def all(self) -> list[Look]:
        """Look at all steps as they are now, none of which runs (`--dry-run`)."""
        found: dict[str, Look] = {}
        for step in self.pipeline.steps.values():
            results = {name: look.result for name, look in found.items() if look.result}
            gone = next((name for name in step.before if found[name].state == SKIPPED), "")
            if gone:
                found[step.name] = Look(step=step, state=SKIPPED, why=f"{gone} is skipped")
            else:
                found[step.name] = self.look(step, results)
        return list(found.values())

    def look(self, step: Step, results: Mapping[str, Result]) -> Look:
        """Look at one step, as far as the results of those that it takes something from are known.

        Raises:
            UsageError, ConfigError: a value that came from another step does not fit.
            StepFailed: another step has not given what this one takes.
            UnreachableError: the store does not answer.
        """
        chosen = step.name in self.chosen
        if not chosen and not self.chosen & self.pipeline.after(step.name):
            return Look(step=step, state=LEFT_OUT, why="not asked for")
        for condition in step.when if chosen else ():
            if all(reference.step in results for reference in condition.references):
                value = of_all(results)
                if not _holds(step, condition, value):
                    return Look(step=step, state=SKIPPED, why=f"{condition.told(value)} does not hold")
            else:
                return Look(step=step, state=UNKNOWN, why=f"until {condition.references[0].step} has run")
        request = step_requests.request(self.asked, self.pipeline, step, results)
        made = plan.make(request)
        referring = {name for name, value in self.asked.values(step).items() if list(references.found(text_of(value)))}
        held = self._ingredients(step, made, request.later)
        if not chosen:
            return self._taken(step, None if request.later or held.uncertain else held)
        look = Look(
            step=step, state=WILL_RUN, plan=made, request=request, ingredients=held, own=held.without(referring)
        )
        if not request.later and (adopted := self._of_the_one_before(step, held)):
            return replace(look, state=CACHED, why="it had finished", result=Result.of(adopted))
        if held.uncertain:
            return replace(look, why=held.uncertain)
        if step.name in self.asked.force:
            return replace(look, why="--force")
        if not self.is_cacheable(step, made):
            return replace(look, why="it is never taken from the cache")
        if request.later:
            waited = next(reference.step for reference in step.references if reference.step not in results)
            if self._store and self._store.ever_had(look.own):
                return replace(look, state=UNKNOWN, why=f"until {waited} has run")
            return replace(look, why=self._difference(step, held, request.later) or f"{waited} runs")
        found, why = self._cached(held)
        if found:
            return replace(look, state=CACHED, why="nothing has changed", result=Result.of(found))
        return replace(look, why=why or self._difference(step, held, ()))

    def is_cacheable(self, step: Step, made: Plan) -> bool:
        """Say whether a step may be taken as it was, by the pipeline's word, else MLproject's."""
        return made.entry_point.cache if step.cache is None else step.cache

    def goes_on(self, look: Look, run_id: str) -> str:
        """Give the run that a step goes on from which is tried again, where its entry point takes one."""
        return run_id if look.plan and resume.PARAMETER in look.plan.values else ""

    def unfinished(self, look: Look) -> str:
        """Give the run of the pipeline before that a step may go on from.

        Only one of the same ingredients will do, and where the entry point takes it.
        """
        assert look.plan
        if self._store is None or resume.PARAMETER not in look.plan.values:
            return ""
        wanted = look.ingredients.digest if look.ingredients else ""
        for run in self._store.before(self.asked.resumed_from):
            tags = run.data.tags
            if tags.get(STEP) == look.step.name and tags.get(fingerprint.TAG) == wanted != "":
                return "" if run.info.status in ("RUNNING", "FINISHED") else str(run.info.run_id)
        return ""

    def request(self, look: Look, parent: str, *, resumed: str = "") -> Request:
        """Ask for the launch of a step below a pipeline's run; with `resumed`, it goes on from that run."""
        assert look.request
        tags = {PARENT: parent, STEP: look.step.name}
        if look.ingredients:
            tags |= {fingerprint.TAG: look.ingredients.digest, fingerprint.OWN: look.own}
        given = dict(look.request.given)
        if resumed:
            tags["dlops.resumed_from"] = resumed
            given[resume.PARAMETER] = resumed
        return replace(look.request, tags=tags, given=given, run_name=look.step.name)

    def _ingredients(self, step: Step, made: Plan, later: Collection[str]) -> Ingredients:
        """Gather what the step's results rest on, as far as it is known."""
        pointing, plain, uncertain = {}, {}, ""
        shown = made.shown_values
        for setting in made.settings:
            name = setting.parameter.name
            if name in later or name == resume.PARAMETER:
                continue
            if setting.value and setting.parameter.type in inputs.KINDS:
                client = self._store.client if self._store else None
                try:
                    state = inputs.state(client, setting.parameter.type, setting.value)
                except inputs.UnknownError as error:
                    told = masking.text(str(error), made.secrets)
                    state, uncertain = f"unknown, of {shown[name]}", uncertain or told
                pointing[name] = Input(shown[name], state)
            else:
                plain[name] = shown[name]
        globs = step.depends if step.depends is not None else made.entry_point.depends
        return Ingredients(
            entry_point=f"{made.entry_point.name}: {made.entry_point.command}",
            files=self._files(globs, made),
            parameters=plain,
            inputs=pointing,
            environment=self._lock(made),
            uncertain=uncertain,
        )

    def _files(self, globs: Sequence[str] | None, made: Plan) -> dict[str, str]:
        key = None if globs is None else tuple(globs)
        then, found = self._digests.get(key, (0.0, {}))
        if time.monotonic() - then > _FRESH or key not in self._digests:
            own = {f"configs/{name}.yaml" for name in [*made.project.entry_points, "dlops"]}
            own |= {f"configs/{step.kind}.yaml" for step in self.pipeline.steps.values()}
            file = Path(self.asked.file)  # another pipeline than the project's usual one may lie among its files
            own.add((file.relative_to(self._folder) if file.is_relative_to(self._folder) else file).as_posix())
            found = fingerprint.project_files(made.source.folder, globs, own)
            self._digests[key] = time.monotonic(), found
        return found

    def _lock(self, made: Plan) -> tuple[str, ...]:
        here = made.target == "local"
        key = made.environment_kind, here
        if key not in self._locks:
            text = made.lock or environment.lock_of(made.environment_kind, made.project.environment_file, here=here)
            lines = [line for line in text.splitlines() if line.strip()]
            own = packages.told_by_files(self._folder) if here and made.environment_kind == "local" else []
            self._locks[key] = (*lines, *own)
        return self._locks[key]

    def _taken(self, step: Step, held: Ingredients | None) -> Look:
        """Take a step that is not among the chosen ones as it last was, or as it is asked for.

        Raises:
            UsageError: it has never finished, and a chosen one takes something of it.
        """
        if self._store and (run_id := self.asked.taken.get(step.name)):
            return Look(step=step, state=TAKEN, why="as it was then", result=Result.of(self._store.run(run_id)))
        found = next(iter(self._store.with_fingerprint(held.digest)), None) if self._store and held else None
        if found:
            return Look(step=step, state=TAKEN, why="nothing has changed", result=Result.of(found))
        latest = self._store.latest(step.name) if self._store else None
        taken = {reference.step for name in self.chosen for reference in self.pipeline.steps[name].references}
        if latest is None and step.name not in taken:
            return Look(step=step, state=LEFT_OUT, why="not asked for")
        if latest is None:
            raise UsageError(
                f"{step.name} has never finished here, and others need what it gives.",
                hint=f"Let it run too: leave --from or --only out, or begin with it: --from {step.name}.",
            )
        why = (held and self._difference(step, held, ())) or "not looked at"
        return Look(step=step, state=TAKEN, why=f"as it was: {why}", result=Result.of(latest))

    def _of_the_one_before(self, step: Step, held: Ingredients) -> Any:
        """Find the step's finished run in the pipeline that is gone on with, whatever the cache may do."""
        for run in self._store.before(self.asked.resumed_from) if self._store else ():
            tags = run.data.tags
            if tags.get(STEP) == step.name and tags.get(fingerprint.TAG) == held.digest and _has_finished(run):
                assert self._store
                return None if self._store.damage(run) else run
        return None

    def _cached(self, held: Ingredients) -> tuple[Any, str]:
        """Find a finished run of the same ingredients whose outputs are as they were; else say what is wrong."""
        why = ""
        for run in self._store.with_fingerprint(held.digest) if self._store else ():
            assert self._store
            wrong = self._store.damage(run)
            if not wrong:
                return run, ""
            why = why or wrong
        return None, why

    def _difference(self, step: Step, held: Ingredients, later: Collection[str]) -> str:
        """Say in what the step differs from the last time it finished."""
        latest = self._store.latest(step.name) if self._store else None
        before = self._store.ingredients(latest.info.run_id) if self._store and latest else None
        if before is None:
            return "it has never finished here"
        return fingerprint.difference(before, held, unknown=later)


def _has_finished(run: Any) -> bool:
    return bool(run.info.status == "FINISHED")


def _holds(step: Step, condition: Any, value: Any) -> bool:
    try:
        return bool(condition.holds(value))
    except ValueError as error:
        raise ConfigError(f"{step.where or step.name}: when: {error}") from error
