"""Git looks at the folder it is run in, whoever started us."""

from __future__ import annotations

from dlops.config import git


def test_what_a_hook_sets_is_left_out_and_the_rest_stays(monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/another/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", "/another/index")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/home")
    found = git.environment()
    assert not {"GIT_DIR", "GIT_INDEX_FILE"} & found.keys()
    assert found["GIT_CEILING_DIRECTORIES"] == "/home"
