"""What a pipeline's record tells of what was asked; tests/project/pipeline/test_runner.py goes on with real ones."""

from __future__ import annotations

import dataclasses
import json

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
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        made.append(run_id)
        runs = Runs(store)
        return runs, runs.one(run_id)

    made: list[str] = []
    yield of
    for run_id in made:
        client.set_terminated(run_id)


@pytest.mark.parametrize("tag", [True, False])
def test_what_was_asked_is_asked_again_and_more(recorded, folder, tag):
    runs, run = recorded(ASKED, tag=tag)
    asked = again.resumed(runs, run, Request(step="", uri=str(folder), given={"one.n": "2"}, target="local"))
    assert (asked.resumed_from, asked.uri, asked.only) == (run.run_id, str(folder), ("two",))
    assert (asked.given, asked.targets) == ({"one": {"n": "2"}}, {"two": "gpu", "": "local"})
    assert asked.steps["two"] == ASKED.steps["two"]


@pytest.mark.parametrize(("status", "told"), [("FINISHED", "has finished"), ("RUNNING", "is still running")])
def test_what_needs_no_going_on(recorded, folder, status, told):
    runs, run = recorded(ASKED, status)
    with pytest.raises(UsageError, match=told):
        again.resumed(runs, run, Request(step="", uri=str(folder)))


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


def test_a_rerun_has_the_data_and_the_results_of_then(recorded, client, folder):
    steps = {"one": {"parameters": {"n": "1"}}, "two": {"parameters": {"x": "${one.x}", "k": "2"}}}
    asked = dataclasses.replace(ASKED, steps=steps, only=("two",), lock="torch==2.9")
    runs, run = recorded(asked, "FINISHED")
    resolved = {"dlops.resolved.x": "/t@3", "dlops.resolved.k": "tiny@abc", "dlops.resolved.other": "y"}
    one, two = (client.create_run("0", tags=tags).info.run_id for tags in ({}, resolved))
    for name in ("x", "k"):
        client.log_param(two, name, "1")
    ran = [{"name": "one", "run_id": one}, {"name": "two", "run_id": two}, {"name": "three"}]
    client.log_text(run.run_id, json.dumps({"steps": ran}), "summary.json")
    found = again.rerun_of(runs, run, Request(step="", uri=str(folder)))
    assert found.taken == {"one": one}, "not what is the latest now"
    assert found.given == {"two": {"k": "tiny@abc"}}, "what one gives is what it gave then, or gives anew"
    assert (found.force, found.lock) == (("two",), "torch==2.9")
    asked_anew = again.rerun_of(runs, run, Request(step="", uri=str(folder), given={"two.k": "5"}, environment="local"))
    assert (asked_anew.given, asked_anew.lock) == ({"two": {"k": "5"}}, "")
    lost = [{"name": "one", "run_id": "0" * 32}, *ran[1:]]
    client.log_text(run.run_id, json.dumps({"steps": lost}), "summary.json")
    with pytest.raises(UsageError, match="of one, whose results were taken then, was deleted"):
        again.rerun_of(runs, run, Request(step="", uri=str(folder)))
    for run_id in (one, two):
        client.set_terminated(run_id)


def test_the_environment_of_a_rerun_is_that_of_its_steps(recorded, client, folder):
    runs, run = recorded(ASKED, "FINISHED")
    below = {"mlflow.parentRunId": run.run_id, reaper.PIPELINE_STEP: "two", "mlflow.project.env": "uv"}
    step = client.create_run("0", tags=below).info.run_id
    client.log_text(step, "numpy==2.0", "environment.lock")
    assert again.rerun_of(runs, run, Request(step="", uri=str(folder))).lock == "numpy==2.0"
    assert again.rerun_of(runs, run, Request(step="", uri=str(folder), environment="local")).lock == ""
    client.set_terminated(step)


def test_what_a_rerun_was_pinned_to_is_gone_on_with(recorded, folder):
    runs, run = recorded(dataclasses.replace(ASKED, lock="torch==2.9", taken={"one": "r1"}))
    found = again.resumed(runs, run, Request(step="", uri=str(folder)))
    assert (found.lock, found.taken) == ("torch==2.9", {"one": "r1"})
    assert again.resumed(runs, run, Request(step="", uri=str(folder), environment="uv")).lock == ""


def test_a_record_of_another_version_is_told_as_such(recorded, client, folder):
    runs, run = recorded(ASKED, tag=False)
    client.log_text(run.run_id, json.dumps({**json.loads(ASKED.to_json()), "newer": 1}), "pipeline.json")
    with pytest.raises(UsageError, match="by another version of dlops"):
        again.resumed(runs, run, Request(step="", uri=str(folder)))
