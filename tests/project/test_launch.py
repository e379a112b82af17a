"""What a launch makes of a target's events; the target is a stand-in that says what it is told to."""

from __future__ import annotations

import os
import signal

import pytest

from dlops.errors import ConfigError, Interrupted, StepFailed, UnreachableError, UsageError
from dlops.project.launch import launch
from dlops.project.plan import Request
from dlops.targets.dry_run import DryRun
from dlops.targets.local import Local

STARTED = {"event": "started", "run_id": "r", "experiment_id": "1"}
ENDED = {"event": "ended", "status": "FINISHED", "exit_code": 0, "error": "", "duration_s": 1.5}


class Scripted:
    """A target whose jobs say what a test wrote; an exception among the events is raised where it stands."""

    name = "scripted"
    here, forgets, stays = True, False, False

    def __init__(self, *events, problems=()):
        self.script = list(events)
        self.job = None
        self.asked_to_end = 0
        self._problems = list(problems)

    def problems(self, job):
        return self._problems

    def start(self, job, show):
        self.job = job
        return self

    def events(self):
        while self.script:
            event = self.script.pop(0)
            if callable(event):
                event()
            else:
                yield event

    def terminate(self):
        self.asked_to_end += 1


@pytest.fixture
def run(small):
    def of(target, given=None, **options):
        shown = []
        request = Request(step="finetune", uri=str(small), given=given or {})
        return launch(request, target, show=shown.append, **options), shown

    return of


def test_a_run_that_finished(run):
    held = {"params": {"epochs": "3"}, "metrics": {"test_accuracy": 0.9}, "outputs": {"model": "m"}}
    target = Scripted(STARTED, {"event": "output", "text": "x"}, {**ENDED, **held})
    outcome, shown = run(target, {"epochs": "3"})
    assert (outcome.status, outcome.run_id, outcome.exit_code, outcome.duration_s) == ("FINISHED", "r", 0, 1.5)
    assert (outcome.params, outcome.metrics, outcome.outputs) == tuple(held.values())
    assert [event["event"] for event in shown] == ["started", "output", "ended"]
    assert target.job.path


def test_detached_it_returns_when_the_run_has_begun(run):
    target = Scripted(STARTED, ENDED)
    outcome, _ = run(target, detach=True)
    assert (outcome.status, outcome.run_id) == ("RUNNING", "r")
    assert target.script == [ENDED]


@pytest.mark.parametrize(
    ("kind", "error"), [("unreachable", UnreachableError), ("config", ConfigError), ("new", UnreachableError)]
)
def test_a_job_that_could_not_start_is_an_error(run, kind, error):
    with pytest.raises(error, match="away"):
        run(Scripted({"event": "failed", "kind": kind, "message": "away", "hint": "h"}))


def test_a_worker_that_died_before_its_run(run):
    outcome, _ = run(Scripted({"event": "lost", "text": "Killed"}))
    assert isinstance(outcome.error, StepFailed)
    assert "Killed" in str(outcome.error)


@pytest.fixture
def interruptible():
    """A shell that starts the tests in the background has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_the_job_to_end_and_follows_on(run, interruptible, number):
    before = signal.getsignal(signal.SIGTERM)
    killed = {**ENDED, "status": "KILLED", "exit_code": 143, "error": "ended by a signal"}
    target = Scripted(STARTED, lambda: os.kill(os.getpid(), number), killed)
    outcome, shown = run(target)
    assert target.asked_to_end == 1
    assert isinstance(outcome.error, Interrupted)
    assert outcome.exit_code == 130
    assert {"event": "interrupted"} in shown
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_may_leave_a_run_that_goes_on_elsewhere(run, interruptible):
    def interrupted():
        return Scripted(STARTED, lambda: os.kill(os.getpid(), signal.SIGINT), ENDED)

    target = interrupted()
    target.here = False
    outcome, _ = run(target, leave=lambda: True)
    assert (outcome.status, outcome.exit_code, outcome.run_id, target.asked_to_end) == ("RUNNING", 0, "r", 0)
    for here, leaves in ((False, False), (True, True)):
        target = interrupted()
        target.here = here
        assert run(target, leave=lambda leaves=leaves: leaves)[0].status == "FINISHED"
        assert target.asked_to_end == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_stays_is_left_by_whoever_stops_waiting(run, interruptible, number):
    target = Scripted(STARTED, lambda: os.kill(os.getpid(), number), ENDED)
    target.stays = True
    outcome, _ = run(target, leave=lambda: pytest.fail("nobody is asked"))
    assert (outcome.status, outcome.run_id, outcome.exit_code) == ("RUNNING", "r", 0)
    assert target.asked_to_end == 0


def test_what_is_ready_is_not_waited_for(run):
    ready = {"event": "ready", "outputs": {"url": "http://x"}, "duration_s": 2.5}
    target = Scripted(STARTED, ready, ENDED)
    outcome, _ = run(target)
    assert (outcome.status, outcome.outputs, outcome.duration_s) == ("RUNNING", {"url": "http://x"}, 2.5)
    assert target.script == [ENDED]


def test_a_service_that_fails_has_no_worker_that_was_killed(run, monkeypatch):
    monkeypatch.setattr("dlops.project.runs.close_lost", lambda uri, run_id: "out of memory")
    said = [run(Scripted(STARTED, {"event": "lost", "text": "", **more}))[0].error for more in ({"hosted": True}, {})]
    assert [str(error) for error in said] == [
        "finetune failed.\nout of memory",
        "The worker of finetune was killed.\nout of memory",
    ]


def test_sigterm_and_a_run_that_has_not_begun_leave_nothing_to_ask(run, interruptible):
    def never():
        raise AssertionError("nobody is there to answer")

    def end(number):
        return lambda: os.kill(os.getpid(), number)

    for script in ((STARTED, end(signal.SIGTERM), ENDED), (end(signal.SIGINT), STARTED, ENDED)):
        target = Scripted(*script)
        target.here = False
        assert run(target, leave=never)[0].status == "FINISHED"
        assert target.asked_to_end == 1


def test_the_targets_problems_are_told_before_anything_starts(run):
    target = Scripted(STARTED, problems=["no room", "no key"])
    with pytest.raises(ConfigError) as caught:
        run(target)
    assert caught.value.problems == ("no room", "no key")
    assert target.job is None


def test_a_wrong_parameter_starts_nothing(run):
    target = Scripted(STARTED)
    with pytest.raises(UsageError, match="did you mean 'epochs'"):
        run(target, {"epoch": "1"})
    assert target.job is None


def test_a_dry_run_creates_nothing(run, contents):
    before = contents()
    outcome, _ = run(DryRun(Local()), {"api_key": "k-123456789"}, dry_run=True)
    assert contents() == before
    assert (outcome.status, outcome.exit_code) == ("PLANNED", 0)
    assert outcome.plan["params"]["api_key"] == "***"
    assert "k-123456789" not in str(outcome.as_dict())
