"""What Git knows of a folder, whatever state it is in; the folder is read and never changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dlops.errors import UsageError
from dlops.project import source
from dlops.project.source import Source


class Repository:
    """A Git work tree, with a user of its own and nobody's settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self("init", "-q", "-b", "main")

    def __call__(self, *words: str) -> str:
        who = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
        done = subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            self.write(name, text)
        self("add", "-A")
        self("commit", "-q", "-m", "c")
        return self("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return Repository(tmp_path / "repository")


def state(folder):
    return source.at_its_commit(source.of(str(folder)))


def test_no_repository_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert state(tmp_path) == Source(tmp_path)


def test_without_git_it_is_a_folder_like_any_other(repository, monkeypatch):
    repository.commit(a="1")
    monkeypatch.setenv("PATH", "")
    assert state(repository.folder) == Source(repository.folder)


def test_before_the_first_commit_there_is_none(repository):
    repository.write("a", "1")
    assert state(repository.folder) == Source(repository.folder)


@pytest.mark.parametrize("detached", [False, True])
def test_a_clean_tree(repository, detached):
    commit = repository.commit(a="1")
    if detached:
        repository("checkout", "-q", "--detach")
    assert state(repository.folder) == Source(repository.folder, commit)


def test_a_change_is_a_patch_that_can_be_applied(repository, tmp_path):
    commit = repository.commit(**{"ü [red].txt": "1\n"}, binary="\0\1")
    repository.write("ü [red].txt", "2\n")
    (repository.folder / "binary").write_bytes(b"\0\2\3")
    found = state(repository.folder)
    assert (found.commit, found.dirty) == (commit, True)
    assert "ü [red].txt" in found.diff
    again = Repository(tmp_path / "again")
    again("pull", "-q", str(repository.folder), "main")
    (tmp_path / "patch").write_text(found.diff)
    again("apply", str(tmp_path / "patch"))
    assert (again.folder / "ü [red].txt").read_text() == "2\n"
    assert (again.folder / "binary").read_bytes() == b"\0\2\3"


def test_staged_and_deleted_are_in_the_patch_and_untracked_makes_dirty(repository):
    repository.commit(a="1\n", b="1\n")
    repository.write("new", "x")
    found = state(repository.folder)
    assert (found.dirty, found.diff) == (True, "")
    repository("add", "new")
    (repository.folder / "b").unlink()
    found = state(repository.folder)
    assert "new file" in found.diff
    assert "deleted file" in found.diff


def test_what_is_ignored_does_not_count(repository):
    repository.commit(**{".gitignore": "*.db\n"})
    repository.write("mlflow.db", "x")
    assert not state(repository.folder).dirty


def test_a_subfolder_is_judged_by_itself(repository):
    repository.commit(**{"one/a": "1\n", "two/a": "1\n"})
    repository.write("one/a", "2\n")
    assert not state(repository.folder / "two").dirty
    found = state(repository.folder / "one")
    assert found.dirty
    assert "+++ b/a" in found.diff


def test_a_submodule_is_at_its_own_commit(repository, tmp_path):
    inner = Repository(tmp_path / "inner")
    commit = inner.commit(a="1\n")
    repository("submodule", "--quiet", "add", str(inner.folder), "sub")
    outer = repository.commit()
    assert state(repository.folder) == Source(repository.folder, outer)
    assert state(repository.folder / "sub").commit == commit
    repository.write("sub/a", "2\n")
    assert state(repository.folder).dirty
    assert "+2" in state(repository.folder / "sub").diff


@pytest.mark.parametrize(
    "settings",
    [
        {"diff.noprefix": "true", "diff.mnemonicPrefix": "true"},
        {"color.ui": "always", "color.diff": "always"},
        {"diff.external": "false"},
        {"status.showUntrackedFiles": "no", "status.relativePaths": "false"},
        {"diff.submodule": "log", "diff.context": "0", "core.quotePath": "true"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_users_own_settings_change_nothing(repository, settings):
    repository.commit(a="1\n", **{"ü": "1\n"})
    repository.write("a", "2\n")
    before = state(repository.folder)
    for name, value in settings.items():
        repository("config", name, value)
    repository.write("untracked", "x")
    found = state(repository.folder)
    assert found.dirty
    if "diff.context" not in settings:
        assert found.diff == before.diff
    repository("checkout", "-q", "a")
    assert state(repository.folder).dirty


def test_a_hooks_variables_do_not_lead_elsewhere(repository, tmp_path, monkeypatch):
    commit = repository.commit(a="1")
    other = Repository(tmp_path / "other")
    other.commit(b="2")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / ".git/index"))
    assert state(repository.folder) == Source(repository.folder, commit)


def test_nothing_is_written(repository):
    repository.commit(a="1")
    os.utime(repository.folder / "a", (1, 1))  # a plain `git status` would refresh the index
    index = repository.folder / ".git/index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    state(repository.folder)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_credentials_of_the_remote_are_masked(repository):
    repository.commit(a="1")
    repository("remote", "add", "origin", "https://me:ghp_secret@host/x.git")
    assert state(repository.folder).remote == "https://***@host/x.git"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("missing", "There is no folder"),
        ("~nobody-of-this-name/x", "There is no folder"),
        ("file", "There is no folder"),
    ],
)
def test_what_is_no_folder(tmp_path, monkeypatch, uri, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="older") as caught:
        source.of(uri)
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_folder_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source.of(".").folder == tmp_path
    assert source.of("").folder == tmp_path
