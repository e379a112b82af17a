"""The user's folders: below `DLOPS_HOME` when it is set, where the system keeps such things when not."""

from __future__ import annotations

from dlops.config import folders


def test_dlops_home_holds_all_three(tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path))
    assert [folders.cache(), folders.data(), folders.settings()] == [tmp_path / n for n in ("cache", "data", "config")]


def test_a_relative_home_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLOPS_HOME", "state")
    assert folders.data() == tmp_path / "state/data"


def test_without_it_the_system_says(tmp_path, monkeypatch):
    monkeypatch.delenv("DLOPS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = {folders.cache(), folders.data(), folders.settings()}
    assert len(found) == 3
    assert all("dlops" in folder.parts for folder in found)


def test_asking_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "none"))
    folders.cache()
    assert not (tmp_path / "none").exists()
