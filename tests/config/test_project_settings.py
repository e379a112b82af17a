"""`configs/dlops.yaml`: three settings, each checked, none needed."""

from __future__ import annotations

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
    assert load(tmp_path, text) == ProjectSettings("reviews", "uv", {"finetune": "fine_tuning_model"})


def test_all_problems_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "experimnt: x\nenvironment: 3\nentry_points: [a]\n")
    problems = caught.value.problems
    assert [problem.partition(f"{FILE}:")[2][0] for problem in problems] == ["1", "2", "3"]
    assert "did you mean 'experiment'?" in problems[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "entry_points: {}\n"])
def test_a_file_of_comments_changes_nothing(tmp_path, text):
    assert load(tmp_path, text) == ProjectSettings()
