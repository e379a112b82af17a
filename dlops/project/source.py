"""Where a project's files come from, and exactly which files they are."""

from __future__ import annotations

import atexit
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dlops.config import git, paths
from dlops.errors import UsageError
from dlops.project import remotes
from dlops.worker import masking

_DIFF = ("diff", "HEAD", "--binary", "--relative", "--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short")
"""A patch that `git apply` takes, whatever the user's own settings make of `git diff`."""


@dataclass(frozen=True)
class Source:
    """A project's files at one state."""

    folder: Path
    commit: str = ""
    """Full id of the commit checked out; empty where the folder is no Git work tree."""
    dirty: bool = False
    """Whether the folder differs from that commit, untracked files included."""
    diff: str = ""
    """What tracked files differ in, as a patch; untracked files are in no record."""
    remote: str = ""
    """The repository's `origin`, or what it was fetched from with its `#subfolder`; credentials masked."""
    tree: Path | None = None
    """The cached work tree that the folder is in, or is; whoever goes on with the files holds it too."""
    subfolder: str = ""
    """Where in its repository a folder of the user's own lies; empty at the top."""

    @property
    def project(self) -> str:
        """What was launched: the folder, or the remote with its subfolder."""
        return self.remote if self.tree else str(self.folder)


def of(uri: str, version: str = "", diff: str = "") -> Source:
    """Take a folder as it stands, or a revision of a Git remote, patched; a folder is read, and never changed.

    A remote is asked once by a process; the files stay until the process ends.

    Raises:
        UsageError: there is no such folder, revision or subfolder.
        UnreachableError: the remote does not answer or refuses.
    """
    if remotes.is_remote(uri):
        return _fetched(uri, version, diff)
    path = paths.absolute(uri)
    if not path.is_dir():
        raise UsageError(f"There is no folder {path}.", hint="Name a project with --uri: a folder, or a Git remote.")
    if version:
        raise UsageError(
            f"--version {version} is for Git remotes, and {path} is a folder, launched as it stands.",
            hint=f"That revision of it: --uri file://{path}",
        )
    return Source(path)


@cache
def _fetched(uri: str, version: str, diff: str) -> Source:
    remote = remotes.parse(uri)
    found = remotes.checkout(remote, version, diff)
    atexit.register(found.hold.release)
    return Source(found.folder, found.commit, bool(diff), diff, remote.shown, found.hold.folder)


def repository(folder: Path, commit: str) -> str:
    """Give the `file://` URI of the Git repository that a folder is in; empty where that has not this commit."""
    if not folder.is_dir() or _git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return ""
    top = _git(folder, "rev-parse", "--show-toplevel")
    return f"file://{top.strip()}" if top else ""


def at_its_commit(source: Source) -> Source:
    """Add what Git knows of the folder: commit, whether it is dirty, the patch, and its remote."""
    if source.tree:
        return source  # laid out by us: all is known
    status = _git(source.folder, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", ".")
    if status is None:
        return source
    header = [line for line in status.splitlines() if line.startswith("# branch.oid ")]
    commit = header[0].split()[-1] if header else ""
    if not commit or commit == "(initial)":
        return source
    changes = [line for line in status.splitlines() if not line.startswith("#")]
    tracked = [line for line in changes if not line.startswith("?")]
    diff = _git(source.folder, *_DIFF, "--", ".") if tracked else ""
    remote = (_git(source.folder, "remote", "get-url", "origin") or "").strip()
    below = (_git(source.folder, "rev-parse", "--show-prefix") or "").strip().rstrip("/")
    return Source(source.folder, commit, bool(changes), diff or "", masking.url(remote), subfolder=below)


def _git(folder: Path, *arguments: str) -> str | None:
    """Ask Git, which is to write nothing; `None` where it is not installed or the folder is none of its work trees."""
    own = ("core.quotePath=false", "core.fsmonitor=false", "diff.noprefix=false", "diff.mnemonicPrefix=false")
    command = ["git", "--no-optional-locks", *(word for setting in own for word in ("-c", setting)), *arguments]
    try:
        answer = subprocess.run(command, cwd=folder, env=git.environment(), capture_output=True, check=False)
    except OSError:
        return None
    return answer.stdout.decode(errors="replace") if answer.returncode == 0 else None
