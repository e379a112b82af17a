"""The process that runs a pipeline: it starts each step when what it needs is there, and ends all truthfully.

It is the command of the pipeline's own run, which a worker keeps like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from dlops.config import folders
from dlops.errors import DlopsError, GateFailed, Interrupted, StepFailed, UnreachableError
from dlops.project import source as sources
from dlops.project.outcome import Outcome
from dlops.project.pipeline import keeping, progress
from dlops.project.pipeline.asked import Asked
from dlops.project.pipeline.attempt import Attempt, News
from dlops.project.pipeline.definition import Step
from dlops.project.pipeline.fingerprint import ARTIFACT as FINGERPRINT
from dlops.project.pipeline.finished import STEP, Store, unreachable
from dlops.project.pipeline.planning import Look, Planner
from dlops.project.pipeline.printing import Printer
from dlops.project.pipeline.progress import OVER, USABLE, StepProgress
from dlops.project.pipeline.results import Result
from dlops.targets.interface import Event
from dlops.targets.local import Local
from dlops.targets.names import named
from dlops.worker import reaper, tracking
from dlops.worker.__main__ import work
from dlops.worker.forks import Forks, is_possible

_OWN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "DLOPS_PROGRESS", "DLOPS_ORIGINS", "PYTHONSAFEPATH")
"""Variables of this process that are no step's."""
_TELL = 1.0
"""Seconds between two accounts of how it is."""
_LONGEST_END = 240.0
"""Seconds in which a run elsewhere reads that it is to end and does, or is taken for lost."""
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a step is tried again; twice as many each time."""
_NEED_NOT_RUN = (progress.CACHED, progress.TAKEN, progress.LEFT_OUT)


class Runner:
    """One pipeline, from its first step to its last."""

    def __init__(
        self, planner: Planner, store: Store, run_id: str, parallel: int, told: Path, forks: Forks | None
    ) -> None:
        self._planner, self._store, self._run_id, self._account, self._forks = planner, store, run_id, told, forks
        self._parallel = parallel or len(planner.pipeline.steps)
        self._steps = {
            step.name: StepProgress(name=step.name, before=step.before, target=planner.asked.target_of(step))
            for step in planner.pipeline.steps.values()
        }
        self._results: dict[str, Result] = {}
        self._looks: dict[str, Look] = {}
        self._attempts: dict[str, Attempt] = {}
        self._again: dict[str, tuple[float, str]] = {}
        """Step that is tried again → when, and the run that it goes on from."""
        self._errors: dict[str, DlopsError] = {}
        self._news: News = SimpleQueue()
        self._printer = Printer(self._steps)
        self._asked_to_end = 0
        self._told = 0.0

    def run(self) -> None:
        """Run all.

        Raises:
            DlopsError: of the step that failed first; a gate's comes after all others.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_end)
        self._wait_for_those_before()
        while self._go_on():
            self._tell()
            self._take_news()
        self._tell(at_once=True)
        keeping.summary(self._store, self._run_id, self.steps, self._results)
        self._fail()

    @property
    def steps(self) -> list[StepProgress]:
        """How each step is."""
        return list(self._steps.values())

    def _wait_for_those_before(self) -> None:
        """Wait for the steps of the pipelines that are gone on with: elsewhere, they may still be ending.

        Raises:
            UnreachableError: one does not end.
        """
        before, told = list(self._store.chain(self._planner.asked.resumed_from)), set[str]()
        for pipeline in before:
            self._store.asked(lambda pipeline=pipeline: reaper.end_steps(self._store.client, pipeline))
        deadline = time.monotonic() + _LONGEST_END
        while not self._asked_to_end:
            open_runs = [run for pipeline in before for run in self._store.open_below(pipeline.info.run_id)]
            if not open_runs:
                return
            for run in open_runs:
                name, run_id = run.data.tags[STEP], run.info.run_id
                if time.monotonic() > deadline:
                    raise UnreachableError(
                        f"{name} of the pipeline before still runs: run {run_id} was asked to end.",
                        hint=f"`dlops cancel {run_id}` ends it; then `dlops resume` goes on.",
                    )
                if run_id not in told:
                    told.add(run_id)
                    self._printer.say(name, f"waits until run {run_id} of the pipeline before has ended")
            time.sleep(_TELL)

    def _go_on(self) -> bool:
        """Start what may start; say whether there is anything to wait for."""
        if self._asked_to_end:
            self._give_up_waiting()
        moved = True
        while moved and not self._asked_to_end:
            moved = any(list(self._started(step)) for step in self._planner.pipeline.steps.values())
        return bool(self._attempts or self._again)

    def _started(self, step: Step) -> Iterator[bool]:
        """Bring one step further; give something where that changed anything."""
        now = self._steps[step.name]
        if self._asked_to_end:
            return
        if step.name in self._again:
            when, run_id = self._again[step.name]
            if time.monotonic() >= when and len(self._attempts) < self._parallel:
                del self._again[step.name]
                self._try_again(step, now, run_id)
            return
        if now.state != progress.WAITING:
            return
        stopped = [name for name in step.before if self._steps[name].state in OVER - USABLE]
        if stopped:
            now.state, now.why = progress.SKIPPED, f"{stopped[0]} {self._what_became_of(stopped[0])}"
            self._printer.say(step.name, f"skipped: {now.why}")
            yield True
        elif all(self._steps[name].state in USABLE for name in step.before) and len(self._attempts) < self._parallel:
            self._begin(step, now, self._planner.unfinished)
            yield True

    def _begin(self, step: Step, now: StepProgress, goes_on: Callable[[Look], str]) -> None:
        """Look at a step that has all it needs, and start it unless it need not run; `goes_on` says from which run."""
        try:
            look = self._looks[step.name] = self._planner.look(step, self._results)
            now.why = look.why
            if look.state == progress.SKIPPED:
                now.state = progress.SKIPPED
                self._printer.say(step.name, f"skipped: {look.why}")
            elif look.state in _NEED_NOT_RUN:
                self._take(look, now)
            else:
                self._launch(look, goes_on(look))
        except DlopsError as error:
            self._failed(now, error)
        except Exception as error:  # of a driver, say: the other steps go on
            self._failed(now, StepFailed(f"{type(error).__name__}: {error}"))

    def _try_again(self, step: Step, now: StepProgress, run_id: str) -> None:
        """Start a step once more, as it is by now: what it rests on may have been mended meanwhile."""
        before = self._looks[step.name].ingredients

        def if_the_same(look: Look) -> str:
            return run_id if before and look.ingredients and before.digest == look.ingredients.digest else ""

        self._begin(step, now, if_the_same)

    def _take(self, look: Look, now: StepProgress) -> None:
        now.state = look.state
        if look.result:
            self._results[now.name] = look.result
            now.run_id, now.outputs, now.seconds = look.result.run_id, look.result.outputs, look.result.seconds
        if look.state != progress.LEFT_OUT:
            self._printer.say(now.name, f"{look.state}: {look.why}, run {now.run_id}")

    def _launch(self, look: Look, resumed: str) -> None:
        name = look.step.name
        now = self._steps[name]
        now.state, now.began, now.attempts, now.run_id = progress.RUNNING, time.monotonic(), now.attempts + 1, ""
        goes_on = f", from where run {resumed} was" if resumed else ""
        where = "" if now.target == "local" else f" on {now.target}"
        self._printer.say(name, f"runs{where}{goes_on}: {now.why}")
        target = Local(self._forks) if now.target == "local" else named(now.target, look.step.kind)
        request = self._planner.request(look, self._run_id, resumed=resumed)
        artifacts = {FINGERPRINT: json.dumps(look.ingredients.document())} if look.ingredients else {}
        attempt = self._attempts[name] = Attempt(name, request, target, self._news, artifacts, self._planner.secrets)
        if self._asked_to_end:  # meanwhile
            attempt.end()

    def _take_news(self) -> None:
        """Wait for news, but no longer than until the next account."""
        with contextlib.suppress(Empty):
            name, news = self._news.get(timeout=0.1 if self._again else _TELL)
            while True:
                self._told_of(name, news)
                name, news = self._news.get_nowait()

    def _told_of(self, name: str, news: Event | Outcome | DlopsError) -> None:
        now = self._steps[name]
        if isinstance(news, dict):
            self._on_the_way(now, news)
            return
        del self._attempts[name]
        self._printer.flush(name)
        now.seconds = time.monotonic() - now.began
        error = news if isinstance(news, DlopsError) else news.error
        if isinstance(news, Outcome):
            now.run_id, now.outputs = news.run_id, news.outputs
        if error:
            self._ended_badly(now, error)
            return
        assert isinstance(news, Outcome)
        now.state = progress.FINISHED
        self._results[name] = Result(
            run_id=news.run_id, outputs=news.outputs, metrics=news.metrics, seconds=news.duration_s
        )
        keeping.manifest(self._store, news)
        self._printer.say(name, f"finished in {now.seconds:.1f} s, run {now.run_id}")

    def _on_the_way(self, now: StepProgress, event: Event) -> None:
        match event["event"]:
            case "started":
                now.run_id = event["run_id"]
            case "output":
                self._printer.add(now.name, event["text"])
            case "progress":
                done, total = event.get("done"), event.get("total")
                count = f"{done}/{total}" if total else ""
                now.told = f"{event.get('text', '')} {count}".strip()
            case "warning" | "waiting":
                self._printer.say(now.name, event["text"])

    def _ended_badly(self, now: StepProgress, error: DlopsError) -> None:
        look, retries = self._looks[now.name], self._planner.pipeline.steps[now.name].retries
        may_pass = isinstance(error, StepFailed | UnreachableError)
        if may_pass and now.attempts <= retries and not self._asked_to_end:
            pause = min(_LONGEST_PAUSE, _PAUSE * 2.0 ** (now.attempts - 1))
            self._again[now.name] = time.monotonic() + pause, self._planner.goes_on(look, now.run_id)
            now.state = progress.WAITING
            self._printer.say(
                now.name, f"failed, attempt {now.attempts} of {retries + 1}; again in {pause:.0f} s: {error.message}"
            )
            return
        self._failed(now, error)

    def _failed(self, now: StepProgress, error: DlopsError) -> None:
        self._errors[now.name] = error
        interrupted = isinstance(error, Interrupted)
        now.state = (
            progress.REFUSED if isinstance(error, GateFailed) else progress.ENDED if interrupted else progress.FAILED
        )
        now.error = _plain(error)
        self._printer.say(now.name, f"{self._what_became_of(now.name)}: {error.message.removeprefix('error: ')}")

    def _what_became_of(self, name: str) -> str:
        return {
            progress.REFUSED: "was refused by a gate",
            progress.FAILED: "failed",
            progress.ENDED: "was ended",
            progress.SKIPPED: "was skipped",
        }[self._steps[name].state]

    def _give_up_waiting(self) -> None:
        for name in [*self._again]:
            del self._again[name]
            self._steps[name].state = progress.ENDED
        for step in self._steps.values():
            if step.state == progress.WAITING:
                step.state, step.why = progress.ENDED, "the pipeline was ended before it began"

    def _ask_to_end(self, _number: int, _frame: object) -> None:
        self._asked_to_end += 1
        for attempt in list(self._attempts.values()):
            attempt.end()

    def _fail(self) -> None:
        if self._asked_to_end:
            raise Interrupted("The pipeline was ended.", hint="`dlops resume` goes on with it.")
        if not self._errors:
            return
        name, error = min(self._errors.items(), key=lambda item: isinstance(item[1], GateFailed))
        message = f"{name}: {_plain(error)}"
        others = [f"{other}: {_plain(found)}" for other, found in self._errors.items() if other != name]
        raise type(error)(message, hint=error.hint, problems=[*error.problems, *others])

    def _tell(self, *, at_once: bool = False) -> None:
        if at_once or time.monotonic() > self._told + _TELL / 4:
            self._told = time.monotonic()
            progress.write(self._account, self.steps)


def _plain(error: DlopsError) -> str:
    """Say what went wrong, with a step's own last words, but not twice that it is an error."""
    printed = error.printed.removeprefix("error: ") if isinstance(error, StepFailed) else ""
    return f"{error.message.removeprefix('error: ')}\n{printed}".strip()


def main(given: str, environ: Mapping[str, str]) -> int:
    """Run the pipeline that is given, as JSON, below the run that the environment names; give the exit status."""
    asked, run_id = Asked.from_json(given), environ["MLFLOW_RUN_ID"]
    experiment_id, account = environ["MLFLOW_EXPERIMENT_ID"], Path(environ["DLOPS_PROGRESS"])
    for name in _OWN:
        os.environ.pop(name, None)
    tracking.load(asked.tracking_uri)
    forks = Forks(work) if is_possible() else None  # now, before there are threads, and a store that is open
    try:
        client = tracking.connect(asked.tracking_uri, str(folders.cache() / "locks"))
        store = Store(client, experiment_id, asked.tracking_uri)
        experiment = store.asked(lambda: client.get_experiment(experiment_id)).name  # of a run that somebody else made
        asked = replace(asked, experiment=experiment)
        folder = sources.of(asked.uri, asked.version, asked.diff).folder
        planner = Planner(asked, asked.pipeline(folder), folder, store)
        Runner(planner, store, run_id, asked.parallel, account, forks).run()
    except tracking.Unreachable as error:
        return _explain(unreachable(error), run_id, None)
    except DlopsError as error:
        return _explain(error, run_id, client)
    return 0


def _explain(error: DlopsError, run_id: str, client: Any) -> int:
    """Say what happened on the run and in the log; give the exit status."""
    gate = {GateFailed: "failed", UnreachableError: "unreachable"}.get(type(error))
    if gate and client:
        with contextlib.suppress(Exception):  # the store may be what does not answer
            client.set_tag(run_id, "dlops.gate", gate)
    sys.stdout.flush()
    sys.stderr.write("\n".join([f"error: {error}", *([f"hint: {error.hint}"] if error.hint else [])]) + "\n")
    return error.exit_code


if __name__ == "__main__":
    code = main(sys.stdin.read(), os.environ)
    sys.stdout.flush()
    os._exit(code)  # threads of a tracking client take their time to end
