"""Events of a worker on this machine: whole, in order, none lost, whatever happens to it or to us."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dlops.targets.local import Local, LocalRun
from dlops.worker.job import Job
from tests.targets.here import quietly

ENDED = {"event": "ended", "status": "FINISHED"}


@pytest.fixture
def follow(tmp_path):
    """Follow a stand-in for the worker: a program that writes what it likes to the file of events."""
    open_files, workers = [], []

    def of(program):
        events, errors = (tmp_path / f"events-{len(workers)}").open("a+b"), (tmp_path / "errors").open("a+b")
        open_files.extend([events, errors])
        worker = subprocess.Popen([sys.executable, "-c", program], stdout=events, stderr=errors)
        workers.append(worker)
        return LocalRun(worker, events, errors), worker

    yield of
    for worker in workers:
        worker.kill()
        worker.wait()
    for file in open_files:
        file.close()


def line(**event):
    return json.dumps(event) + "\n"


def writes(*pieces, pause=0.0):
    return (
        f"import os, time\nfor piece in {[piece.encode() for piece in pieces]!r}:\n"
        f"    while piece: piece = piece[os.write(1, piece):]\n    time.sleep({pause})\n"
    )


def test_a_line_in_pieces_is_one_event(follow):
    text = line(event="output", text="a") + line(**ENDED)
    run, _ = follow(writes(*text, pause=0.002))
    assert [event["event"] for event in run.events()] == ["output", "ended"]


def test_more_than_is_read_at_once_is_read_to_its_end(follow):
    """Ten megabytes wait when the worker is over already: the end must not be missed."""
    run, worker = follow(
        f"import os\nline = {line(event='output', text='x' * 1000).encode()!r}\n"
        f"with open(1, 'wb', closefd=False) as out: out.write(line * 10000); out.write({line(**ENDED).encode()!r})"
    )
    worker.wait()
    found = [event["event"] for event in run.events()]
    assert len(found) == 10001
    assert found[-1] == "ended"


def test_one_event_may_be_longer_than_a_read(follow):
    run, worker = follow("import json\nprint(json.dumps({'event': 'ended', 'error': 'x' * 3_000_000}))")
    worker.wait()
    (event,) = run.events()
    assert len(event["error"]) == 3_000_000


def test_after_an_interruption_no_event_is_missing(follow):
    """The event that was being shown when Ctrl-C came is given again: an `ended` must not be lost."""
    run, worker = follow(writes(line(event="started", run_id="r"), line(event="output", text="a"), line(**ENDED)))
    worker.wait()
    seen = []
    for interrupted_at in ("started", "output", "ended", None):
        try:
            for event in run.events():
                seen.append(event["event"])
                if event["event"] == interrupted_at:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            continue
    assert list(dict.fromkeys(seen)) == ["started", "output", "ended"]
    assert seen[-1] == "ended"


def test_a_worker_that_dies_is_told_as_lost_with_its_last_words(follow):
    run, _ = follow(writes(line(event="started", run_id="r"), '{"event": "outp') + "raise SystemExit('last words')")
    found = list(run.events())
    assert [event["event"] for event in found] == ["started", "lost"]
    assert "last words" in found[-1]["text"]


def test_terminate_asks_the_worker_and_minds_no_dead_one(follow):
    run, worker = follow("import time; print(flush=True); time.sleep(60)")
    run.terminate()
    assert worker.wait(10) == -15
    run.terminate()


def job(tmp_path, uri):
    texts = dict.fromkeys(("step", "entry_point", "target", "experiment", "command"), "x")
    return Job(**texts, folder=str(tmp_path), tracking_uri=uri, params={"long": "x" * 1_000_000})


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:///{0}/mlflow.db", ""),
        ("sqlite:///{0}/new/folders/mlflow.db", ""),
        ("sqlite:///{0}/file", ""),
        ("http://host", ""),
        ("sqlite:///{0}", "is a folder"),
        ("sqlite:///{0}/file/mlflow.db", "is a file"),
    ],
)
def test_problems_with_the_store(tmp_path, uri, said):
    (tmp_path / "file").touch()
    found = Local().problems(job(tmp_path, uri.format(tmp_path)))
    assert bool(found) == bool(said)
    assert said in "".join(found)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_worker_started_ahead_takes_the_job(tmp_path):
    target = Local()
    with target.ahead():
        run = target.start(job(tmp_path, "sqlite://///nowhere\0/x.db"), quietly)
    with run._events, run._errors:
        assert [event["event"] for event in run.events()] == ["failed"]


def test_a_worker_started_ahead_is_gone_when_the_job_was_refused():
    target = Local()
    with target.ahead():
        process = target._waiting._worker
        assert process.poll() is None
    assert process.returncode == -9


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written" in Local().problems(job(tmp_path, f"sqlite:///{tmp_path}/mlflow.db"))[0]


def test_a_worker_that_cannot_begin_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    run = Local().start(job(tmp_path, "sqlite:///x"), quietly)
    with run._events, run._errors:
        assert [event["event"] for event in run.events()] == ["lost"]
