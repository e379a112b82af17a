"""Paths as people write them end absolute, and none of them ends a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlops.config import paths


def test_relative_to_the_working_folder_unless_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.absolute("a/b") == tmp_path / "a/b"
    assert paths.absolute("a", tmp_path / "base") == tmp_path / "base/a"
    assert paths.absolute("/x", tmp_path) == Path("/x")
    assert paths.absolute("") == tmp_path


def test_home_is_known_and_nobody_is_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.absolute("~/x") == tmp_path / "x"
    assert paths.absolute("~nobody-of-this-name/x", tmp_path) == tmp_path / "~nobody-of-this-name/x"


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "missing"])
def test_what_is_no_path_does_not_exist(name, tmp_path):
    assert not paths.exists(tmp_path / name)
    assert paths.exists(tmp_path)
