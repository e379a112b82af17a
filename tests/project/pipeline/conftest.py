"""A toy project whose steps take no time, do as they are told by files, and note when they ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dlops.config import yaml
from dlops.project.pipeline import fingerprint, outputs
from dlops.project.pipeline.asked import Asked
from dlops.project.pipeline.finished import Store
from dlops.project.pipeline.planning import Look, Planner
from dlops.worker import tracking
from tests.conftest import Shell

MLPROJECT = """
name: toy
entry_points:
  one:
    outputs: [x]
    parameters:
      n: {type: int, default: 1}
      rate: {type: float, default: 2e-5}
      source: {type: location, default: ""}
      api_key: {type: str, default: ""}
    command: "python -m steps one n={n} rate={rate} source={source} api_key={api_key}"
  two:
    parameters:
      x: str
      k: {type: int, default: 2}
      resume_from: {type: str, default: ""}
    command: "python -m steps two x={x} k={k} resume_from={resume_from}"
  serve:
    cache: false
    command: "python -m steps serve"
"""
STEPS = """
import os
import sys
import time
from pathlib import Path

from dlops.worker import tracking

kind, *words = sys.argv[1:]
values = dict(word.split("=", 1) for word in words)
home = Path(os.environ["DLOPS_HOME"])
with (home / "ran").open("a") as ran:
    ran.write(f"{kind} {values.get('resume_from', '')}".strip() + "\\n")
told = home / f"tell-{kind}"
wish, _, more = told.read_text().partition(" ") if told.exists() else ("", "", "")
if wish == "meet":  # nobody goes on alone
    (home / f"here-{values['k']}").touch()
    deadline = time.monotonic() + 60
    while len(list(home.glob("here-*"))) < int(more) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(list(home.glob("here-*"))) == int(more), "alone"
if wish == "wait":
    time.sleep(60)
print(kind, "says", values.get("x", ""), flush=True)
client, run = tracking.connect(os.environ["MLFLOW_TRACKING_URI"]), os.environ["MLFLOW_RUN_ID"]
if wish == "gate":
    client.set_tag(run, "dlops.gate", "failed")
    print("error: not good enough", file=sys.stderr)
    sys.exit(3)
if wish == "fail" and int(more):
    told.write_text(f"fail {int(more) - 1}")
    sys.exit("error: as it was told")
number = values.get("n", values.get("k", 0))
client.set_tag(run, "dlops.output.x" if kind == "one" else "dlops.output.y", f"{kind}-{number}")
client.log_metric(run, "m", float(told.read_text()) if wish[:1].isdecimal() else float(number))
"""
RUN = """
steps:
  one:
    parameters: {n: 3}
  two:
    parameters: {x: "${one.x}"}
  three:
    entry_point: two
    parameters: {x: "${two.y}", k: 5}
    when: ${two.metrics.m} >= 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project; the working folder is another one."""
    place, here = tmp_path / "toy", tmp_path / "here"
    here.mkdir()
    for name, text in {"MLproject": MLPROJECT, "steps.py": STEPS, "configs/run.yaml": RUN}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(here)
    return place


@pytest.fixture
def planner(folder: Path, store: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Planner]:
    """Make a planner of what the file says, with a store in which nothing has run yet."""
    monkeypatch.chdir(folder.parent / "here")  # a local store takes its client's process to its own folder
    tracking.experiment(client, "toy")

    def of(**asked: Any) -> Planner:
        steps = yaml.load(folder / "configs/run.yaml", as_text=True).values["steps"]
        fields = {"file": "configs/run.yaml", "base": "configs", "uri": str(folder), "tracking_uri": store, **asked}
        wanted = Asked(steps={name: dict(body or {}) for name, body in steps.items()}, **fields)
        return Planner(wanted, wanted.pipeline(folder), folder, Store.opened(store, "toy"))

    return of


@pytest.fixture
def finish(client: Any) -> Callable[..., str]:
    """Record that a step has run as it was planned, and what it gave."""

    def of(planner: Planner, look: Look, *, status: str = "FINISHED", parent: str = "", **given: str) -> str:
        assert planner._store
        tags = dict(planner.request(look, parent).tags) | {f"dlops.output.{name}": given[name] for name in given}
        run_id = str(client.create_run(planner._store.experiment_id, tags=tags).info.run_id)
        assert look.ingredients
        client.log_text(run_id, json.dumps(look.ingredients.document()), fingerprint.ARTIFACT)
        client.log_text(run_id, json.dumps(outputs.manifest(client, given)), outputs.ARTIFACT)
        client.log_metric(run_id, "m", 2.0)
        client.set_terminated(run_id, status)
        return run_id

    return of


@dataclass
class Toy:
    """The toy project in a user's shell."""

    shell: Shell
    home: Path

    def tell(self, kind: str, wish: str) -> None:
        """Tell an entry point what to do: `fail TIMES`, `gate`, `wait`, `meet COUNT`, or a metric."""
        (self.home / f"tell-{kind}").write_text(wish)

    def ran(self) -> list[str]:
        """List what has run since the last time this was asked."""
        file = self.home / "ran"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def write(self, text: str) -> None:
        (self.shell.folder / "configs/run.yaml").write_text(text)


@pytest.fixture
def toy(shell: Shell) -> Toy:
    """The toy project in the shell's folder, whose store is initialised."""
    home = Path(shell.environ["DLOPS_HOME"])
    home.mkdir(exist_ok=True)
    for name, text in {"MLproject": MLPROJECT, "steps.py": STEPS, "configs/run.yaml": RUN}.items():
        (shell.folder / name).parent.mkdir(exist_ok=True)
        (shell.folder / name).write_text(text)
    shell.environ["GIT_CEILING_DIRECTORIES"] = str(shell.folder.parent)
    return Toy(shell, home)


def states(document: dict[str, Any]) -> dict[str, str]:
    """Give the state of each step of what `--json` printed."""
    return {step["name"]: step["state"] for step in document["steps"]}
