"""One attempt, followed in a thread of its own; its end is the last that is heard of it."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

import pytest

from dlops.errors import Interrupted, StepFailed, UsageError
from dlops.project.outcome import Outcome
from dlops.project.pipeline.attempt import Attempt
from dlops.project.plan import Request
from dlops.targets.local import Local

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The files that hold a worker's events live as long as what follows them."""

MLPROJECT = """
name: toy
entry_points:
  good: {command: "echo hello"}
  bad: {command: "exit 7"}
  long: {command: "exec sleep 60"}
  says: {parameters: {words: str}, command: "echo {words}"}
"""


@pytest.fixture
def attempt(tmp_path, store, client):
    """Launch a step; gives the attempt and the news of it."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/MLproject").write_text(MLPROJECT)

    def of(step, secrets=(), **given):
        news = SimpleQueue()
        request = Request(step=step, uri=str(tmp_path / "toy"), tracking_uri=store, given=given)
        return Attempt(step, request, Local(), news, {"a": "b"}, secrets), news

    return of


def last(news):
    """Give the end, and what was told before."""
    told = []
    while True:
        _, one = news.get(timeout=120)
        if not isinstance(one, dict):
            return one, told
        told.append(one)


def test_what_it_tells_and_how_it_ends(attempt, client):
    _, news = attempt("good")
    outcome, told = last(news)
    assert isinstance(outcome, Outcome)
    assert outcome.error is None
    assert "hello" in "".join(event["text"] for event in told if event["event"] == "output")
    assert client.get_run(outcome.run_id).info.status == "FINISHED"
    assert "a" in [entry.path for entry in client.list_artifacts(outcome.run_id)]


def test_the_secret_of_another_step_is_masked_in_a_value_and_in_the_log(attempt, client, tmp_path):
    _, news = attempt("says", ["hunter2"], words="it is hunter2")
    outcome, told = last(news)
    assert client.get_run(outcome.run_id).data.params == {"words": "it is ***"}
    assert [event["text"] for event in told if event["event"] == "output"] == ["it is ***\n"]
    kept = client.download_artifacts(outcome.run_id, "config.yaml", str(tmp_path))
    assert "hunter2" not in Path(kept).read_text()


def test_a_failure_is_an_end(attempt):
    _, news = attempt("bad")
    outcome, _ = last(news)
    assert isinstance(outcome.error, StepFailed)


def test_what_cannot_start_is_told(attempt):
    _, news = attempt("none")
    error, told = last(news)
    assert isinstance(error, UsageError)
    assert told == []


def test_it_ends_when_it_is_asked_to_whenever_that_is(attempt, client):
    made, news = attempt("long")
    made.end()  # it has hardly begun
    end, _ = last(news)
    error = end if isinstance(end, Interrupted) else end.error
    assert isinstance(error, Interrupted)
    made, news = attempt("long")
    while news.get(timeout=120)[1].get("event") != "started":
        pass
    made.end()
    outcome, _ = last(news)
    assert isinstance(outcome.error, Interrupted)
    assert client.get_run(outcome.run_id).info.status == "KILLED"
