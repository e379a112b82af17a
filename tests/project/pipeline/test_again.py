"""What a pipeline's record tells of what was asked; tests/project/pipeline/test_runner.py goes on with real ones."""

from __future__ import annotations

import dataclasses

import pytest

from dlops.errors import UsageError
from dlops.project.pipeline import again, launching
from dlops.project.pipeline.asked import Asked
from dlops.project.plan import Request
from dlops.project.runs import Runs
from dlops.worker import reaper

ASKED = Asked(
    steps={"one": {"parameters": {"n": "1"}}, "two": {"parameters": {"x": "${one.x}"}}},
    file="configs/run.yaml",
    base="configs",
    only=("two",),
    targets={"two": "gpu"},
    experiment="toy",
)


@pytest.fixture
def recorded(client, store):
    """Record a pipeline's run that ended so; gives the runs and it."""

    def of(asked, status="FAILED", *, tag=True):
        text = launching.shown(asked, [])
        tags = {"dlops.step": "run", reaper.PIPELINE: text if tag else "pipeline.json"}
        run_id = client.create_run("0", tags=tags).info.run_id
        client.log_text(run_id, text, "pipeline.json")
        client.set_terminated(run_id, status)
        runs = Runs(store)
        return runs, runs.one(run_id)

    return of


@pytest.mark.parametrize("tag", [True, False])
def test_what_was_asked_is_asked_again_and_more(recorded, folder, tag):
    runs, run = recorded(ASKED, tag=tag)
    asked = again.resumed(runs, run, Request(step="", uri=str(folder), given={"one.n": "2"}, target="local"))
    assert (asked.resumed_from, asked.uri, asked.only) == (run.run_id, str(folder), ("two",))
    assert (asked.given, asked.targets) == ({"one": {"n": "2"}}, {"two": "gpu", "": "local"})
    assert asked.steps["two"] == ASKED.steps["two"]


@pytest.mark.parametrize(("status", "told"), [("FINISHED", "has finished"), ("RUNNING", "is still running")])
def test_what_needs_no_going_on(recorded, folder, status, told):
    runs, run = recorded(ASKED)
    with pytest.raises(UsageError, match=told):
        again.resumed(runs, dataclasses.replace(run, status=status), Request(step="", uri=str(folder)))


def test_a_rerun_forces_all_that_was_chosen(recorded, folder):
    runs, run = recorded(ASKED, "FINISHED")
    assert again.rerun_of(runs, run, Request(step="", uri=str(folder))).force == ("two",)
    runs, run = recorded(dataclasses.replace(ASKED, only=()), "FINISHED")
    assert again.rerun_of(runs, run, Request(step="", uri=str(folder))).force == ("one", "two")


def test_secrets_must_be_given_again(recorded, folder):
    runs, run = recorded(dataclasses.replace(ASKED, given={"one": {"api_key": "k-1"}}))
    with pytest.raises(UsageError) as caught:
        again.resumed(runs, run, Request(step="", uri=str(folder)))
    assert caught.value.problems == ("'one.api_key' needs its value again",)
    assert caught.value.hint == f"dlops resume {run.run_id} one.api_key=…"
    asked = again.resumed(runs, run, Request(step="", uri=str(folder), given={"one.api_key": "k-2"}))
    assert asked.given == {"one": {"api_key": "k-2"}}


def test_a_run_that_tells_nothing(client, store, folder):
    run_id = client.create_run("0", tags={"dlops.step": "run"}).info.run_id
    client.set_terminated(run_id, "FAILED")
    runs = Runs(store)
    with pytest.raises(UsageError, match="does not say which pipeline"):
        again.resumed(runs, runs.one(run_id), Request(step="", uri=str(folder)))
