"""What is kept of a run: whole values, whole logs, and a stranger's wish to end it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from dlops.worker import reaper
from dlops.worker.ending import Ending
from dlops.worker.events import Events
from dlops.worker.job import Job
from dlops.worker.record import Record, _user

LONG = "x" * 7000


@pytest.fixture
def record(client):
    with tempfile.TemporaryFile() as file:
        job = Job(
            **dict.fromkeys(("step", "entry_point", "target", "command", "folder", "tracking_uri"), "x"),
            experiment="tests",
            run_name="named",
            params={"note": " 'quoted' ünï🙂", "empty": "", "long": LONG},
            tags={"dlops.commit": "", "mlflow.source.name": "y" * 9000},
            artifacts={"config.yaml": "a: ü\n"},
        )
        yield Record(client, job, Events(file.fileno()))


def test_a_run_from_its_beginning_to_its_end(client, record, tmp_path):
    record.log_params()
    record.start()
    record.write("first ü\n".encode())
    record._write_piece()
    record.write(b"25%\r50%\r\nlast\n")
    record.tag("dlops.output.model", "runs:/x/model")
    held = record.finish(Ending("FAILED", 7, "what went wrong" * 1000))
    assert held["params"]["note"] == " 'quoted' ünï🙂"
    assert held["params"]["empty"] == ""
    assert held["params"]["long"].startswith("sha256:")
    assert held["outputs"] == {"model": "runs:/x/model"}
    run = client.get_run(record.run_id)
    assert (run.info.status, run.info.run_name) == ("FAILED", "named")
    assert run.data.tags["dlops.exit_code"] == "7"
    assert len(run.data.tags["dlops.error"]) == 8000
    assert len(run.data.tags["mlflow.source.name"]) == 8000
    assert "dlops.commit" not in run.data.tags

    def kept(name):
        return Path(client.download_artifacts(record.run_id, name, str(tmp_path))).read_bytes().decode()

    assert kept("params/long.txt") == LONG
    assert kept("config.yaml") == "a: ü\n"
    assert kept("logs/1/000001.log") == "first ü\n"
    assert kept("logs/1/000002.log") == "25%\r50%\r\nlast\n"


def test_a_run_that_went_wrong_before_it_was_kept_is_ended(client, record):
    record.finish(Ending("FAILED", 1, "no room for it"))
    run = client.get_run(record.run_id)
    assert (run.info.status, run.data.tags["dlops.error"]) == ("FAILED", "no room for it")


def test_what_the_store_did_not_take_at_first_it_has_at_the_end(client, record, monkeypatch):
    log_text, refused = client.log_text, []

    def away(run_id, text, name):
        if name == "config.yaml" and not refused:
            refused.append(name)
            raise OSError("the server is away")
        log_text(run_id, text, name)

    monkeypatch.setattr(client, "log_text", away)
    record.start()
    record.finish(Ending("FINISHED", 0, ""))
    assert refused == ["config.yaml"]
    assert "config.yaml" in [file.path for file in client.list_artifacts(record.run_id)]


def test_a_store_that_takes_no_artifacts_does_not_keep_a_run_open(client, record, monkeypatch):
    def refused(*words):
        raise OSError("access denied")

    monkeypatch.setattr(client, "log_text", refused)
    monkeypatch.setattr("dlops.worker.record._INPUTS", 0.1)
    record.start()
    record.finish(Ending("FINISHED", 0, ""))
    assert client.get_run(record.run_id).info.status == "FINISHED"


def test_the_end_waits_for_no_queue(client, record, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS", "30")
    reaper.end(client, record.run_id, "FINISHED", **{"dlops.exit_code": "0"})
    assert reaper.over(client.get_run(record.run_id))


def test_whoever_sees_that_it_is_over_sees_how(client, record, monkeypatch):
    """A script has ended its run itself, as well; the command then fails."""
    client.set_terminated(record.run_id, "FINISHED")
    seen = []
    for name in ("set_tag", "log_batch", "set_terminated"):
        write = getattr(client, name)

        def looked(*args, write=write, **more):
            write(*args, **more)
            run = client.get_run(record.run_id)
            seen.append((reaper.over(run), run.info.status))

        monkeypatch.setattr(client, name, looked)
    record.finish(Ending("FAILED", 1, "crashed"))
    assert {status for is_over, status in seen if is_over} == {"FAILED"}


def test_a_user_without_a_name_has_a_number(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: {}["no entry"])
    assert _user() == str(os.getuid())


def test_a_wish_to_end_is_seen_with_the_heartbeat(client, record):
    record.progress = {"done": 1, "total": 2}
    record._beat()
    assert not record.stop_asked.is_set()
    assert client.get_run(record.run_id).data.tags["dlops.progress"] == '{"done": 1, "total": 2}'
    client.set_tag(record.run_id, "dlops.cancel", "1")
    record._beat()
    assert record.stop_asked.is_set()
    client.set_terminated(record.run_id, "KILLED")


def test_it_says_who_keeps_it(client, record):
    from dlops.worker import processes

    assert reaper.identity(client.get_run(record.run_id)) == processes.identity(os.getpid())
