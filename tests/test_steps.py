"""One word per step, the same in the command, the module, the overview and the table."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

import dlops
from dlops.cli.main import COMMANDS
from dlops.steps import STEPS, named

NAMES = [step.name for step in STEPS]


def test_each_step_is_a_command_of_the_same_summary():
    assert {step.name: step.summary for step in STEPS} == COMMANDS["Launch a step"]


@pytest.mark.parametrize("name", NAMES)
def test_each_step_has_its_command_module(name):
    assert (Path(dlops.__file__).parent / "cli" / f"{name}.py").is_file()


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_what_comes_next_names_only_what_the_step_answers_with(step):
    used = {field for _, field, _, _ in string.Formatter().parse(step.next) if field}
    assert used <= set(step.outputs)


def test_found_by_name():
    assert named("finetune").name == "finetune"
    assert named("fine-tune") is None
