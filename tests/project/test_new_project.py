"""A project that is written: whole, runnable, and never over somebody's files."""

from __future__ import annotations

import pytest

from dlops.errors import UsageError
from dlops.project import new_project, plan, spec
from dlops.project.pipeline import definition


def test_it_is_a_project_with_a_pipeline(tmp_path):
    written = new_project.write(tmp_path / "films")
    project = spec.load(tmp_path / "films")
    assert project.name == "films"
    pipeline = definition.load(tmp_path / "films/configs/run.yaml")
    assert list(pipeline.steps) == ["ingest", "lengths", "finetune", "evaluate"]
    assert set(pipeline.steps) < set(project.entry_points)
    assert tmp_path / "films/.gitignore" in written
    assert not [file for file in written if "template" in file.name]


def test_twice_changes_nothing_and_what_differs_stays(tmp_path):
    assert new_project.write(tmp_path, "one")
    assert new_project.write(tmp_path, "one") == []
    (tmp_path / "MLproject").write_text("name: mine\n")
    (tmp_path / "README.md").unlink()
    with pytest.raises(UsageError, match="files of its own") as error:
        new_project.write(tmp_path, "one")
    assert error.value.problems == (f"{tmp_path / 'MLproject'} is there already",)
    assert (tmp_path / "MLproject").read_text() == "name: mine\n"
    assert not (tmp_path / "README.md").exists()


def test_the_settings_of_its_own_step_are_its_parameters(tmp_path, monkeypatch):
    new_project.write(tmp_path, "one")
    monkeypatch.syspath_prepend(tmp_path)
    from steps.lengths import Lengths

    from dlops.config import schema

    stated = plan.entry_point("lengths", str(tmp_path)).parameters
    assert stated == schema.parameters(Lengths)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        new_project.write(tmp_path / "file" / "below")
