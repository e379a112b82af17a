"""What the README shows for CI, run as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from dlops.project.pipeline import definition

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
PROJECT = """\
name: toy
entry_points:
  greet: {command: "echo hello"}
  refuse: {parameters: {code: {type: int, default: 0}}, command: "exit {code}"}
"""


def example(name: str) -> dict:
    """Give the file that the README shows under a name."""
    return yaml.load(next(block for block in BLOCKS if block.startswith(f"# {name}")), Loader=yaml.BaseLoader)


def commands_of(name: str) -> list[str]:
    if name.startswith(".github"):
        steps = example(name)["jobs"]["pipeline"]["steps"]
        return [step["run"] for step in steps if "run" in step]
    return example(name)["pipeline"]["script"]


@pytest.mark.parametrize("name", [".github/workflows/pipeline.yml", ".gitlab-ci.yml"])
def test_the_commands_of_an_example_run_and_leave_the_report_that_it_uploads(name, shell):
    (shell.folder / "MLproject").write_text(PROJECT)
    (shell.folder / "configs").mkdir()
    (shell.folder / "configs/run.yaml").write_text("# dlops run\nsteps: {greet: {}, refuse: {needs: greet}}\n")
    ours = [shlex.split(command)[1:] for command in commands_of(name) if command.startswith("dlops")]
    assert ours
    for words in ours:
        shell.run(*words)
    assert "report.xml" in str(example(name)), "what is uploaded"
    cases = ET.parse(shell.folder / "report.xml").findall(".//testcase")
    assert [case.get("name") for case in cases] == ["greet", "refuse"]
    shell.run(*ours[-1], "refuse.code=7", exit_code=4)
    failed = ET.parse(shell.folder / "report.xml").findall(".//testcase/failure")
    assert len(failed) == 1
    assert "exit code 7" in failed[0].get("message")


def test_the_pipeline_that_is_shown_can_be_read(tmp_path):
    block = next(block for block in BLOCKS if block.startswith("steps:"))
    (tmp_path / "run.yaml").write_text(block)
    assert list(definition.load(tmp_path / "run.yaml").steps) == ["ingest", "finetune", "evaluate", "register"]
