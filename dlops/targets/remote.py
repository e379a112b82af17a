"""A target far from here: the run is made here, the job goes to a cluster, and is followed by its record."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dlops.errors import ConfigError, DlopsError, Interrupted, UnreachableError
from dlops.targets import package, stores
from dlops.targets.following import RemoteRun, ask_to_end
from dlops.targets.interface import Cluster, Finding, Show, State
from dlops.worker import masking, processes, reaper, record, tracking
from dlops.worker.job import Job
from dlops.worker.probe import answers
from dlops.worker.reaper import HANDLE, LAUNCHER, PAGE

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LARGEST = 2 * 1024**3
"""Bytes of a file or folder that are uploaded for a run."""
_LARGEST_KEY = 2**20
"""Bytes of a file that is looked at for a key."""
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----", re.MULTILINE)
_PATIENCE = 60.0
"""Seconds that a job which only looks round has to end."""


class Remote:
    """A cluster as a target."""

    here, stays = False, False

    def __init__(self, cluster: Cluster, *, shared: tuple[str, ...] = (), variables: dict[str, str]) -> None:
        self._cluster, self._shared, self._variables = cluster, shared, variables
        self.name = cluster.name
        self.forgets = not cluster.on_loopback and "DLOPS_HOME" not in variables

    def ahead(self) -> contextlib.AbstractContextManager[None]:
        """Begin nothing."""
        return contextlib.nullcontext()

    def problems(self, job: Job) -> list[str]:
        """List what would not work there: a store or data that only this machine has, files that nobody tracks."""
        return [
            *self._cluster.problems(job),
            *self._of_packages(job),
            *stores.problems(job.tracking_uri, self._cluster, self._variables),
            *self._of_inputs(job),
            *package.problems(Path(job.folder)),
        ]

    def examine(self, tracking_uri: str) -> Iterator[Finding]:
        """Send a job that looks round; what it waits for is told where it does not begin in a minute."""
        if problems := [
            *self._cluster.problems(_probe(tracking_uri)),
            *stores.problems(tracking_uri, self._cluster, self._variables),
        ]:
            yield from ((f"target {self.name}", "problem", problem) for problem in problems)
            return
        try:
            with tempfile.TemporaryDirectory(prefix="dlops-") as folder:
                probe = self._travelling(_probe(tracking_uri))
                handle = self._cluster.submit(probe, Path(folder), package.pack(Path(folder), probe))
            state = self._outcome(handle)
            found = answers(self._cluster.log(handle)) if state.over else []
            if not state.over:
                self._cluster.stop(handle)
            self._cluster.tidy(handle)
        except DlopsError as error:
            yield f"target {self.name}", "problem", f"{error} {error.hint}".strip()
            return
        if not state.over:
            said = (
                f"has not answered within a minute, and was taken back ({state.text}); a cluster that only now starts"
            )
            yield f"target {self.name}", "note", f"{said} takes longer: ask again when it is up"
            return
        yield f"target {self.name}", "ok" if found else "problem", "takes jobs" if found else state.text
        yield from found

    def _outcome(self, handle: str) -> State:
        """Wait for the end of a job, for a minute at most."""
        deadline = time.monotonic() + _PATIENCE
        while not (state := self._cluster.state(handle)).over and time.monotonic() < deadline:
            time.sleep(1.0)
        return state

    def start(self, job: Job, show: Show) -> RemoteRun:
        """Make the run, upload what the job reads, and hand it over; a run that could not be is ended.

        Of what stays, Ctrl-C ends nothing once it was handed over.

        Raises:
            UnreachableError: the tracking store or the cluster does not answer, or refuses.
            ConfigError: no other machine could write its artifacts.
            Interrupted: it goes on, but whoever waits was interrupted.
        """
        try:
            client = tracking.connect(job.tracking_uri, job.lock_folder)
            self._check_store(client, job.experiment)
            run = record.create(client, job, **{LAUNCHER: processes.this()})
        except tracking.Unreachable as error:
            raise UnreachableError(str(error), hint="Check --tracking-uri (or MLFLOW_TRACKING_URI).") from error
        run_id, handle = str(run.info.run_id), ""
        try:
            handle = self._handed_over(client, replace(job, run_id=run_id), show)
            self._keep_handle(client, run_id, handle)
            self._tell_page(client, run_id, handle, show)
        except BaseException as error:
            if self.stays and handle and isinstance(error, KeyboardInterrupt):
                with contextlib.suppress(tracking.Unreachable):
                    self._keep_handle(client, run_id, handle)
                    raise Interrupted(
                        f"What waited for run {run_id} was ended; the run goes on.",
                        hint=f"`dlops logs {run_id} -f` follows it, `dlops cancel {run_id}` ends it.",
                    ) from error
            done = self._taken_back(client, run_id, handle) if handle else ""
            self._close(client, run_id, error)
            if isinstance(error, tracking.Unreachable):
                raise UnreachableError(str(error), hint=done) from error
            raise
        return RemoteRun(client, run_id, str(run.info.experiment_id), self._cluster, handle)

    def _keep_handle(self, client: MlflowClient, run_id: str, handle: str) -> None:
        tracking.patiently(lambda: client.set_tag(run_id, HANDLE, handle), seconds=_PATIENCE)

    def _taken_back(self, client: MlflowClient, run_id: str, handle: str) -> str:
        """Undo what was handed over where its run could not be kept; say what became of it."""
        with contextlib.suppress(Exception):
            ask_to_end(client, run_id, self._cluster, handle)
        return "The job was taken back."

    def _tell_page(self, client: MlflowClient, run_id: str, handle: str, show: Show) -> None:
        """Say and keep where the cluster shows the job; without it nothing is lost."""
        with contextlib.suppress(Exception):
            if page := self._cluster.page(handle):
                client.set_tag(run_id, PAGE, page)
                show({"event": "waiting", "text": f"{self.name}: {page}"})

    def _check_store(self, client: MlflowClient, experiment: str) -> None:
        """Refuse a store that keeps artifacts in a folder: each machine would write into one of its own.

        Raises:
            ConfigError: it does.
        """
        number = tracking.experiment(client, experiment)
        place = tracking.patiently(lambda: client.get_experiment(number), seconds=10).artifact_location
        if urlsplit(place).scheme in ("", "file") and not self._is_shared(place.removeprefix("file://")):
            raise ConfigError(
                f"The tracking store keeps artifacts in {place}, a folder, which a job on {self.name} does not see.",
                hint="Start the server with --artifacts-destination, use another --experiment, or list it in shared:.",
            )

    def _handed_over(self, client: MlflowClient, job: Job, show: Show) -> str:
        if left := package.left_here(Path(job.folder)):
            shown = f"{', '.join(left[:5])}{' …' if len(left) > 5 else ''}"
            show({"event": "warning", "text": f"what Git does not track stays here: {shown} (`git add` sends it)"})
        travelling = self._travelling(self._with_uploads(client, job, show))
        with tempfile.TemporaryDirectory(prefix="dlops-") as folder:
            key = package.pack(Path(folder), travelling)
            return self._cluster.submit(travelling, Path(folder), key)

    def _travelling(self, job: Job) -> Job:
        """Take out of a job what is this machine's, and add what it needs there."""
        return replace(
            job,
            client=f"mlflow-skinny=={metadata.version('mlflow')}",
            variables={**stores.variables(job.tracking_uri, self._cluster), **self._variables},
            secrets=_needed(job),
            path=(),
            tree="",
            lock_folder="",
        )

    def _with_uploads(self, client: MlflowClient, job: Job, show: Show) -> Job:
        """Keep the files that the command reads as artifacts of the run, from where its worker fetches them.

        Raises:
            UnreachableError: the store does not take them.
        """
        downloads, uploaded, kept = dict(job.downloads), {}, {}
        for number, (placeholder, path) in enumerate(job.inputs.items()):
            if self._is_shared(path):
                kept[placeholder] = path
                continue
            place = f"inputs/{number}"
            show({"event": "preparing", "text": f"upload of {path} ({_size(Path(path)) / 1000**2:.1f} MB)"})
            try:
                _upload(client, job.run_id, Path(path), place)
            except Exception as error:  # whatever a client or a network raises
                raise UnreachableError(f"{path} could not be uploaded to the tracking store: {error}") from error
            uploaded[placeholder] = path
            downloads[placeholder] = f"runs:/{job.run_id}/{place}/{Path(path).name}"
        return replace(job, inputs=kept, downloads=downloads, uploaded=uploaded)

    def _is_shared(self, path: str) -> bool:
        return any(Path(path).is_relative_to(folder) for folder in self._shared)

    def _of_packages(self, job: Job) -> list[str]:
        found = []
        if any(word.startswith((".", "/", "-")) or "file:" in word for word in job.packages):
            found.append(f"the target {self.name} takes packages by name only, not folders or files of this machine")
        if any(masking.url(word) != word for word in job.packages):
            found.append(f"the target {self.name} would show the credentials in the URL of a package")
        return found

    def _of_inputs(self, job: Job) -> list[str]:
        found = []
        for path in filter(lambda path: not self._is_shared(path), [*job.outputs.values(), *job.inputs.values()]):
            if path in job.outputs.values() or path.startswith("file:") or not os.path.lexists(path):
                found.append(
                    f"{path} is a place on this machine, which {self.name} does not have:"
                    " name a URI, or a folder that the target lists as shared"
                )
            elif _is_private_key(Path(path)):
                found.append(
                    f"{path} is a private key, which all who see the run could read: put it on the machines of"
                    f" {self.name} themselves, and list its folder there as shared"
                )
            elif job.folder and Path(job.folder).is_relative_to(path):
                found.append(
                    f"{path} holds the project itself, of which only the files that Git tracks are sent: name data"
                )
            elif (size := _size(Path(path))) > _LARGEST:
                found.append(
                    f"{path} has {size / 1024**3:.1f} GiB, and at most {_LARGEST // 1024**3} are uploaded for a run:"
                    f" put it where {self.name} reaches it, and name its URI"
                )
        return found

    @staticmethod
    def _close(client: MlflowClient, run_id: str, error: BaseException) -> None:
        """End a run whose job never came to be; where the store is gone too, the next command does."""
        killed = isinstance(error, KeyboardInterrupt)
        said = "ended before it was handed over" if killed else f"{type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            client.set_tag(run_id, "dlops.cancel", str(int(time.time())))  # should the cluster have taken it after all
            text = masking.url(str(error) if isinstance(error, DlopsError) else said)
            reaper.end(client, run_id, "KILLED" if killed else "FAILED", **{"dlops.error": text})


def _probe(tracking_uri: str) -> Job:
    return Job(
        step="doctor",
        entry_point="",
        target="",
        command="",
        folder="",
        experiment="",
        run_id=uuid.uuid4().hex,
        tracking_uri=tracking_uri,
        probe=True,
    )


def _needed(job: Job) -> tuple[str, ...]:
    """Keep the secrets that the job itself holds: the others of this machine are no affair of a cluster."""
    held = "\0".join([job.command, job.tracking_uri, *job.variables.values(), *job.downloads.values()])
    return tuple(secret for secret in job.secrets if secret in held or shlex.quote(secret)[1:-1] in held)


def _upload(client: MlflowClient, run_id: str, path: Path, place: str) -> None:
    """Keep a file or folder with the run; of a folder, all but what never leaves a machine."""
    if not path.is_dir() or not any(_stays(file.name) for file in path.rglob(".*")):
        client.log_artifact(run_id, str(path), place)
        return
    with tempfile.TemporaryDirectory(prefix="dlops-") as folder:
        copy = Path(folder) / path.name
        shutil.copytree(path, copy, ignore=_staying)
        client.log_artifact(run_id, str(copy), place)


def _staying(folder: str, names: list[str]) -> list[str]:
    """Name what is not copied: links to folders too, which an upload does not follow."""
    place = Path(folder)
    return [name for name in names if _stays(name) or ((place / name).is_symlink() and (place / name).is_dir())]


def _stays(name: str) -> bool:
    return name in (".git", ".env") or name.startswith(".env.")


def _is_private_key(path: Path) -> bool:
    """Say whether a file has a private key, alone or with its certificate (RFC 7468); an unreadable one is no key."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size < _LARGEST_KEY:
            return bool(_PRIVATE_KEY.search(path.read_bytes()))
    return False


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
