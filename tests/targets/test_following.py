"""A run that goes on elsewhere: its log as it comes, and an end that is true whatever became of its cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from dlops.errors import UnreachableError
from dlops.targets import following
from dlops.targets.interface import State
from tests import processes
from tests.targets.here import quietly


def of(events, name):
    return [event for event in events if event["event"] == name]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(following, "_POLL", 0.1)
    monkeypatch.setattr(following, "_ASK", 0.2)
    monkeypatch.setattr(following, "_GRACE", 1.0)


def test_output_comes_while_it_runs(target, job, tmp_path):
    launched = target.start(job(f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo second"), quietly)
    seen = []
    for event in launched.events():
        seen.append(event)
        if event["event"] == "output" and "first" in event["text"]:
            (tmp_path / "go").touch()
    assert [event["text"] for event in of(seen, "output")] == ["first\n", "second\n"]
    assert seen[-1]["status"] == "FINISHED"


def test_after_an_interruption_it_goes_on_where_it_stopped(target, job):
    launched = target.start(job("echo first; sleep 3; echo second"), quietly)
    seen, interrupted = [], False
    while not of(seen, "ended"):
        with contextlib.suppress(KeyboardInterrupt):
            for event in launched.events():
                seen.append(event)
                if event["event"] == "output" and not interrupted:
                    interrupted = True
                    raise KeyboardInterrupt
    assert [event["text"] for event in of(seen, "output")] in (["first\n", "second\n"], ["first\n"] * 2 + ["second\n"])
    assert len(of(seen, "started")) == 1


def test_it_is_ended_when_that_is_asked(target, job, client):
    launched = target.start(job("echo here; sleep 600"), quietly)
    for event in launched.events():
        if event["event"] == "output":
            launched.terminate()
        last = event
    assert last["status"] == "KILLED"
    assert client.get_run(launched._run_id).data.tags["dlops.cancel"]


def test_a_job_that_its_cluster_killed_is_closed(target, far, job, client):
    """Even with its guard, which would do it otherwise: as where a whole node is lost."""
    launched = target.start(job("echo here; exec sleep 600"), quietly)
    last = None
    for event in launched.events():
        if event["event"] == "output":
            for pid in processes.carrying("HOME", str(far.folder)):
                os.kill(pid, signal.SIGKILL)
        last = event
    assert (last["event"], last["text"]) == ("lost", "here\nit ended with -9")
    assert client.get_run(launched._run_id).info.status == "FAILED"


def test_a_worker_that_never_began_is_told_by_the_log_of_its_job(target, far, job):
    launched = target.start(job("true"), quietly)
    far.processes[launched._run_id].kill()
    (far.folder / launched._run_id / "log").write_text("No module named pip\n")
    *_, last = launched.events()
    assert (last["event"], last["text"]) == ("lost", "No module named pip\nit ended with -9")


def test_a_cluster_that_is_away_is_given_up_only_when_the_worker_is_silent_too(target, far, job, client, monkeypatch):
    monkeypatch.setattr(following, "_SILENCE", 7.0)
    launched = target.start(job("sleep 600"), quietly)
    far.away = True
    events = launched.events()
    assert next(events)["event"] == "started"

    def lost():
        time.sleep(12)
        assert client.get_run(launched._run_id).info.status == "RUNNING"
        far.processes[launched._run_id].send_signal(signal.SIGSTOP)

    thread = threading.Thread(target=lost)
    thread.start()
    *_, last = events
    thread.join()
    assert (last["event"], last["text"]) == ("lost", "far does not answer")
    far.processes[launched._run_id].send_signal(signal.SIGCONT)


def test_while_it_waits_its_cluster_says_for_what(target, far, job, client, monkeypatch):
    made = client.create_run("0").info.run_id
    states = iter([State(False, "waits for a GPU"), State(False, "waits for a GPU"), State(True, "was taken away")])
    monkeypatch.setattr(far, "state", lambda handle: next(states))
    monkeypatch.setattr(far, "log", lambda handle: "no room\n")
    events = list(following.RemoteRun(client, made, "0", far, "h").events())
    assert [event["text"] for event in of(events, "waiting")] == ["waits for a GPU"]
    assert events[-1] == {"event": "lost", "text": "no room\nwas taken away"}


def test_a_wish_to_end_a_job_that_had_not_begun_is_no_failure(far, client, monkeypatch):
    made = client.create_run("0", tags={"dlops.cancel": "1"})
    monkeypatch.setattr(far, "log", lambda handle: "")
    following.close(client, made, State(True, "was stopped"), far, "h")
    run = client.get_run(made.info.run_id)
    assert (run.info.status, run.data.tags["dlops.error"]) == ("KILLED", "cancelled")


def test_what_became_of_it_is_told_in_its_own_word(far, client, monkeypatch):
    monkeypatch.setattr(far, "log", lambda handle: "")
    made = client.create_run("0")
    state = State(True, "is gone", cancelled=True, word="ended: it was deleted")
    following.close(client, made, state, far, "h")
    run = client.get_run(made.info.run_id)
    assert (run.info.status, run.data.tags["dlops.error"]) == ("KILLED", "ended: it was deleted")


def test_what_a_cluster_tells_is_noted_once(client):
    made = client.create_run("0")
    state = State(False, "answers", tags={"dlops.output.url": "http://x"})
    assert following.note(client, made, state) is True
    noted = client.get_run(made.info.run_id)
    assert noted.data.tags["dlops.output.url"] == "http://x"
    assert following.note(client, noted, state) is False
    client.set_terminated(made.info.run_id)


def test_what_was_sent_for_a_job_that_never_began_is_removed(far, client, monkeypatch):
    monkeypatch.setattr(far, "stop", lambda handle: None)
    tidied = []
    monkeypatch.setattr(far, "tidy", tidied.append)
    waiting = client.create_run("0").info.run_id
    following.ask_to_end(client, waiting, far, "waiting")
    begun = client.create_run("0", tags={"dlops.worker": "{}"}).info.run_id
    following.ask_to_end(client, begun, far, "begun")
    assert tidied == ["waiting"]
    assert client.get_run(waiting).info.status == "KILLED"
    client.set_terminated(begun)


def test_what_was_sent_is_removed_even_where_the_log_is_gone(far, client, monkeypatch):
    def gone(handle):
        raise UnreachableError("no log")

    monkeypatch.setattr(far, "log", gone)
    tidied = []
    monkeypatch.setattr(far, "tidy", tidied.append)
    following.close(client, client.create_run("0"), State(True, "has failed"), far, "h")
    assert tidied == ["h"]


def test_a_store_that_stays_away_is_told_with_the_way_back(client, far, monkeypatch):
    monkeypatch.setattr(following, "_STORE_PATIENCE", 0.3)
    run = following.RemoteRun(client, "0" * 32, "0", far, "h")
    with pytest.raises(UnreachableError) as caught:
        list(run.events())
    assert f"dlops logs {'0' * 32} -f" in caught.value.hint


def test_a_worker_that_gives_a_sign_is_not_closed_whatever_its_cluster_says(far, client, monkeypatch):
    made = client.create_run("0", tags={"dlops.worker": "{}", "dlops.heartbeat": str(int(time.time()))})
    run_id, asked = made.info.run_id, []

    class Beating:
        """The store, in which the worker has left a sign each time that it is asked, and at last its end."""

        def get_run(self, run_id):
            asked.append(time.monotonic())
            if asked[-1] - asked[0] > 3 * following._GRACE:
                client.set_tag(run_id, "dlops.exit_code", "0")
                client.set_terminated(run_id, "FINISHED")
            client.set_tag(run_id, "dlops.heartbeat", str(int(time.time()) + len(asked)))
            return client.get_run(run_id)

    following.close(Beating(), made, State(True, "has failed"), far, "h")
    assert client.get_run(run_id).info.status == "FINISHED"
