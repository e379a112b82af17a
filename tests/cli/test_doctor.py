"""`dlops doctor`: exit 0 when a launch would work, 2 when not."""

from __future__ import annotations


def test_a_sound_project(shell, listing):
    before = listing()
    done = shell.run("doctor")
    assert "small: finetune, ingest" not in done.stderr
    assert "✓ project" in done.stdout
    assert listing() == before


def test_a_problem_is_exit_2_and_in_the_document(shell):
    (shell.folder / "MLproject").write_text("entry_points: {finetune: {command: 'x {y}'}}")
    found = {finding["name"]: finding for finding in shell.json("doctor", exit_code=2)}
    assert found["project"]["state"] == "problem"
    assert "{y}" in found["project"]["text"]
    assert found["Python"]["state"] == "ok"


def test_on_a_terminal_that_is_not_utf8_nothing_breaks(shell):
    shell.environ["PYTHONIOENCODING"] = "latin-1"
    assert "\\u2713 project" in shell.run("doctor").stdout
