"""`dlops status`: runs as a table, one run, a document."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from rich.console import Console

from dlops.cli import console, status
from dlops.project.runs import Run


def run(**fields):
    facts = {"run_id": "0" * 32, "name": "n", "step": "finetune", "status": "RUNNING", "target": "local"}
    return Run(**{**facts, "started": 0.0, "duration_s": 61.0, "heartbeat_s": 1.0, **fields})


def printed(shown, *, width=200):
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(shown)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_latest_runs_and_one(looking, recorded):
    run_id = recorded[1]["run_id"]
    (listed,) = looking.json("status")
    assert (listed["run_id"], listed["status"], listed["step"]) == (run_id, "FINISHED", "finetune")
    assert (listed["experiment"], listed["commit"], listed["dirty"]) == ("small", "", False)
    shown = looking.run("status", run_id[:8]).stdout
    assert "[red] ünï" in shown
    assert f"recorded in  sqlite:///{looking.folder}/mlflow.db\n" in shown
    assert "FINISHED in" in shown


def test_off_a_terminal_ids_are_whole_and_lines_end_with_a_word(looking, recorded):
    looking.environ["COLUMNS"] = "70"
    heading, row = looking.run("status").stdout.splitlines()
    assert heading.split() == ["run", "step", "status", "age", "took"]
    assert heading.endswith("took")
    assert row.split()[:3] == [recorded[1]["run_id"], "finetune", "FINISHED"]


def test_on_a_terminal_ids_are_short(looking, recorded):
    ours, theirs = os.openpty()
    environ = {**looking.environ, "COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-m", "dlops.cli.main", "status"]
    subprocess.run(command, cwd=looking.folder, env=environ, stdout=theirs, check=True)
    shown = os.read(ours, 10000).decode()
    os.close(theirs)
    os.close(ours)
    assert shown.splitlines()[1].split()[0] == recorded[1]["run_id"][:8]


def test_twenty_runs_fit_a_terminal_of_80_columns():
    now = time.time()
    ended = [
        run(run_id=f"{n:032x}"[::-1], status=status, heartbeat_s=None, started=now - 70 * n**3, duration_s=11.0 * n**2)
        for n, status in enumerate(["FINISHED", "FAILED", "KILLED"] * 6)
    ]
    going_on = run(run_id="f" * 32, progress={"done": 120, "total": 4500, "text": "epoch 2, loss 0.1234"}, started=now)
    elsewhere = run(run_id="e" * 32, target="databricks", heartbeat_s=600.0, started=now - 50)
    lines = printed(status._many([going_on, elsewhere, *ended], short=True), width=80)
    assert len(lines) == 21
    assert max(map(len, lines)) <= 80
    assert lines[1] == "ffffffff  finetune  RUNNING   local       0 s     1 min               120/4500 …"
    assert lines[2].endswith("databricks  50 s    1 min   10 min ago")
    assert lines[5].split()[:3] == ["20000000", "finetune", "KILLED"]
    assert "…" not in "".join(lines[2:])


@pytest.mark.parametrize(
    ("fields", "headings"),
    [
        ([{}, {}], "run step status age took"),
        ([{}, {"target": "ray", "heartbeat_s": None}], "run step status target age took"),
        ([{"target": "ray"}, {"target": "ray"}], "run step status target age took heartbeat"),
        ([{}, {"progress": {"done": 1}}], "run step status age took progress"),
        ([{}, {"target": "ray", "heartbeat_s": 1.0}], "run step status target age took heartbeat"),
        ([{}, {"heartbeat_s": 600.0}], "run step status age took heartbeat"),
    ],
)
def test_a_column_that_says_nothing_is_left_out(fields, headings):
    assert printed(status._many([run(**given) for given in fields], short=False))[0].split() == headings.split()


def test_all_about_one_run():
    found = run(
        status="FAILED",
        heartbeat_s=None,
        experiment="reviews",
        commit="0123456789abcdef",
        dirty=True,
        params={"epochs": "2", "note": ""},
        error="error: No rows.\nhint: look",
    )
    assert printed(status._one(found, "postgresql://me:word@host/db")) == [
        "finetune     FAILED in 1 min 1 s on local",
        f"run          {'0' * 32}",
        "name         n",
        f"started      {time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(0))}{_zone()}",
        "experiment   reviews",
        "commit       0123456789ab and changes not committed",
        "recorded in  postgresql://***@host/db",
        "parameters   epochs  2",
        "error        No rows.",
        "             hint: look",
    ]
    assert printed(status._one(run(), ""))[0] == "finetune     RUNNING for 1 min 1 s on local"


@pytest.mark.parametrize(("heartbeat", "told"), [(600.0, True), (None, True), (1.0, False)])
def test_a_run_of_which_nobody_here_hears_is_told(heartbeat, told):
    shown = "\n".join(printed(status._one(run(target="gone", heartbeat_s=heartbeat), "")))
    assert ("gone is in no targets.yaml here" in shown) is told


def _zone():
    zone = time.strftime("%z", time.localtime(0))
    return f"{zone[:3]}:{zone[3:]}"


def test_without_a_store_it_says_so(shell):
    assert "Nothing is recorded in" in shell.run("status", exit_code=2).stderr


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ""),
        ({"progress": {"done": 3, "total": 10, "text": "epoch [1]"}}, "3/10 epoch [1]"),
        ({"progress": {"done": 3}}, "3/?"),
    ],
)
def test_progress_in_words(fields, shown):
    assert status._progress(run(**fields)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown", "style"), [(None, "", ""), (2.4, "2 s ago", ""), (600.0, "10 min ago", "yellow")]
)
def test_the_last_sign_of_a_run_that_goes_on(seconds, shown, style):
    found = status._heartbeat(run(heartbeat_s=seconds))
    assert (found.plain, found.style) == (shown, style)


@pytest.mark.parametrize("odd", ["[red]x", "[/x]", ":smile:"])
def test_odd_words_are_shown_as_they_are(odd):
    found = run(step=odd, target=odd, name=odd, error=odd, params={odd: odd}, outputs={odd: odd}, metrics={odd: 1.0})
    with console.out().capture() as captured:
        console.out().print(status._many([found], short=False), status._one(found, odd))
    assert captured.get().count(odd) >= 10
