"""A pipeline as its user has it: killed and resumed, cached, launched in every way, ended, and done once more."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.project.test_source import Repository

PROJECT = {
    "MLproject": """
name: small
entry_points:
  first:
    ahead: [mlflow, dlops.worker.tracking]
    depends: [first.py, giving.py]
    outputs: [number]
    parameters:
      factor: {type: float, default: 3}
    command: "python -m first {factor}"
  second:
    ahead: [mlflow, dlops.worker.tracking]
    depends: [second.py, giving.py]
    outputs: [number, table]
    parameters:
      number: {type: float}
      data: {type: path, default: data.txt}
      by: {type: float, default: 0.1}
      seconds: {type: float, default: 0}
      do: {type: str, default: nothing}
    command: "python -m second {number} {data} {by} {seconds} {do}"
  third:
    ahead: [mlflow, dlops.worker.tracking]
    depends: [third.py, giving.py]
    outputs: [number]
    parameters:
      number: {type: float}
    command: "python -m third {number}"
  main:
    cache: false
    parameters:
      config: {type: path, default: configs/run.yaml}
    command: "python -m dlops.cli.main run --config {config}"
""",
    "giving.py": """
import os
from dlops.worker import tracking
def give(number, table=""):
    client, run_id = tracking.connect(os.environ["MLFLOW_TRACKING_URI"]), os.environ["MLFLOW_RUN_ID"]
    client.set_tag(run_id, "dlops.output.number", repr(number))
    client.log_metric(run_id, "number", number)
    if table:
        client.log_text(run_id, table, "table.txt")
        client.set_tag(run_id, "dlops.output.table", f"runs:/{run_id}/table.txt")
""",
    "first.py": "import sys\nfrom giving import give\ngive(float(sys.argv[1]) / 7)\n",
    "second.py": """
import sys, time
from pathlib import Path
from giving import give
number, data, by, seconds, do = sys.argv[1:]
words = Path(data).read_text().split()
print("reads", len(words), "words", flush=True)
time.sleep(float(seconds))
if do == "fail":
    sys.exit("no room on the disk")
give(float(number) + float(by) * len(words), " ".join(sorted(words)))
""",
    "third.py": "import sys\nfrom giving import give\ngive(float(sys.argv[1]) ** 0.5)\n",
    "data.txt": "to be or not to be",
    "README.md": "# Small",
    "tests/test_small.py": "",
    "configs/third.yaml": "",
    "configs/run.yaml": """
steps:
  first: {}
  second:
    parameters: {number: "${first.number}"}
  third:
    parameters: {number: "${second.number}"}
""",
    "configs/failing.yaml": """
steps:
  first: {}
  second:
    parameters: {number: "${first.number}", do: fail}
  third:
    parameters: {number: "${second.number}"}
""",
}
METRICS = {"first/number": 3 / 7, "second/number": 3 / 7 + 0.1 * 6, "third/number": (3 / 7 + 0.1 * 6) ** 0.5}
NAMES = ("first", "second", "third")


@pytest.fixture
def small(shell, project):
    """A shell in the project's folder, which is in no repository."""
    shell.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CEILING_DIRECTORIES": str(shell.folder.parent)}
    project(**PROJECT)
    return shell


def asked(shell, query, *values):
    with contextlib.closing(sqlite3.connect(f"file:{shell.database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def runs(shell, experiment="small"):
    """List the runs of an experiment, the pipeline's as the step `run`: step, status, id, number of the worker."""
    found = asked(
        shell,
        "SELECT r.status, r.run_uuid, t.key, t.value FROM runs r JOIN experiments e USING (experiment_id)"
        " LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key IN ('dlops.pipeline.step', 'dlops.worker')"
        " WHERE e.name = ? ORDER BY r.start_time",
        experiment,
    )
    tags, status = {}, {}
    for state, run_id, key, value in found:
        status[run_id] = state
        tags.setdefault(run_id, {})[key] = value
    return [
        (
            held.get("dlops.pipeline.step", "run"),
            status[run_id],
            run_id,
            int(json.loads(held.get("dlops.worker", '{"pid": 0}'))["pid"]),
        )
        for run_id, held in tags.items()
    ]


def ended(shell, experiment="small"):
    """Give the status of each run, by its step, once nothing is open."""
    deadline = time.monotonic() + 40
    while any(status == "RUNNING" for _, status, *_ in runs(shell, experiment)):
        assert time.monotonic() < deadline, (runs(shell, experiment), shell.processes())
        time.sleep(0.2)
    return [(step, status) for step, status, *_ in runs(shell, experiment)]


def wait_for(shell, step, experiment="small", seconds=60):
    """Wait until a step's run has a worker; give the run's id, and the worker's number."""
    deadline = time.monotonic() + seconds
    while True:
        for name, status, run_id, worker in runs(shell, experiment):
            if (name, status) == (step, "RUNNING") and worker:
                return run_id, worker
        assert time.monotonic() < deadline, f"{step} does not run"
        time.sleep(0.05)


def states(document):
    return {step["name"]: step["state"] for step in document["steps"]}


def planned(shell, *words):
    document = shell.json("run", "--dry-run", *words)
    return states(document), {step["name"]: step["why"] for step in document["steps"]}


def victim(shell, which, experiment):
    """Give the number of a process that keeps the pipeline going; 0 where there is none at the moment."""
    if which == "runner":
        held = shell.processes().items()
        return next((pid for pid, command in held if "standby.py" in command and "pipeline" in command), 0)
    workers = [(step, pid) for step, status, _, pid in runs(shell, experiment) if pid and status == "RUNNING"]
    return next((pid for step, pid in workers if (step == "run") == (which == "worker")), 0)


def survives(shell, moments, seed):
    """Kill what keeps a pipeline so many times, each time another one at another moment, and go on with it."""
    chance = random.Random(seed)
    began = time.monotonic()
    whole = shell.json("run", "--experiment", "whole")
    whole_s = time.monotonic() - began
    assert whole["metrics"] == METRICS
    killed = 0
    for number in range(moments):
        which = ("runner", "step's worker", "worker")[number % 3]
        experiment, wait_s = f"moment-{number}", chance.uniform(0, 0.8 * whole_s)
        told = f"seed {seed}, moment {number}: {which} after {wait_s:.2f} s of {whole_s:.1f} s"
        launched = shell.start("run", "--experiment", experiment, "--json")
        pipeline, _ = wait_for(shell, "run", experiment)
        time.sleep(wait_s)
        while not (pid := victim(shell, which, experiment)) and launched.poll() is None:
            time.sleep(0.02)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        out, err = launched.communicate(timeout=120)
        assert json.loads(out)["run_id"] == pipeline, told
        left = dict(ended(shell, experiment))
        assert not shell.left(), told
        assert "RUNNING" not in left.values(), told
        if launched.returncode == 0:  # it was over
            assert json.loads(out)["metrics"] == METRICS, told
            continue
        killed += 1
        assert launched.returncode == 4, told + err
        assert left["run"] == "FAILED", told
        done = shell.json("resume", pipeline)
        assert done["status"] == "FINISHED", told
        assert done["metrics"] == METRICS, told
        finished = Counter(step for step, status in ended(shell, experiment) if status == "FINISHED")
        assert finished == {"first": 1, "second": 1, "third": 1, "run": 1}, told
    assert killed >= moments * 2 // 3


@pytest.mark.slow
def test_what_keeps_it_is_killed_at_any_moment_and_it_is_resumed(small):
    survives(small, 3, 1)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_what_keeps_it_is_killed_at_twenty_moments_and_it_is_resumed(small):
    survives(small, 20, time.time_ns())


ALL_CACHED = dict.fromkeys(NAMES, "cached")
ONE_TO_RUN = {"first": "cached", "second": "will run", "third": "unknown"}


def changed(shell, name, before, after):
    """Change a file, as long as the context lasts."""
    file = shell.folder / name
    text = file.read_text()
    assert before in text

    @contextlib.contextmanager
    def for_a_while():
        file.write_text(text.replace(before, after))
        yield
        file.write_text(text)

    return for_a_while()


def test_each_ingredient_alone_makes_its_step_run_and_nothing_else_does(small):
    packages = small.folder.parent / "packages"
    package = packages / "helper-1.0.dist-info"
    package.mkdir(parents=True)
    small.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(packages), small.environ.get("PYTHONPATH")]))
    done = small.json("run")
    assert states(done) == dict.fromkeys(NAMES, "finished")
    for name, before, after, why in [
        ("second.py", "sorted", "list", "`second.py` changed"),
        ("MLproject", "python -m second", "python -u -m second", "its command in MLproject changed"),
        ("configs/run.yaml", '"${first.number}"', '"${first.number}", by: 0.2', "by 0.1 → 0.2"),
        ("data.txt", "or not", "and yet", "data.txt has another content"),
    ]:
        with changed(small, name, before, after):
            found, reasons = planned(small)
        assert found == ONE_TO_RUN, name
        assert reasons["second"].endswith(why)
        assert reasons["third"] == "until second has run"
    package = package.rename(packages / "helper-2.0.dist-info")
    found, reasons = planned(small)
    package.rename(packages / "helper-1.0.dist-info")
    assert found["first"] == "will run"
    assert reasons["first"] == "package helper 1.0 → 2.0"
    assert "cached" not in found.values()
    for name, text in {
        "README.md": "more",
        "tests/test_small.py": "1",
        "configs/second.yaml": "",
        ".env": "A=1",
    }.items():
        (small.folder / name).write_text(text)
    (small.folder / "configs/first.yaml").write_text("factor: 3\n")
    (small.folder / "data.txt").rename(small.folder / "hamlet.txt")
    assert planned(small, "second.data=hamlet.txt", "second.by=1e-1")[0] == ALL_CACHED
    (small.folder / "configs/second.yaml").write_text("data: ../hamlet.txt\nby: 0.2\n")
    assert planned(small)[0] == ONE_TO_RUN, "a step's own file does count, for what it says"


def table_of(shell, document):
    run_id = next(step["run_id"] for step in document["steps"] if step["name"] == "second")
    (file,) = shell.folder.glob(f"mlruns/**/{run_id}/artifacts/table.txt")
    return file


@pytest.mark.slow
def test_an_output_that_is_gone_or_damaged_makes_its_step_run_again_and_that_alone(small):
    done = small.json("run")
    table = table_of(small, done)
    text = table.read_text()
    table.unlink()
    found, why = planned(small)
    assert (found["first"], found["second"], found["third"]) == ("cached", "will run", "unknown")
    assert "its table is gone" in why["second"]
    table.write_text(text.replace("be", "bee"))
    again = small.json("run")
    assert states(again) == {"first": "cached", "second": "finished", "third": "cached"}
    assert "its table is damaged: table.txt" in next(step["why"] for step in again["steps"] if step["name"] == "second")
    assert table_of(small, again).read_text() == text
    table.write_text(text)
    assert planned(small)[0] == ALL_CACHED


@pytest.fixture
def remote(small, tmp_path):
    """A Git remote with the project, and the work tree that pushes to it."""
    work = Repository(tmp_path / "theirs")
    work.commit(**PROJECT)
    work("clone", "--quiet", "--bare", ".", str(tmp_path / "small.git"))
    work("remote", "add", "origin", str(tmp_path / "small.git"))
    work.uri = f"file://{tmp_path}/small.git"
    return work


@pytest.mark.slow
def test_two_clones_take_results_from_one_another(small, remote, tmp_path):
    small.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{small.database}"
    for name in ("hers", "his"):
        remote("clone", "--quiet", remote.uri, str(tmp_path / name))
    hers = small.json("run", "--uri", tmp_path / "hers")
    assert states(hers) == dict.fromkeys(NAMES, "finished")
    his = small.json("run", "--uri", tmp_path / "his")
    assert states(his) == ALL_CACHED
    assert his["metrics"] == hers["metrics"] == METRICS
    (tmp_path / "his/second.py").write_text(PROJECT["second.py"] + "# nothing else\n")
    changed = small.json("run", "--uri", tmp_path / "his")
    assert states(changed) == {"first": "cached", "second": "finished", "third": "cached"}, "the same comes of it"


@pytest.mark.slow
def test_mlflow_runs_it_below_its_own_run(small):
    environ = {**small.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{small.database}"}

    def stock(*words):
        command = [sys.executable, "-m", "mlflow", "run", ".", "-e", "main", "--env-manager", "local", *words]
        return subprocess.run(command, cwd=small.folder, env=environ, capture_output=True, text=True, check=False)

    done = stock()
    assert done.returncode == 0, done.stderr
    listed = small.json("status")
    (parent,) = [run for run in listed if run["step"] == "run"]
    assert (parent["status"], parent["metrics"]) == ("FINISHED", METRICS)
    below = asked(small, "SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId' AND value = ?", parent["run_id"])
    assert {run_id for (run_id,) in below} == {run["run_id"] for run in listed if run["step"] != "run"}
    assert len(listed) == 4
    assert asked(small, "SELECT 1 FROM tags WHERE key = 'mlflow.project.backend' AND run_uuid = ?", parent["run_id"])
    failed = stock("-P", "config=configs/failing.yaml")
    assert failed.returncode != 0
    assert "second: " in failed.stderr + failed.stdout
    later = ended(small, "Default")[4:]
    assert Counter(later) == {("run", "FAILED"): 1, ("second", "FAILED"): 1}, "the first is taken from the cache"


@pytest.mark.slow
def test_a_remotes_pipeline_is_reproduced_from_its_commit(small, remote):
    done = small.json("run", "--uri", remote.uri)
    assert done["metrics"] == METRICS
    commit = remote("rev-parse", "HEAD")
    remote.commit(**{"second.py": PROJECT["second.py"].replace("float(by) *", "float(by) +")})
    remote("push", "-q", "origin", "main")
    runs_of = {step["name"]: step["run_id"] for step in done["steps"]}
    again = small.json("reproduce", done["run_id"], "--within", "0")
    assert again["metrics"] == METRICS
    assert states(again) == dict.fromkeys(NAMES, "finished"), "nothing is taken from the cache"
    assert {one["difference"] for one in again["compared"]} == {0.0}
    step = small.json("reproduce", runs_of["second"], "--within", "0")
    assert step["metrics"] == {"number": METRICS["second/number"]}
    for run in small.json("status"):
        assert (run["commit"], run["dirty"], run["project"]) == (commit, False, remote.uri), run["name"]
    other = small.json("reproduce", runs_of["second"], "by=0.2", "--within", "0.5", exit_code=3)
    (compared,) = other["compared"]
    assert compared["difference"] == pytest.approx(0.6)
    moved = small.json("run", "--uri", remote.uri)
    assert states(moved) == {"first": "cached", "second": "finished", "third": "finished"}
    assert moved["metrics"] != METRICS


WAITS = ("run", "second.seconds=100", "--json")


@pytest.mark.parametrize("how", ["cancel", "ctrl-c"])
def test_its_end_is_that_of_its_steps(small, how):
    launched = small.start(*WAITS)
    run_id, _ = wait_for(small, "run")
    wait_for(small, "second")
    if how == "cancel":
        assert small.json("cancel", run_id)["status"] == "KILLED"
    else:
        launched.send_signal(signal.SIGINT)
    out, err = launched.communicate(timeout=60)
    assert launched.returncode == 130, err
    assert json.loads(out)["status"] == "KILLED"
    assert not small.left()
    assert ended(small) == [("run", "KILLED"), ("first", "FINISHED"), ("second", "KILLED")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_closing_the_terminal_harms_nothing(small, number):
    launched = small.start("run", "second.seconds=3", start_new_session=True)
    wait_for(small, "second")
    os.killpg(launched.pid, number)  # what a terminal does that is closed
    launched.communicate(timeout=30)
    assert launched.returncode != 0
    assert [status for _, status, *_ in runs(small)][::2] == ["RUNNING", "RUNNING"]
    assert ended(small) == [(step, "FINISHED") for step in ("run", *NAMES)]
    run = next(run for run in small.json("status") if run["step"] == "run")
    assert run["metrics"] == METRICS
