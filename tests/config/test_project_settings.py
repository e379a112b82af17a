"""`configs/dlops.yaml`: three settings, each checked, none needed."""

from __future__ import annotations

import dataclasses

import pytest

from dlops.config import project_settings
from dlops.config.project_settings import FILE, ProjectSettings
from dlops.errors import ConfigError


def load(tmp_path, text):
    (tmp_path / FILE).parent.mkdir(exist_ok=True)
    (tmp_path / FILE).write_text(text)
    return project_settings.load(tmp_path)


def test_without_a_file_the_defaults(tmp_path):
    assert project_settings.load(tmp_path) == ProjectSettings("", "local", {})


def test_read(tmp_path):
    text = "experiment: reviews\nenvironment: uv\nentry_points:\n  finetune: fine_tuning_model\n"
    expected = ProjectSettings("reviews", "uv", {"finetune": "fine_tuning_model"})
    assert load(tmp_path, text) == expected
    assert load(tmp_path, f"{text}require_clean: true\n") == dataclasses.replace(expected, require_clean=True)


def test_all_problems_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "experimnt: x\nenvironment: 3\nentry_points: [a]\nrequire_clean: x\n")
    problems = caught.value.problems
    assert [problem.partition(f"{FILE}:")[2][0] for problem in problems] == ["1", "2", "3", "4"]
    assert "did you mean 'experiment'?" in problems[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "entry_points: {}\n"])
def test_a_file_of_comments_changes_nothing(tmp_path, text):
    assert load(tmp_path, text) == ProjectSettings()
