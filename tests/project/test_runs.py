"""Runs as another shell finds them: by a beginning of their id, whatever stands in their tags."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dlops.errors import ConfigError, UnreachableError, UsageError
from dlops.project import runs
from dlops.project.runs import Run, Runs
from dlops.worker import processes, reaper


@pytest.fixture
def made(client):
    """Record runs as a worker would; gives their ids."""

    def of(status="FINISHED", **tags):
        run = client.create_run("0", tags={"dlops.step": "finetune", "dlops.target": "local", **tags})
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status)
        return run.info.run_id

    return of


@pytest.fixture
def found(client, store):
    """The runs of the store, and nothing left open."""
    yield Runs(store)
    for run in client.search_runs(["0"], "attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id, "KILLED")


def test_listed_newest_first_and_only_ours(client, found, made):
    ids = [made(), made("FAILED", **{"dlops.error": "disk full"}), made("KILLED")]
    client.set_terminated(client.create_run("0").info.run_id)
    listed = found.recent()
    assert {run.run_id for run in listed} == set(ids)
    assert found.latest() in ids
    assert len(found.recent(2)) == 2
    assert next(run for run in listed if run.status == "FAILED").error == "disk full"


def test_every_run_is_given_page_by_page_whoever_launched_it(client, found, made, monkeypatch):
    monkeypatch.setattr(runs, "_PAGE", 2)
    foreign = [client.create_run("0").info.run_id for _ in range(2)]
    for run in foreign:
        client.set_terminated(run)
    ours = [made() for _ in range(3)]
    assert sorted(run.info.run_id for run in found.every()) == sorted([*foreign, *ours])


def test_found_by_a_beginning_that_fits_one(found, made):
    run_id = made(**{"dlops.output.model": "runs:/x/model"})
    other = made()
    shortest = next(run_id[:n] for n in range(1, 33) if run_id[:n] != other[:n])
    assert found.one(run_id).outputs == {"model": "runs:/x/model"}
    assert found.one(shortest).run_id == run_id
    for word, said in (("", "2 runs have an id that begins"), ("zzz", "No run has the id"), ("0" * 32, "No run")):
        with pytest.raises(UsageError, match=said):
            found.one(word)
    for strange in ("not an id at all, but 32 letters!", "%' OR 1=1 --", "../../etc/passwd"):
        with pytest.raises(UsageError, match="No run has the id"):
            found.one(strange)


@pytest.mark.parametrize("progress", ['{"done": 1, "total"', "[1]", "", "null", '"x"'])
@pytest.mark.parametrize("heartbeat", ["yesterday", "[1]"])
def test_whatever_stands_in_a_tag_a_run_can_be_shown(client, progress, heartbeat):
    living = json.dumps(processes.identity(os.getpid()))
    tags = {"dlops.worker": living, "dlops.progress": progress, "dlops.heartbeat": heartbeat}
    run = client.create_run("0", tags=tags)
    shown = runs._described(client.get_run(run.info.run_id), "")
    assert (shown.progress, shown.heartbeat_s, shown.silent) == ({}, None, False)
    client.set_terminated(run.info.run_id)


def test_where_a_run_comes_from_is_told(client, found):
    number = client.create_experiment("reviews")
    tags = {"dlops.step": "finetune", "dlops.commit": "c" * 40, "dlops.dirty": "true"}
    run_id = client.create_run(number, tags=tags).info.run_id
    client.set_terminated(run_id)
    (listed,) = found.recent()
    for run in (listed, found.one(run_id)):
        assert (run.experiment, run.commit, run.dirty) == ("reviews", "c" * 40, True)


def test_progress_and_silence_of_an_open_run(found, made):
    tags = {"dlops.progress": '{"done": 1, "total": 2}', "dlops.worker": json.dumps({"host": "another"})}
    fresh = found.one(made("RUNNING", **tags, **{"dlops.heartbeat": str(int(time.time()))}))
    assert (fresh.progress, fresh.silent) == ({"done": 1, "total": 2}, False)
    silent = found.one(made("RUNNING", **tags, **{"dlops.heartbeat": str(int(time.time()) - 600)}))
    assert silent.silent
    assert silent.status == "RUNNING"


def test_a_run_of_a_dead_worker_is_closed_when_it_is_looked_at(found, made):
    gone = {**processes.identity(os.getpid()), "started": "0"}
    closed = found.one(made("RUNNING", **{"dlops.worker": json.dumps(gone)}))
    assert (closed.status, closed.error) == ("FAILED", reaper.ERROR)


def test_cancel_refuses_what_it_cannot_end(found, made):
    with pytest.raises(UsageError, match="is not running: it is FINISHED"):
        found.cancel(made())
    with pytest.raises(UsageError, match="not launched by dlops"):
        found.cancel(made("RUNNING"))


def test_cancel_asks_by_tag_and_by_signal_and_waits(client, found, made):
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        run_id = made("RUNNING", **{"dlops.worker": json.dumps(processes.identity(worker.pid))})
        ender = threading.Timer(0.5, lambda: client.set_terminated(run_id, "KILLED"))
        ender.start()
        assert found.cancel(run_id).status in ("KILLED", "FAILED")
        assert worker.wait(10) == -15
        ender.join()
        assert "dlops.cancel" in client.get_run(run_id).data.tags
    finally:
        worker.kill()
        worker.communicate()


def test_a_worker_of_a_cluster_gets_no_signal_of_ours_beside_that_of_its_cluster(client, found, made):
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        tags = {"dlops.target": "far", reaper.HANDLE: "{}", "dlops.heartbeat": str(int(time.time()))}
        tags["dlops.worker"] = json.dumps(processes.identity(worker.pid))
        with pytest.raises(UnreachableError, match="asked to end and has not"):
            found.cancel(made("RUNNING", **tags), patience=0.3)
        assert worker.poll() is None, "though it is on this machine"
    finally:
        worker.kill()
        worker.communicate()


def test_a_worker_elsewhere_that_does_not_answer_is_told(client, found, made):
    run_id = made("RUNNING", **{"dlops.worker": json.dumps({**processes.identity(os.getpid()), "host": "another"})})
    with pytest.raises(UnreachableError, match="asked to end and has not"):
        found.cancel(run_id, patience=0.3)
    assert "dlops.cancel" in client.get_run(run_id).data.tags


def test_logs_are_given_in_order_as_they_were_printed(client, found, made):
    run_id = made()
    pieces = {f"logs/1/{n:06d}.log": text for n, text in enumerate(["one\n", "25%\r50%\r\n", "ünï 🙂 [red]", ""], 1)}
    for name in reversed(pieces):
        client.log_text(run_id, pieces[name], name)
    assert list(found.log(run_id)) == list(pieces.values())
    assert list(found.log(run_id, follow=True)) == list(pieces.values())
    assert list(found.log(made())) == []


def test_a_log_of_which_the_end_is_kept_alone_is_given_once(client, found, made, monkeypatch):
    run_id = made("RUNNING", **{"dlops.handle": "h"})
    said = iter(["a\nb\nb\n", "b\nb\nb\nc\n", "b\nc\n"])

    def log(run):
        text = next(said, "")
        if not text:
            client.log_text(run_id, "c\nd\n", "logs/1/000001.log")
            client.set_terminated(run_id, "KILLED")
        return text

    monkeypatch.setattr(runs.jobs, "log", log)
    assert "".join(found.log(run_id, follow=True, poll=0.01)) == "a\nb\nb\nb\nc\nd\n"


def test_an_empty_store_has_no_latest(found):
    with pytest.raises(UsageError, match="No run was launched"):
        found.latest()


def test_a_missing_store_is_not_made(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        Runs(f"sqlite:///{tmp_path}/none/mlflow.db")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("uri", ["foo://", "localhost:5000", "sqlite://"])
def test_what_is_no_store_is_told_before_it_is_opened(uri):
    with pytest.raises(ConfigError, match="The tracking URI is wrong") as told:
        Runs(uri)
    assert told.value.exit_code == 2
    assert len(told.value.problems) == 1


def test_a_server_that_is_not_there_is_told_soon():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened on: connections are refused
        nowhere = Runs(f"http://me:secret-word@127.0.0.1:{taken.getsockname()[1]}")
        for ask in (nowhere.recent, lambda: nowhere.one("0" * 32), lambda: nowhere.one("0")):
            began = time.monotonic()
            with pytest.raises(UnreachableError) as told:
                ask()
            assert time.monotonic() - began < 5
            assert str(told.value).startswith("http://***@127.0.0.1:")
            assert str(told.value).endswith("did not answer: Connection refused")
            assert "--tracking-uri" in told.value.hint


def test_ids_for_completion(client, store, made, tmp_path):
    ids = [made() for _ in range(3)]
    deleted = made()
    client.delete_run(deleted)
    client.set_terminated(client.create_run("0").info.run_id)
    assert set(runs.latest_ids(store, "")) == set(ids)
    assert len(runs.latest_ids(store, "", 2)) == 2
    assert runs.latest_ids(store, ids[0]) == [ids[0]]
    for odd in ("%", "_", "'", "x"):
        assert runs.latest_ids(store, odd) == []


def test_completion_makes_no_file_and_says_nothing(tmp_path):
    (tmp_path / "no.db").write_text("this is no database at all, and it is long enough to be taken for one\n" * 20)
    (tmp_path / "empty.db").touch()
    for name in ("no.db", "empty.db", "missing.db"):
        assert runs.latest_ids(f"sqlite:///{tmp_path}/{name}", "") == []
    assert runs.latest_ids("http://127.0.0.1:1", "") == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty.db", "no.db"]


def test_silence_begins_after_missed_heartbeats():
    facts = {"run_id": "r", "name": "", "step": "", "status": "RUNNING", "target": "", "started": 0, "duration_s": 0}
    assert [Run(**facts, heartbeat_s=age).silent for age in (None, 0, 59, 61)] == [False, False, False, True]


def test_a_look_at_runs_changes_nothing_for_what_is_launched_next(store, tmp_path, monkeypatch):
    """Neither the folder that paths are relative to, nor the time that an upload may take."""
    monkeypatch.chdir(tmp_path)
    runs.unhurried()  # what other tests looked at
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "99")
    runs.Runs(store)
    assert Path.cwd() == tmp_path
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    runs.unhurried()
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "99"
