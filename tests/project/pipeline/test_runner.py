"""Pipelines as a user runs them: real processes, a real store."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from mlflow import MlflowClient

from tests.project.pipeline.conftest import states

SIDE_BY_SIDE = """
steps:
  left: {entry_point: two, parameters: {x: l, k: 1}}
  right: {entry_point: two, parameters: {x: r, k: 2}}
  one: {needs: [left, right]}
"""
FAILING = """
steps:
  one: {parameters: {n: 3}}
  two: {parameters: {x: "${one.x}"}, retries: 1}
  after: {entry_point: one, needs: two}
  apart: {entry_point: one, parameters: {n: 7}}
"""


def client(toy):
    return MlflowClient(f"sqlite:///{toy.shell.database}")


def artifact(toy, run_id, name, folder):
    return Path(client(toy).download_artifacts(run_id, name, str(folder))).read_text()


def test_it_runs_once_and_is_taken_from_the_cache_then(toy, tmp_path):
    done = toy.shell.run("run", "--junit", "out/junit.xml")
    assert toy.ran() == ["one", "two", "two"]
    for line in ("two   │ two says one-3", "three │ two says two-2", "one   ▸ runs: it has never finished here"):
        assert line in done.stderr + done.stdout
    suite = ET.parse(toy.shell.folder / "out/junit.xml").getroot()[0]
    assert [case.get("name") for case in suite] == ["one", "two", "three"]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "0")

    (toy.shell.folder / "README.md").write_text("changed")
    document = toy.shell.json("run")
    assert states(document) == {"one": "cached", "two": "cached", "three": "cached"}
    assert toy.ran() == []
    assert document["saved_s"] > 0
    run = client(toy).get_run(document["run_id"])
    assert run.data.metrics.items() >= {"one/m": 3.0, "two/m": 2.0, "three/m": 5.0}.items()
    assert run.data.tags["dlops.output.one.x"] == "one-3"
    summary = json.loads(artifact(toy, document["run_id"], "summary.json", tmp_path))
    assert [step["why"] for step in summary["steps"]] == ["nothing has changed"] * 3
    drawn = ET.fromstring(artifact(toy, document["run_id"], "pipeline.svg", tmp_path))
    assert drawn.get("aria-label") == "one cached; two cached; three cached"

    forced = toy.shell.json("run", "two.k=4", "--force", "one")
    assert states(forced) == {"one": "finished", "two": "finished", "three": "finished"}
    assert forced["steps"][1]["why"] == "k 2 → 4"
    runs = {run.info.run_id: run for run in client(toy).search_runs([run.info.experiment_id])}
    assert runs[forced["steps"][1]["run_id"]].data.tags["mlflow.parentRunId"] == forced["run_id"]


def test_steps_run_side_by_side_as_many_as_may(toy):
    toy.write(SIDE_BY_SIDE)
    toy.tell("two", "meet 2")
    assert states(toy.shell.json("run")) == {"left": "finished", "right": "finished", "one": "finished"}
    for file in toy.home.glob("here-*"):
        file.unlink()
    toy.tell("two", "meet 1")
    words = ("run", "--force", "left", "--force", "right", "--parallel", "1")
    failed = toy.shell.json(*words, exit_code=4)
    assert states(failed)["one"] == "skipped", "one of the two found that the other had been there before"
    assert sorted(states(failed).values()) == ["failed", "finished", "skipped"]


def test_a_step_is_tried_again_and_goes_on_from_where_it_was(toy):
    toy.write(FAILING)
    toy.tell("two", "fail 1")
    done = toy.shell.run("run")
    first, *rest = [line for line in toy.ran() if line.startswith("two")]
    assert first == "two"
    assert [len(line) for line in rest] == [len("two ") + 32]
    assert "failed, attempt 1 of 2; again in 1 s" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_failure_stops_what_needs_it_and_resume_does_the_rest(toy):
    toy.write(FAILING)
    toy.tell("two", "fail 2")
    failed = toy.shell.json("run", "--junit", "junit.xml", exit_code=4)
    assert states(failed) == {"one": "finished", "two": "failed", "after": "skipped", "apart": "finished"}
    assert failed["status"] == "FAILED"
    assert "two: " in failed["error"]["message"]
    case = ET.parse(toy.shell.folder / "junit.xml").find(".//testcase[@name='two']/failure")
    assert case is not None
    toy.ran()
    shown = toy.shell.run("status", failed["run_id"]).stdout
    assert f"dlops resume {failed['run_id']}" in shown
    resumed = toy.shell.json("resume", failed["run_id"])
    assert states(resumed) == {"one": "cached", "two": "finished", "after": "finished", "apart": "cached"}
    assert resumed["steps"][0]["why"] == "it had finished"
    ran = toy.ran()
    assert ran[1:] == ["one"]
    assert re.fullmatch(r"two [0-9a-f]{32}", ran[0]), "it goes on from its last attempt"
    assert "has finished" in toy.shell.run("resume", resumed["run_id"], exit_code=2).stderr
    again = toy.shell.json("rerun", resumed["run_id"], "one.n=5")
    assert set(states(again).values()) == {"finished"}
    assert sorted(toy.ran()) == ["one", "one", "one", "two"]


def test_a_gate_stops_what_needs_it(toy):
    toy.tell("two", "gate")
    refused = toy.shell.json("run", exit_code=3)
    assert states(refused) == {"one": "finished", "two": "refused", "three": "skipped"}
    assert refused["error"]["kind"] == "gate"
    assert refused["steps"][2]["why"] == "two was refused by a gate"
    assert client(toy).get_run(refused["run_id"]).data.tags["dlops.gate"] == "failed"


@pytest.mark.slow
def test_a_failure_weighs_more_than_a_gate(toy):
    toy.write("steps:\n  two: {parameters: {x: a}}\n  one: {}\n")
    toy.tell("two", "gate")
    toy.tell("one", "fail 1")
    document = toy.shell.json("run", exit_code=4)
    assert states(document) == {"two": "refused", "one": "failed"}


def waiting(toy, process):
    """Wait until the step that waits has begun; give the pipeline's run."""
    deadline = time.monotonic() + 120
    while not (toy.home / "ran").exists() or "two" not in (toy.home / "ran").read_text():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    store = client(toy)
    experiments = [one.experiment_id for one in store.search_experiments()]
    (run,) = store.search_runs(experiments, "tags.`dlops.step` = 'run'")
    return run.info.run_id


@pytest.mark.slow
def test_cancel_ends_all_of_it(toy):
    toy.tell("two", "wait")
    process = toy.shell.start("run", "--json")
    run_id = waiting(toy, process)
    toy.shell.run("cancel", run_id)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert states(json.loads(out)) == {"one": "finished", "two": "ended", "three": "ended"}
    assert toy.shell.statuses() == ["FINISHED", "KILLED", "KILLED"]
    toy.tell("two", "")
    assert states(toy.shell.json("resume", run_id))["one"] == "cached"


def test_a_killed_runner_leaves_nothing_open(toy):
    toy.tell("two", "wait")
    process = toy.shell.start("run", "--json")
    waiting(toy, process)
    runner = next(pid for pid, words in toy.shell.processes().items() if "pipeline" in words)
    os.kill(runner, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert "RUNNING" not in toy.shell.statuses()


def test_no_secret_is_kept(toy, tmp_path):
    toy.write("steps:\n  one: {parameters: {api_key: hunter2-file}}\n  two: {parameters: {x: a}}\n")
    document = toy.shell.json("run", "one.api_key=hunter2-typed", "two.x=said")
    kept = artifact(toy, document["run_id"], "pipeline.json", tmp_path)
    shown = [
        kept,
        toy.shell.run("status", document["run_id"], "--json").stdout,
        toy.shell.run("logs", document["run_id"]).stdout,
    ]
    for run in client(toy).search_runs(["0", "1"]):
        shown += [json.dumps(run.data.tags), json.dumps(run.data.params)]
        shown += [
            artifact(toy, run.info.run_id, entry.path, tmp_path)
            for entry in client(toy).list_artifacts(run.info.run_id)
            if not entry.is_dir
        ]
    assert "***" in kept
    for text in shown:
        assert "hunter2-typed" not in text
        assert "hunter2-file" not in text
    refused = toy.shell.run("rerun", document["run_id"], exit_code=2)
    assert "'one.api_key' needs its value again" in refused.stderr
    again = toy.shell.json("rerun", document["run_id"], "one.api_key=other", "two.x=b")
    assert again["status"] == "FINISHED"


def test_what_still_ends_elsewhere_is_waited_for(toy):
    toy.tell("two", "fail 9")
    failed = toy.shell.json("run", exit_code=4)
    store = client(toy)
    run = store.get_run(failed["run_id"])
    worker = json.dumps({"host": "another", "boot": "b", "pid": "1", "started": "1"})
    tags = {"mlflow.parentRunId": failed["run_id"], "dlops.pipeline.step": "two", "dlops.worker": worker}
    beat = {"dlops.heartbeat": str(int(time.time()))}
    other = store.create_run(run.info.experiment_id, tags={**tags, **beat}).info.run_id
    toy.tell("two", "")
    toy.ran()
    process = toy.shell.start("resume", failed["run_id"])
    deadline = time.monotonic() + 60
    while "dlops.cancel" not in store.get_run(other).data.tags:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    assert toy.ran() == [], "it was asked to end and has not ended yet"
    store.set_terminated(other, "KILLED")
    store.set_tag(other, "dlops.exit_code", "-15")
    out, told = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"two   ▸ waits until run {other} of the pipeline before has ended" in out + told
