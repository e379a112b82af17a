"""What is seen while a run goes on."""

from __future__ import annotations

import os

import pytest

from dlops.cli import console
from dlops.cli.follower import Follower

EVENTS = [
    {"event": "preparing", "text": "environment of [x]"},
    {"event": "started", "run_id": "abc", "experiment_id": "1"},
    {"event": "output", "text": "25%\r[red] ünï\n"},
    {"event": "progress", "done": 1, "total": None, "text": "[/x]"},
    {"event": "warning", "text": "the store [/x] waits"},
    {"event": "interrupted"},
    {"event": "ended", "status": "FINISHED"},
    {"event": "of another version"},
]


@pytest.fixture
def seen(capsys):
    console.err.cache_clear()

    def of(**options):
        with Follower(**options) as follower:
            for event in EVENTS:
                follower.show(event)
        shown = capsys.readouterr()
        assert shown.out == ""
        return shown.err

    yield of
    console.err.cache_clear()


def test_off_a_terminal_lines_only(seen):
    assert seen() == (
        "preparing the environment of [x]\nrun abc\n25%\r[red] ünï\nwarning the store [/x] waits\n"
        "ending the run; press Ctrl-C again to kill it\n"
    )


def test_quiet_leaves_what_went_wrong(seen):
    assert seen(quiet=True) == "warning the store [/x] waits\nending the run; press Ctrl-C again to kill it\n"


def test_detached_the_id_is_not_said_twice(seen):
    assert "run abc" not in seen(detached=True)


@pytest.mark.parametrize("progress", [{}, {"done": 1}, {"done": 1, "total": 3, "text": "[/x]", "unit": "epoch"}])
def test_on_a_terminal_a_bar_of_any_progress(monkeypatch, capsys, progress):
    console.err.cache_clear()
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Follower() as follower:
        follower.show({"event": "progress", **progress})
        follower.show({"event": "output", "text": "[red] beside the bar\n"})
    assert "[red] beside the bar" in capsys.readouterr().err
    console.err.cache_clear()


def test_a_table_of_progress_is_shown_above_the_bar(monkeypatch, capsys):
    console.err.cache_clear()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with Follower() as follower:
        table = [["trial", "score"], ["0", "[red]0.5"], ["1", "0.75"]]
        follower.show({"event": "progress", "done": 2, "total": 3, "text": "best 0.75", "table": table})
    shown = capsys.readouterr().err
    assert "[red]0.5" in shown
    assert "trial" in shown
    assert "best 0.75" in shown
    console.err.cache_clear()


@pytest.fixture
def terminal(monkeypatch, seen):
    """Stdin is a terminal at which somebody types what the test says."""
    ours, theirs = os.openpty()
    stdin = os.fdopen(theirs)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp())  # it is no terminal of this process's
    monkeypatch.setenv("FORCE_COLOR", "1")
    yield lambda text: os.write(ours, text)
    stdin.close()
    os.close(ours)


@pytest.mark.parametrize(("typed", "left"), [(b"n\n", True), (b"y\n", False), (b"\n", False), (b"\x04", False)])
def test_at_a_terminal_it_is_asked_whether_a_run_elsewhere_ends(terminal, capsys, typed, left):
    terminal(typed)
    with Follower() as follower:
        follower.show({"event": "progress", "done": 1})
        assert follower.leave() is left
    assert "End the run?" in capsys.readouterr().err


def test_in_the_background_of_a_terminal_nobody_is_asked(terminal, monkeypatch, capsys):
    monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp() + 1)
    with Follower() as follower:
        assert follower.leave() is False
        monkeypatch.setattr("sys.stdin", None)
        assert follower.leave() is False
    assert "End the run?" not in capsys.readouterr().err


def test_off_a_terminal_nobody_is_asked(seen, capsys):
    with Follower() as follower:
        assert follower.leave() is False
    assert "End the run?" not in capsys.readouterr().err
