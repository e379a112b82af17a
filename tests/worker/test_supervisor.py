"""One command, watched: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlops.worker.job import Job
from dlops.worker.supervisor import Supervisor

PRINTS = r"""
import os, sys, time
data = "süß 🙂 hunter2-secret\n".encode()
for byte in data:                      # each byte a read of its own
    os.write(1, bytes([byte])); time.sleep(0.004)
os.write(1, b"broken \xff byte, inherited hunter2-sec")
"""
PROGRESS = r"""
import json, os, time
place = os.environ["DLOPS_PROGRESS"]
for number, said in enumerate(([1], "x", {"event": "ended", "run_id": "y", "done": 1, "total": 3}, None, {"done": 2})):
    open(place + ".new", "w").write(json.dumps(said)); os.replace(place + ".new", place); time.sleep(0.15)
open(place, "w").write("{ no json"); time.sleep(0.15)
"""


def of(events, name):
    return [event for event in events if event["event"] == name]


def printed(events):
    return "".join(event["text"] for event in of(events, "output"))


def python(tmp_path, program):
    (tmp_path / "program.py").write_text(program)
    return "exec python program.py"


def test_letters_and_secrets_cut_by_reads_are_told_whole(work, tmp_path):
    events = work(python(tmp_path, PRINTS), secrets=("hunter2-secret",))
    assert printed(events) == "süß 🙂 ***\nbroken � byte, inherited hunter2-sec"
    assert events[-1]["status"] == "FINISHED"
    assert events[0]["event"] == "started"


def test_progress_of_any_shape_does_no_harm(work, tmp_path):
    events = work(python(tmp_path, PROGRESS))
    told = [{k: v for k, v in event.items() if k != "event"} for event in of(events, "progress")]
    assert {"done": 1, "total": 3} in told
    assert told[-1] == {"done": 2}
    assert len(of(events, "ended")) == 1
    assert events[-1]["status"] == "FINISHED"


def test_what_goes_on_printing_in_the_background_does_not_keep_the_run_open(work):
    began = time.monotonic()
    events = work("(while true; do echo noise; sleep 0.02; done) & (env -i sleep 50 &) ; echo done; exit 3")
    assert events[-1] | {"exit_code": 3, "status": "FAILED"} == events[-1]
    assert "done" in printed(events)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("command", "status", "exit_code", "error"),
    [
        ("echo 'error: disk full'; exit 7", "FAILED", 7, "error: disk full"),
        ("kill -35 $$", "FAILED", 163, "ended by"),
    ],
)
def test_ends(work, command, status, exit_code, error):
    last = work(command)[-1]
    assert (last["event"], last["status"], last["exit_code"]) == ("ended", status, exit_code)
    assert error in last["error"]


def test_what_the_command_is_told_and_what_it_is_not(work, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/of/the/shell")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    events = work(
        'echo "[$PYTHONPATH|$MLFLOW_EXPERIMENT_NAME|${PATH%%:*}|$PWD|$MLFLOW_RUN_ID]"; exec >&-; sleep 0.3',
        unset=("PYTHONPATH",),
        path=("/first/of/path",),
    )
    assert printed(events) == f"[||/first/of/path|{tmp_path}|{events[0]['run_id']}]\n"
    assert events[-1]["status"] == "FINISHED"


def test_what_is_fetched_first_can_be_ended(store, client, tmp_path):
    """A server that takes the request and never answers; the worker has its guard already."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/data.csv"
        texts = {"step": "finetune", "entry_point": "main", "target": "local", "experiment": "tests"}
        places = {"folder": str(tmp_path), "tracking_uri": store, "lock_folder": str(tmp_path)}
        job = Job(**texts, **places, command="cat @in@", downloads={"@in@": uri})
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlops.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        worker.stdin.write(job.to_json())
        worker.stdin.close()
        silent.settimeout(60)
        connection, _ = silent.accept()
        worker.send_signal(signal.SIGTERM)
        events = [json.loads(line) for line in worker.stdout]
        connection.close()
        worker.stdout.close()
    worker.wait(60)
    assert (events[-1]["event"], events[-1]["status"]) == ("ended", "KILLED")
    assert client.get_run(events[0]["run_id"]).info.status == "KILLED"


def test_a_folder_that_is_gone_fails_the_run_and_leaves_it_closed(work, client, tmp_path):
    last = work("true", folder=str(tmp_path / "gone"))
    assert (last[-1]["status"], last[-1]["exit_code"]) == ("FAILED", 1)
    assert "FileNotFoundError" in last[-1]["error"]
    assert client.get_run(last[0]["run_id"]).info.status == "FAILED"


def test_what_is_printed_last_is_not_missed_on_a_busy_machine(monkeypatch):
    """The command prints and ends between the look for its output and the look for its end."""
    fields = ("step", "entry_point", "target", "command", "folder", "tracking_uri", "experiment", "lock_folder")
    told = []
    events = SimpleNamespace(emit=lambda event, **more: told.append((event, more)))
    watching = Supervisor(Job(**dict.fromkeys(fields, "")), events)
    child = subprocess.Popen(["/bin/sh", "-c", "sleep 0.4; echo loaded"], stdout=subprocess.PIPE)
    monkeypatch.setattr(watching, "_pass_on_progress", lambda *_: child.wait())
    kept = []
    record = SimpleNamespace(write=kept.append, stop_asked=threading.Event(), run_id="none")
    with child.stdout:
        assert watching._watch(child, record, Path("nothing")) == ""
    assert told == [("output", {"text": "loaded\n"})]
    assert kept == [b"loaded\n"]


def test_variables_of_the_job_reach_the_command_and_win(work):
    events = work("echo $OF_THE_JOB $SECRET_OF_THE_SHELL", variables={"OF_THE_JOB": "1", "SECRET_OF_THE_SHELL": "2"})
    assert printed(events) == "1 2\n"


def test_two_signals_at_once_are_one_wish():
    facts = {"step": "finetune", "entry_point": "main", "target": "local", "experiment": "tests", "tracking_uri": ""}
    supervisor = Supervisor(Job(command="true", folder="", **facts), SimpleNamespace())
    supervisor._ask_to_end(signal.SIGTERM, None)
    supervisor._ask_to_end(signal.SIGINT, None)
    assert supervisor._asked == 1
    time.sleep(0.35)
    supervisor._ask_to_end(signal.SIGINT, None)
    assert supervisor._asked == 2
