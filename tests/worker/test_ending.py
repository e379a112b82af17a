"""How a command ended, told truthfully."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.worker.ending import Ending, ending, last_error

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: {}'


@pytest.mark.parametrize(
    ("returncode", "status", "exit_code"),
    [(0, "FINISHED", 0), (1, "FAILED", 1), (127, "FAILED", 127), (3, "FAILED", 3), (-9, "FAILED", 137)],
)
def test_status_and_exit_code(returncode, status, exit_code):
    found = ending(returncode, "")
    assert (found.status, found.exit_code) == (status, exit_code)


@pytest.mark.parametrize("returncode", [0, 1, -15])
def test_who_was_asked_to_end_was_killed_whatever_it_made_of_it(returncode):
    found = ending(returncode, "output", stopped="cancelled")
    assert (found.status, found.error) == ("KILLED", "cancelled")


def test_a_killed_command_is_told_by_its_signal():
    assert "SIGKILL (often: out of memory)" in ending(-9, "").error
    assert "SIGSEGV" in ending(-signal.SIGSEGV, "").error


@pytest.mark.parametrize("number", range(1, 65))
def test_every_signal_there_is_can_be_told(number):
    assert ending(-number, "last words").error.startswith("last words\nThe command was ended by ")


def test_a_missing_command_says_so():
    assert "bash: x: command not found\nThe command was not found" in ending(127, "bash: x: command not found").error


def test_silence_is_told():
    assert ending(7, " \n ").error == "exit 7, and nothing was printed"


def test_the_last_traceback_is_the_error():
    output = f"{TRACEBACK.format('first')}\nwent on\n{TRACEBACK.format('second')}\n"
    assert last_error(output) == TRACEBACK.format("second")


def test_a_chained_traceback_gives_its_last_part():
    text = f"{TRACEBACK.format('a')}\n\nDuring handling of the above exception:\n\n{TRACEBACK.format('b')}"
    assert last_error(text).endswith("ValueError: b")


def test_a_long_traceback_keeps_its_beginning_and_its_end():
    found = last_error(
        "Traceback (most recent call last):\n" + "\n".join(f"  line {n}" for n in range(100))
    ).splitlines()
    assert found[0].startswith("Traceback")
    assert found[1] == "  …"
    assert found[-1] == "  line 99"
    assert len(found) == 32


def test_an_error_line_is_found_among_the_rest():
    assert last_error("loading\nerror: disk full\ncleaning up") == "error: disk full\ncleaning up"


def test_else_the_last_lines_that_say_something():
    assert last_error("\n".join(f"line {n}\n" for n in range(30))).splitlines() == [f"line {n}" for n in range(20, 30)]


@given(st.integers(-64, 255), st.text())
def test_any_end_of_any_output_can_be_told(returncode, output):
    found = ending(returncode, output)
    assert isinstance(found, Ending)
    assert (found.status == "FINISHED") == (returncode == 0)
    assert 0 <= found.exit_code <= 255
    assert bool(found.error) == (returncode != 0)
