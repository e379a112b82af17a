"""What is asked for: what the file says, what the command line says, and what of both may be kept."""

from __future__ import annotations

import dataclasses
import json
import subprocess

import pytest

from dlops.errors import ConfigError, UsageError
from dlops.project.pipeline import launching
from dlops.project.pipeline.asked import Asked

ASKED = Asked(
    steps={"one": {"parameters": {"n": "1", "api_key": "k-123456789"}}, "two": {}}, file="run.yaml", base="configs"
)


def test_values_win_over_the_file_and_references_are_as_in_it():
    asked = launching.with_overrides(ASKED, {"one.n": "2", "two.learning-rate": "1e-3", "two.x": "${one.y}"})
    assert asked.given == {"one": {"n": "2"}, "two": {"learning_rate": "1e-3"}}
    assert asked.steps["one"] == {"parameters": {"api_key": "k-123456789"}}
    assert asked.steps["two"] == {"parameters": {"x": "${one.y}"}}
    again = launching.with_overrides(asked, {"two.x": "plain", "one.n": "${two.z}"})
    assert again.given == {"two": {"learning_rate": "1e-3", "x": "plain"}}
    assert again.steps["one"]["parameters"]["n"] == "${two.z}"
    assert ASKED.steps["one"]["parameters"]["n"] == "1", "what was asked before is as it was"


def test_a_value_of_no_step_is_refused():
    with pytest.raises(UsageError) as caught:
        launching.with_overrides(ASKED, {"n": "1", "one.n": "2", "m": "3"})
    assert caught.value.problems == ("n=1 names no step: write STEP.n=1", "m=3 names no step: write STEP.m=3")


def test_secrets_are_masked_wherever_they_are():
    asked = dataclasses.replace(
        ASKED,
        given={"two": {"hub_token": "short", "note": "uses k-123456789", "password": "${one.x}"}},
        tracking_uri="http://me:store-pass@h",
        diff="+k-123456789",
    )
    kept = json.loads(launching.shown(asked, ["k-123456789"]))
    assert kept["steps"]["one"]["parameters"] == {"n": "1", "api_key": "***"}
    assert kept["given"]["two"] == {"hub_token": "***", "note": "uses ***", "password": "${one.x}"}
    assert (kept["diff"], kept["tracking_uri"]) == ("", "http://***@h")


def test_the_file_of_the_project_or_another(folder, tmp_path):
    empty = Asked(steps={}, file="", base="", uri=str(folder))
    asked = launching.read(empty, None)
    assert (list(asked.steps), asked.base, asked.parallel) == (["one", "two", "three"], "configs", 0)
    assert asked.pipeline(folder).base == folder / "configs"
    (tmp_path / "here/mine.yaml").write_text("parallel: 2\nsteps: {one: }\n")
    asked = launching.read(empty, tmp_path / "here/mine.yaml")
    assert (asked.steps, asked.base, asked.parallel) == ({"one": {}}, str(tmp_path / "here"), 2)
    assert launching.read(dataclasses.replace(empty, parallel=5), tmp_path / "here/mine.yaml").parallel == 5
    with pytest.raises(ConfigError, match="There is no pipeline"):
        launching.read(empty, tmp_path / "none.yaml")


def test_a_look_starts_nothing_and_makes_nothing(folder, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    asked = launching.read(Asked(steps={}, file="", base="", uri=str(folder)), None)
    pipeline, looks = launching.look(asked)
    assert [look.document(pipeline)["state"] for look in looks] == ["will run", "will run", "unknown"]
    assert [place for place in sorted(tmp_path.rglob("*")) if "home" not in place.parts] == before


def test_a_remote_is_kept_at_its_commit(folder, monkeypatch):
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "c"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    asked = launching.read(Asked(steps={}, file="", base="", uri=f"file://{folder}", version="main"), None)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    assert (asked.version, asked.file) == (head.stdout.strip(), "configs/run.yaml")
