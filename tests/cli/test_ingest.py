"""`dlops ingest`: the same launch as any step."""

from __future__ import annotations

import json


def test_a_required_parameter_is_asked_for(typed):
    problem = json.loads(typed("ingest", "--json", exit_code=2)[0])["error"]
    assert problem["kind"] == "usage"
    assert "'source' needs a value" in problem["message"]


def test_a_word_and_a_path(typed, shell):
    (shell.folder / "a b.csv").touch()
    assert json.loads(typed("ingest", "source=sample", "--dry-run", "--json")[0])["plan"]["command"] == "true sample"
    planned = json.loads(typed("ingest", "source=a b.csv", "--dry-run", "--json")[0])["plan"]
    assert planned["command"] == f"true '{shell.folder}/a b.csv'"
    assert "names no file" in typed("ingest", "source=./nosuch.csv", exit_code=2)[1]


def test_help_marks_what_is_required(typed):
    shown = typed("ingest", "--help")[0].partition("Parameters of ingest")[2]
    assert ["source", "location", "required", "What", "is", "read."] in [line.split() for line in shown.splitlines()]
