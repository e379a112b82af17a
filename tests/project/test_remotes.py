"""Projects in Git remotes, from real servers on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dlops.config import folders
from dlops.errors import UnreachableError, UsageError
from dlops.project import remotes
from dlops.project.remotes import Remote
from tests.project import git_servers
from tests.project.test_source import Repository

needs_lfs = pytest.mark.skipif(not shutil.which("git-lfs"), reason="Git LFS is not installed")


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))


@pytest.fixture
def work(tmp_path):
    """A work tree whose commits `published` sends to the bare repository `served/films.git`."""
    work = Repository(tmp_path / "work")
    work.commit(**{"MLproject": "name: one\n", "sub/MLproject": "name: below\n"})
    bare = tmp_path / "served" / "films.git"
    bare.parent.mkdir()
    work("clone", "-q", "--bare", ".", str(bare))
    work("remote", "add", "origin", str(bare))
    return work


@pytest.fixture
def served(tmp_path, work):
    return tmp_path / "served"


@pytest.fixture
def server(served):
    with git_servers.web(served) as server:
        yield server


def published(work, **files):
    commit = work.commit(**files)
    work("push", "-q", "--all", "--force", "origin")
    work("push", "-q", "--tags", "origin")
    return commit


def checked_out(uri, version=""):
    return remotes.checkout(remotes.parse(uri), version)


def left_over():
    return [entry.name for place in (folders.cache() / "git").iterdir() for entry in (place / "trees").iterdir()]


@pytest.mark.parametrize(
    ("uri", "is_one"),
    [
        ("https://host/films.git", True),
        ("http://127.0.0.1:1/films", True),
        ("ssh://git@host:22/films.git#sub", True),
        ("git@host:ann/films.git", True),
        ("git://host/films", True),
        ("file:///srv/films.git", True),
        (".", False),
        ("/srv/films", False),
        ("../films", False),
        ("a@b", False),
    ],
)
def test_a_remote_is_told_from_a_folder(uri, is_one):
    assert remotes.is_remote(uri) == is_one


def test_credentials_are_set_apart(monkeypatch):
    found = remotes.parse("https://ann:p%40ss@host/films.git#a/b/")
    assert found == Remote("https://host/films.git", "a/b", "ann", "p@ss")
    assert "p@ss" not in repr(found) + found.shown
    found = remotes.parse("https://ghp_123456@host/films.git")
    assert (found.url, found.user, found.password) == ("https://host/films.git", "git", "ghp_123456")
    monkeypatch.setenv(remotes.TOKEN, "t-123456")
    assert remotes.parse("https://host/films.git").password == "t-123456"
    monkeypatch.setenv(remotes.USER, "bob")
    assert remotes.parse("https://host/films.git").user == "bob"
    with pytest.raises(UsageError, match="leads out"):
        remotes.parse("https://host/films.git#../x")


def test_every_kind_of_address(served, work, server, tmp_path):
    commit = work("rev-parse", "HEAD")
    with git_servers.daemon(served) as daemon:
        for uri in (f"{server.url}/films.git", f"{daemon}/films.git", f"file://{served}/films.git"):
            found = checked_out(uri)
            assert found.commit == commit
            assert (found.folder / "MLproject").read_text() == "name: one\n"
            found.hold.release()
            found = checked_out(f"{uri}#sub")
            assert (found.folder / "MLproject").read_text() == "name: below\n"
            found.hold.release()
    assert left_over() == [], "who used it last has removed it"


def test_every_kind_of_revision(work, server):
    uri = f"{server.url}/films.git"
    first = work("rev-parse", "HEAD")
    work("tag", "v1.0.2")
    work("tag", "-a", "-m", "signed", "v2")
    work("checkout", "-q", "-b", "feature/x")
    second = published(work, more="1")
    expected = {
        **{"": first, "main": first, "v1.0.2": first, "v2": first, "feature/x": second},
        **{first: first, second: second, second[:7]: second},
    }
    for version, commit in expected.items():
        found = checked_out(uri, version)
        assert found.commit == commit
        assert (found.folder / "more").exists() == (commit == second)
        found.hold.release()
    for version in ("nowhere", "f" * 40, "abcdef1", "--upload-pack=x"):
        with pytest.raises(UsageError, match=r"has no (revision|commit)") as caught:
            checked_out(uri, version)
    assert "feature/x, main, v1.0.2, v2" in caught.value.hint
    with pytest.raises(UsageError, match="has no folder none"):
        checked_out(f"{uri}#none", "v2")
    assert left_over() == []


def test_a_branch_that_moves_is_followed_and_what_is_known_is_not_asked_for(work, server):
    uri = f"{server.url}/films.git"
    before = checked_out(uri, "main")
    before.hold.release()
    after = published(work, more="1")
    found = checked_out(uri, "main")
    assert found.commit == after != before.commit
    found.hold.release()
    asked = len(server.asked)
    checked_out(uri, "main").hold.release()
    assert len(server.asked) - asked <= 2, "the refs are asked for, and nothing is fetched"
    asked = len(server.asked)
    checked_out(uri, after).hold.release()
    assert len(server.asked) == asked, "a commit is what it is"
    work("reset", "-q", "--hard", before.commit)
    rewritten = published(work, other="1")
    found = checked_out(uri, "main")
    assert found.commit == rewritten, "a branch that was rewritten too"
    found.hold.release()


def test_credentials_are_used_and_kept_nowhere(served, tmp_path, monkeypatch):
    secret = "s3cr3t-t0ken"
    with git_servers.web(served, secret) as server:
        with pytest.raises(UnreachableError, match="refuses access") as caught:
            checked_out(f"http://ann:wr0ng-one@{server.address}/films.git")
        assert remotes.TOKEN in caught.value.hint
        assert "wr0ng-one" not in str(caught.value)
        with pytest.raises(UnreachableError, match="refuses access"):
            checked_out(f"{server.url}/films.git")
        checked_out(f"http://ann:{secret}@{server.address}/films.git").hold.release()
        monkeypatch.setenv(remotes.TOKEN, secret)
        monkeypatch.setenv(remotes.USER, "ann")
        checked_out(f"{server.url}/films.git").hold.release()
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_what_does_not_answer_is_told(served, tmp_path):
    with git_servers.web(served) as server:
        url = server.url
        with pytest.raises(UnreachableError, match="cannot be fetched"):
            checked_out(f"{url}/nothing.git")
    with pytest.raises(UnreachableError, match="cannot be fetched"):
        checked_out(f"{url}/films.git")
    with pytest.raises(UnreachableError, match="cannot be fetched"):
        checked_out(f"file://{tmp_path}/nothing.git")


def test_submodules_come_along(work, server, served, tmp_path):
    library = Repository(tmp_path / "library")
    library.commit(words="good")
    library("clone", "-q", "--bare", ".", str(served / "library.git"))
    work("submodule", "--quiet", "add", "../library.git", "library")
    published(work)
    found = checked_out(f"{server.url}/films.git")
    assert (found.folder / "library/words").read_text() == "good"
    found.hold.release()
    checked_out(f"{server.url}/films.git").hold.release()
    assert left_over() == []


@needs_lfs
@pytest.mark.parametrize("password", ["", "s3cret-of-ann"])
def test_large_files_come_whole_though_nobody_set_up_lfs(large, served, password):
    with git_servers.web(served, password) as server:
        uri = f"http://{f'ann:{password}@' if password else ''}{server.address}/films.git"
        found = checked_out(uri)
        assert (found.folder / "weights.bin").read_text() == "heavy\n" * 1000
        found.hold.release()
        (removed,) = [file for file in (served / "films.git/lfs/objects").rglob("*") if file.is_file()]
        removed.unlink()
        shutil.rmtree(folders.cache())
        with pytest.raises(UnreachableError, match=r"weights\.bin"):
            checked_out(uri)
    assert left_over() == []


@needs_lfs
def test_large_files_need_lfs(large, server, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(shutil.which("git"))
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UsageError, match="keeps files in Git LFS, which is not installed"):
        checked_out(f"{server.url}/films.git")
    assert left_over() == []


@pytest.fixture
def large(work):
    """The repository, with a file that Git LFS keeps."""
    for key, value in remotes._LARGE_FILES.items():
        work("config", key, value)
    work("config", f"lfs.{work('config', 'remote.origin.url')}.locksverify", "false")
    work.write("weights.bin", "heavy\n" * 1000)
    work.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    work.commit()
    work("lfs", "push", "origin", "main")
    work("push", "-q", "origin", "main")


def test_a_tree_stays_as_long_as_anyone_uses_it(server):
    first, second = checked_out(f"{server.url}/films.git"), checked_out(f"{server.url}/films.git")
    assert first.folder == second.folder
    first.hold.release()
    assert (second.folder / "MLproject").is_file()
    second.hold.release()
    assert not second.folder.exists()


def test_what_a_killed_process_left_goes_with_the_next_checkout(work, server):
    program = (
        "import os, signal; from dlops.project import remotes;"
        f"remotes.checkout(remotes.parse('{server.url}/films.git'));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    assert len(left_over()) > 0
    published(work, more="1")
    checked_out(f"{server.url}/films.git").hold.release()
    assert left_over() == []


def test_many_at_once(work, server):
    versions = ["main", published(work, more="1"), work("rev-parse", "HEAD~1")] * 8
    ready = threading.Barrier(len(versions))

    def one(version):
        ready.wait()
        found = checked_out(f"{server.url}/films.git", version)
        try:
            return (found.folder / "MLproject").read_text()
        finally:
            found.hold.release()

    with ThreadPoolExecutor(len(versions)) as pool:
        assert list(pool.map(one, versions)) == ["name: one\n"] * len(versions)
    assert left_over() == []
