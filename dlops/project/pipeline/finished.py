"""Runs of steps that a tracking store remembers: the cache of a pipeline, which everybody who records there shares."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlops.errors import UnreachableError
from dlops.project import jobs
from dlops.project.pipeline import fingerprint, outputs
from dlops.project.pipeline.fingerprint import Ingredients
from dlops.worker import masking, reaper, tracking
from dlops.worker.record import summary

if TYPE_CHECKING:
    from mlflow import MlflowClient

STEP, PARENT = reaper.PIPELINE_STEP, reaper.PARENT
_PATIENCE = 30.0
_MOST = 20
"""Runs alike that are looked at: of some, a worker has not said yet that they are over."""


class Store:
    """The runs of one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str, tracking_uri: str) -> None:
        self.client, self.experiment_id, self._uri = client, experiment_id, tracking_uri

    @classmethod
    def opened(cls, tracking_uri: str, experiment: str, *, lock_folder: str = "") -> Store | None:
        """Open it; `None` where nothing was ever recorded.

        Raises:
            UnreachableError: it does not answer.
        """
        database = tracking.sqlite_file(tracking_uri)
        if database and not database.exists():
            return None
        try:
            client = tracking.connect(tracking_uri, lock_folder)
            found = tracking.patiently(lambda: client.get_experiment_by_name(experiment), seconds=_PATIENCE)
        except tracking.Unreachable as error:
            raise unreachable(error) from error
        return cls(client, found.experiment_id, tracking_uri) if found else None

    def with_fingerprint(self, digest: str) -> Iterator[Any]:
        """Give the finished runs with all ingredients alike, the newest first."""
        yield from self._search(f"attributes.status = 'FINISHED' AND tags.`{fingerprint.TAG}` = '{digest}'")

    def ever_had(self, own: str) -> bool:
        """Say whether a run has finished whose ingredients, but for what other steps gave, were these."""
        return bool(self._search(f"attributes.status = 'FINISHED' AND tags.`{fingerprint.OWN}` = '{own}'"))

    def latest(self, step: str) -> Any:
        """Give the newest finished run of a step of this name; `None` where there is none."""
        found = self._search(f"attributes.status = 'FINISHED' AND tags.`{STEP}` = '{_quoted(step)}'")
        return found[0] if found else None

    def below(self, run_id: str) -> list[Any]:
        """Give the runs of a pipeline's steps, the newest first."""
        return self._search(f"tags.`{PARENT}` = '{_quoted(run_id)}' AND tags.`{STEP}` != ''", 1000)

    def open_below(self, run_id: str) -> list[Any]:
        """Give the runs of a pipeline's steps that go on; one whose machine gives no sign for minutes is closed first.

        A service that a step has left stays, and is none of them.
        """
        found = [run for run in self.below(run_id) if not reaper.over(run) and not reaper.hosted(run)]
        return [run for run in found if not self.asked(lambda run=run: self._closed(run))]

    def _closed(self, run: Any) -> bool:
        return reaper.close_if_dead(self.client, run) or jobs.give_up(self.client, run)

    def before(self, run_id: str) -> Iterator[Any]:
        """Give the runs of the steps of a pipeline, and of those that it went on from."""
        for pipeline in self.chain(run_id):
            yield from self.below(pipeline.info.run_id)

    def chain(self, run_id: str) -> Iterator[Any]:
        """Give a pipeline's run, and those that it went on from."""
        seen = set[str]()
        while run_id and run_id not in seen:
            seen.add(run_id)
            run = self.run(run_id)
            yield run
            run_id = run.data.tags.get("dlops.resumed_from", "")

    def run(self, run_id: str) -> Any:
        """Give a run as it is now."""
        return self.asked(lambda: self.client.get_run(run_id))

    def ingredients(self, run_id: str) -> Ingredients | None:
        """Give what a run's results rest on, where that is recorded."""
        return fingerprint.read(self._text(run_id, fingerprint.ARTIFACT))

    def damage(self, run: Any) -> str:
        """Say what is wrong with what a finished run has given; nothing where all is as it was."""
        kept = outputs.read(self._text(run.info.run_id, outputs.ARTIFACT))
        return str(self.asked(lambda: outputs.damage(self.client, summary(run)["outputs"], kept)))

    def asked(self, call: Any) -> Any:
        """Ask the store, patiently.

        Raises:
            UnreachableError: it does not answer.
        """
        try:
            return tracking.patiently(call, seconds=_PATIENCE)
        except tracking.Unreachable as error:
            raise unreachable(error) from error

    def _search(self, which: str, count: int = _MOST) -> list[Any]:
        order = ["attributes.start_time DESC"]
        found = self.asked(
            lambda: self.client.search_runs([self.experiment_id], which, max_results=count, order_by=order)
        )
        return [run for run in found if reaper.over(run) or "FINISHED" not in which]

    def _text(self, run_id: str, name: str) -> str:
        """Give an artifact, a text; empty where it cannot be had."""
        try:
            with tempfile.TemporaryDirectory(prefix="dlops-") as folder:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")
        except Exception:  # whatever a store raises for what it does not have
            return ""


def _quoted(text: str) -> str:
    return text.replace("'", "")


def unreachable(error: Exception) -> UnreachableError:
    """Tell in our own words that the store does not answer."""
    return UnreachableError(
        f"The tracking store did not answer: {masking.url(str(error))}",
        hint="Check --tracking-uri (or MLFLOW_TRACKING_URI).",
    )
