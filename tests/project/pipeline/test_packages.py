"""A package whose version does not tell what it holds is told by its files."""

from __future__ import annotations

import json
import sys

import pytest

from dlops.project.pipeline import packages


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages, the only one of this interpreter."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.setattr(sys, "path", ["", str(place)])
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return place


def install(site, name, came, **files):
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "direct_url.json").write_text(json.dumps(came))
    own = {f"{name}-1.0.dist-info/METADATA": "a", "../../bin/run": "b", **files}
    lines = [f"{place},sha256={digest},1" for place, digest in own.items()]
    (folder / "RECORD").write_text("\n".join([*lines, f"{name}-1.0.dist-info/RECORD,,"]) + "\n")


def told(project):
    return dict(line.split("==") for line in packages.told_by_files(project))


def test_one_from_a_repository_is_told_by_what_was_installed(site, tmp_path):
    (site / "plain-2.0.dist-info").mkdir()
    install(site, "net", {"url": "https://h/net.git", "vcs_info": {"commit_id": "1"}}, **{"net/a.py": "x"})
    first = told(tmp_path / "toy")
    assert list(first) == ["net (its files)"]
    install(site, "net", {"url": "https://h/fork.git", "vcs_info": {"commit_id": "2"}}, **{"net/a.py": "x"})
    assert told(tmp_path / "toy") == first, "the same files from elsewhere"
    install(site, "net", {"url": "https://h/net.git", "vcs_info": {"commit_id": "3"}}, **{"net/a.py": "y"})
    assert told(tmp_path / "toy") != first


def test_one_that_is_installed_in_place_is_told_by_its_files_there(site, tmp_path):
    source = tmp_path / "my net"
    (source / "net").mkdir(parents=True)
    (source / "net/a.py").write_text("x = 1")
    install(site, "net", {"url": (source / "").as_uri(), "dir_info": {"editable": True}})
    first = told(tmp_path / "toy")
    (source / "README.md").write_text("more")
    assert told(tmp_path / "toy") == first != {}
    (source / "net/a.py").write_text("x = 2")
    assert told(tmp_path / "toy") != first
    assert told(source) == told(source / "examples") == {}, "a step says which files of its project count"


def test_what_cannot_be_read_is_no_ingredient(site, tmp_path):
    install(site, "net", {"url": "https://h/net.git"})
    (site / "net-1.0.dist-info/direct_url.json").write_text("{")
    assert told(tmp_path) == {}
