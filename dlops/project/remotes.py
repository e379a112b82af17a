"""Projects in Git remotes: one cached clone of each remote, one work tree for each commit that is in use."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from dlops.config import folders, git
from dlops.errors import DlopsError, UnreachableError, UsageError
from dlops.worker import locks, masking
from dlops.worker.work_trees import Hold, remove_unused

TOKEN, USER = "DLOPS_GIT_TOKEN", "DLOPS_GIT_USERNAME"
"""Environment variables that hold a token, or password, for `https://`, and the user it belongs to."""

_SCHEMES = ("https://", "http://", "ssh://", "git+ssh://", "git://", "file://")
_SCP = re.compile(r"[\w.\-]+@[\w.\-]+:(?!//)[^\s]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{4,39}")
_READY = ".ready"
_NAMED = 20
"""Branches and tags that an error names at most."""
_HELPER = (
    '!f() { test "$1" = get &&'
    ' printf "username=%s\\npassword=%s\\n" "$DLOPS_REMOTE_USER" "$DLOPS_REMOTE_PASSWORD"; }; f'
)
"""Git runs it in a shell, and hands it what it wants on its command line: secrets stay in the environment."""
_LARGE_FILES = {
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
}
"""What `git lfs install` writes into a user's settings; without it, files come as pointers to what they are."""
_SAYS = ("fatal:", "error:", "remote:", "Error downloading")
_REFUSED = re.compile(
    r"(?i)authentication (failed|required)|could not read (username|password)|permission denied|access denied|"
    r"returned error: 40[13]|host key verification failed"
)


@dataclass(frozen=True)
class Remote:
    """A repository somewhere else, and the folder in it that is the project."""

    url: str
    """Without credentials."""
    subfolder: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """As it may be logged."""
        return masking.url(self.url) + (f"#{self.subfolder}" if self.subfolder else "")


@dataclass(frozen=True)
class Checkout:
    """A commit's files; they stay as long as someone holds them."""

    folder: Path
    """The project's."""
    commit: str
    hold: Hold


def is_remote(uri: str) -> bool:
    """Tell a Git remote from a folder."""
    return uri.startswith(_SCHEMES) or bool(_SCP.match(uri))


def parse(uri: str) -> Remote:
    """Read `URL#SUBFOLDER`; credentials in the URL are set apart, else those of the environment are taken.

    Raises:
        UsageError: the subfolder leads out of the repository.
    """
    address, _, subfolder = uri.partition("#")
    subfolder = subfolder.strip("/")
    if ".." in Path(subfolder).parts:
        raise UsageError(f"The subfolder {subfolder} leads out of the repository.", hint="Write URL#FOLDER.")
    user, password = os.environ.get(USER, "git"), os.environ.get(TOKEN, "")
    if address.startswith(("https://", "http://")):
        parts = urlsplit(address)
        if parts.username or parts.password:
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            if not password:  # https://TOKEN@host
                user, password = "git", user
            host = parts.netloc.rpartition("@")[2]
            address = urlunsplit(parts._replace(netloc=host))
    return Remote(address, subfolder, user, password)


def checkout(remote: Remote, version: str = "", diff: str = "") -> Checkout:
    """Bring a branch, a tag or a commit (a beginning of its id will do), HEAD where none is named.

    What the cache has is not asked for again; a whole commit id needs no network then. `diff` is a patch that is
    applied in the project's folder.

    Raises:
        UsageError: there is no such revision, it has no such folder, or the patch does not fit it.
        UnreachableError: the remote does not answer or refuses.
    """
    place = folders.cache() / "git" / _name(remote.url)
    with locks.held(place / "lock"):
        repository = _Repository(remote, place / "repository.git")
        repository.prepare()
        commit = repository.commit(version)
        remove_unused(place / "trees")
        patched = f"-{hashlib.sha256(f'{remote.subfolder} {diff}'.encode()).hexdigest()[:12]}" if diff else ""
        hold = Hold(place / "trees" / f"{commit}{patched}")
        try:
            new = not hold.ready
            if new:
                repository.lay_out(commit, hold.folder)
            folder = hold.folder / remote.subfolder
            if not folder.is_dir():
                raise UsageError(
                    f"{remote.shown} has no folder {remote.subfolder} at {commit[:12]}.", hint="Write URL#FOLDER."
                )
            if new:
                repository.patch(hold.folder, diff)
                hold.say_ready()
        except BaseException:
            hold.release()
            raise
    return Checkout(folder, commit, hold)


class _Repository:
    """The cached clone of a remote; whoever uses it holds its lock."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        self._remote, self._folder = remote, folder

    def prepare(self) -> None:
        """Make the clone where there is none, or where making it was broken off."""
        if not (self._folder / _READY).is_file():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._git("init", "--quiet", "--bare", str(self._folder), folder=self._folder.parent)
            # by it submodules with relative URLs, and LFS, know where they belong; it has no credentials
            self._git("config", "remote.origin.url", self._remote.url)
            (self._folder / _READY).touch()

    def commit(self, version: str) -> str:
        """Give the commit that `version` stands for now, fetched.

        Raises:
            UsageError: there is no such revision.
        """
        if _COMMIT.fullmatch(version):
            return self._fetched(version)
        known = self._refs()
        for name in (f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}", version or "HEAD"):
            if found := known.get(name):
                return self._fetched(found)
        if _SHORT.fullmatch(version) and not self._begun_so(version):
            self._fetch()
        if found := _SHORT.fullmatch(version) and self._begun_so(version):
            return found
        names = sorted(name.split("/", 2)[-1] for name in known if name != "HEAD" and "^" not in name)
        told = f"It has {', '.join(names[:_NAMED])}{' …' if len(names) > _NAMED else ''}." if names else "It is empty."
        raise UsageError(f"{self._remote.shown} has no revision {version or 'HEAD'}.", hint=told)

    def lay_out(self, commit: str, tree: Path) -> None:
        """Make the work tree of a commit, with its submodules and large files.

        Raises:
            UsageError: it has files in Git LFS, which is not installed.
        """
        if not _has_large_files() and self._keeps_large_files(commit):
            raise UsageError(
                f"{self._remote.shown} keeps files in Git LFS, which is not installed.", hint="Install git-lfs."
            )
        shutil.rmtree(tree, ignore_errors=True)
        self._git("worktree", "prune")
        self._git("worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
        if (tree / ".gitmodules").is_file():
            self._git("submodule", "--quiet", "update", "--init", "--recursive", folder=tree)

    def patch(self, tree: Path, diff: str) -> None:
        """Apply a patch whose paths begin in the project's folder.

        Raises:
            UsageError: it does not fit.
        """
        if not diff:
            return
        below = (f"--directory={self._remote.subfolder}",) if self._remote.subfolder else ()
        done = self._run(("apply", "--index", "--whitespace=nowarn", *below, "-"), tree, given=diff)
        if done.returncode:
            raise UsageError(f"The recorded changes do not fit {self._remote.shown}: {done.stderr.strip()}")

    def _refs(self) -> dict[str, str]:
        lines = self._git("ls-remote", "--quiet", self._remote.url).splitlines()
        return {name: commit for commit, name in (line.split("\t", 1) for line in lines)}

    def _fetched(self, commit: str) -> str:
        """Have a commit, of a branch, a tag, or of neither where the server gives that out."""
        if not self._has(commit):
            self._fetch()
        if not self._has(commit):
            try:
                self._fetch(commit)
            except UnreachableError as error:
                raise UsageError(f"{self._remote.shown} has no commit {commit}: {error.message}") from error
        return commit

    def _fetch(self, *what: str) -> None:
        refs = what or ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self._git("fetch", "--quiet", "--no-tags", "--prune", "--no-recurse-submodules", self._remote.url, *refs)

    def _keeps_large_files(self, commit: str) -> bool:
        return self._tried("grep", "--quiet", "^[^#]*filter=lfs", commit, "--", ":(glob)**/.gitattributes") is not None

    def _has(self, commit: str) -> bool:
        return self._tried("cat-file", "-e", f"{commit}^{{commit}}") is not None

    def _begun_so(self, beginning: str) -> str:
        """Give the one commit whose id begins so, if it is here."""
        return (self._tried("rev-parse", "--verify", "--quiet", f"{beginning}^{{commit}}") or "").strip()

    def _tried(self, *words: str) -> str | None:
        done = self._run(words, self._folder)
        return done.stdout if done.returncode == 0 else None

    def _git(self, *words: str, folder: Path | None = None) -> str:
        done = self._run(words, folder or self._folder)
        if done.returncode:
            raise self._explained(done.stderr)
        return done.stdout

    def _run(self, words: Sequence[str], folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return subprocess.run(
                ["git", *words],
                cwd=folder,
                env=_environment(self._remote),
                input=given,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError as error:
            raise UsageError("Git is not installed.", hint="Install git, or launch from a folder.") from error

    def _explained(self, said: str) -> DlopsError:
        lines = [line for line in said.splitlines() if line.startswith(_SAYS)]
        secrets = (self._remote.password, quote(self._remote.password, safe=""))
        told = masking.text("; ".join(lines) or said.strip(), secrets)
        if _REFUSED.search(said):
            return UnreachableError(
                f"{self._remote.shown} refuses access: {told}",
                hint=f"Set up Git's credential helper or an SSH key, or let {TOKEN} (and {USER}) hold them.",
            )
        return UnreachableError(
            f"{self._remote.shown} cannot be fetched: {told}", hint="Is the address right, and the network up?"
        )


def _environment(remote: Remote) -> dict[str, str]:
    """Let Git ask nobody, speak English, and know the credentials without writing them anywhere."""
    found = git.environment() | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_LFS_SKIP_SMUDGE": "0"}
    found.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    settings = list(_LARGE_FILES.items()) if _has_large_files() else []
    if remote.password:
        found |= {"DLOPS_REMOTE_USER": remote.user, "DLOPS_REMOTE_PASSWORD": remote.password}
        helper = f"credential.{_site(remote.url)}.helper"
        settings += [(helper, ""), (helper, _HELPER)]  # the user's own helpers are not asked, nor told the password
    first = int(found.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(settings, first):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found | {"GIT_CONFIG_COUNT": str(first + len(settings))}


def _has_large_files() -> bool:
    return shutil.which("git-lfs") is not None


def _site(url: str) -> str:
    """Give scheme and host: credentials are for nobody else, such as a submodule's host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _name(url: str) -> str:
    """Name a remote's folder so that people recognise it and no two share one."""
    words = re.sub(r"[^\w.\-]+", "-", masking.url(url).partition("://")[2] or url).strip("-")
    return f"{words[-60:]}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
